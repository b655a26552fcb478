"""MemmapDatasetBridge: grouped data from a file that is larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptycho_torch.contracts.legacy.parameters import LegacyTask
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch
from ptycho_torch.data.conventions import patterns_first
from ptycho_torch.data.make_scan import good_pixels
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.npz import coordinates, export_shift_px
from ptycho_torch.storage.archive import map_arrays
from ptycho_torch.storage.claims import reading
from ptycho_torch.storage.npy import without_bad_pixels

_REQUIRED = ("diff3d", "xcoords", "ycoords")
_POSITIONS = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
_OTHERS = ("diff3d", "diffraction", "probeGuess", "scan_index", "objectGuess", "bad_pixels")


class MemmapDatasetBridge:
    """The groups that `RawDataTorch` makes, from a file whose patterns stay on disk.

    The file is opened anew each time and nothing is kept between two calls: a file that was replaced gives new data.

    Args:
        npz_path: NPZ file in the canonical layout; the patterns may have the older name `diffraction`.
        config: values for what is not given when groups are made.
    """

    def __init__(self, npz_path: Path | str, config: LegacyTask | None = None) -> None:
        self.npz_path = Path(npz_path)
        self.config = config

    def generate_grouped_data(self, N: int, *arguments: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """The result of `RawDataTorch.generate_grouped_data` with the same arguments, bit for bit.

        Raises:
            ScanFileError: the file cannot be read, or lacks an array.
            DataError: its arrays do not make a scan.
            GroupingError: the groups cannot be made from these patterns.
        """
        return self.raw_data().generate_grouped_data(N, *arguments, **options)

    def raw_data(self) -> RawDataTorch:
        """The file in its present state; arrays that need no conversion stay in it.

        As in `read_npz`, bad pixels count nothing, and positions of a client's export are moved by half a pixel.

        Raises:
            ScanFileError: the file cannot be read, or lacks an array.
            DataError: its arrays do not make a scan.
        """
        with reading(self.npz_path, "NPZ file", ScanFileError), self.npz_path.open("rb") as file:
            arrays = map_arrays(file, (*_POSITIONS, *_OTHERS))
        if "diffraction" in arrays:
            arrays.setdefault("diff3d", arrays.pop("diffraction"))
        missing = [name for name in _REQUIRED if name not in arrays]
        if missing:
            raise ScanFileError(
                f"{self.npz_path}: lacks {missing[0]}; it must contain diff3d (or the older diffraction), xcoords and "
                "ycoords"
            )
        name = self.npz_path.name
        stored = patterns_first(arrays.pop("diff3d"), arrays["xcoords"].size, name)
        shift_px = export_shift_px(arrays, stored, name)
        if shift_px:
            arrays |= {key: coordinates(self.npz_path, arrays, key) + shift_px for key in _POSITIONS}
        if "bad_pixels" in arrays:
            stored = without_bad_pixels(stored, good_pixels(arrays.pop("bad_pixels"), stored, name))
        return RawDataTorch(diff3d=stored, config=self.config, **arrays)
