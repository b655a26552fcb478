"""Arrays of an NPZ file without reading them: mapped into memory where they lie in the file."""

from ptycho_torch.data.readers.npz import LARGEST_ARRAY_BYTES as LARGEST_ARRAY_BYTES
