"""Probes in files: NPY, NPZ, MATLAB and HDF5, PtyPy's results, products of Ptychodus, CXI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.arrays import open_arrays
from ptycho_torch.formats.kinds import NPY_SIGNATURE, read_start
from ptycho_torch.formats.ptyd import find_result_probe
from ptycho_torch.storage.hdf5_tree import is_hdf5, open_tree
from ptycho_torch.storage.npy import read_array
from ptycho_torch.storage.untrusted import explain_damage, join_names

_KEYS = ("probeGuess", "probe", "probe_0", "illumination", "initial_probe", "probes")


def read_probe(path: Path | str) -> NDArray[Any]:
    """Read a probe from an NPY file, from a result of PtyPy, or from the array of a usual name in another file.

    Raises:
        ScanFileError: the file contains no probe.
    """
    path = Path(path)
    if path.suffix == ".npy" or (path.is_file() and read_start(path).startswith(NPY_SIGNATURE)):
        with explain_damage(path, "NPY file", ScanFileError), path.open("rb") as file:
            return read_array(file, path.stat().st_size)
    if path.is_file() and is_hdf5(path):
        with open_tree(path, ScanFileError) as tree:
            probe = find_result_probe(tree)
        if probe is not None:
            return probe
    with open_arrays(path) as table:
        last = {name: name.replace(".", "/").rpartition("/")[2] for name in table.shapes}
        for key in _KEYS:
            for name in sorted(table.shapes):
                if last[name] == key:
                    return _order_modes(table.read(name))
        raise ScanFileError(f"{path}: must contain {' or '.join(_KEYS[:2])}, but contains {join_names(table.shapes)}")


def _order_modes(probe: NDArray[Any]) -> NDArray[Any]:
    """Modes first: programs that store arrays column by column have them last, and products have OPR modes before."""
    if probe.ndim == 4:
        probe = probe[0] if probe.shape[-1] == probe.shape[-2] else probe[..., 0]
    if probe.ndim == 3 and probe.shape[0] == probe.shape[1] != probe.shape[2]:
        probe = np.moveaxis(probe, -1, 0)
    return probe
