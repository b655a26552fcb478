"""PtyRAD's results, HDF5: amplitude and phase of the object, the probe, and corners of the patches with their shifts.

`optimizable_tensors` has `obja` and `objp` (object mode, layer, h, w), `probe` (mode, h, w) and `probe_pos_shifts`
(pattern, 2) in pixels; `model_attributes` has `crop_pos` (pattern, 2), the object pixel (row, column) under patch pixel
[0, 0], and `dx`, the side of a pixel in Ångström.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.result import (
    ResultFile,
    check_object,
    check_result_positions,
    check_result_probe,
    list_errors,
)
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, open_tree

TENSORS, _ATTRIBUTES = "optimizable_tensors", "model_attributes"
_ANGSTROM_M = 1e-10


def read_ptyrad_result(path: Path) -> ResultFile:
    """Read a result; layers of the object are multiplied.

    Raises:
        ScanFileError: the file is damaged, or a part of it is missing or unusable.
    """
    with open_tree(path, ScanFileError) as tree:
        amplitude, phase = (_read_real(tree, f"{TENSORS}/{name}") for name in ("obja", "objp"))
        if amplitude.shape != phase.shape or amplitude.ndim != 4:
            raise tree.make_error(
                f"obja has shape {amplitude.shape} and objp {phase.shape}; both must be (mode, layer, height, width)"
            )
        if len(amplitude) != 1:
            raise tree.make_error(f"the object has {len(amplitude)} modes; it must have one")
        probe = _read_complex(tree, f"{TENSORS}/probe")
        side_angstrom = tree.read_number(f"{_ATTRIBUTES}/dx")
        errors = tree.read("loss_iters")
        return ResultFile(
            program="PtyRAD",
            pixels=check_object(amplitude[0] * np.exp(1j * phase[0]), path),
            pixel_m=None if not side_angstrom or side_angstrom <= 0 else side_angstrom * _ANGSTROM_M,
            probe=check_result_probe(probe, path),
            positions_px=_read_positions(tree, probe.shape[-1], path),
            errors=list_errors(errors if errors is None or errors.ndim < 2 else errors[:, -1]),
        )


def _read_real(tree: Hdf5Tree, name: str) -> NDArray[Any]:
    values = tree.read(name)
    if values is None:
        raise tree.make_error(f"{name} is missing")
    if values.dtype.kind not in "f":
        raise tree.make_error(f"{name} is of type {values.dtype}; it must be real")
    return values


def _read_complex(tree: Hdf5Tree, name: str) -> NDArray[Any]:
    """Read complex values, which older versions store as pairs of real ones along a last axis."""
    values = tree.read(name)
    if values is None:
        raise tree.make_error(f"{name} is missing")
    if values.dtype.kind == "f" and values.ndim == 4 and values.shape[-1] == 2:
        values = values[..., 0] + 1j * values[..., 1]
    return np.asarray(values)


def _read_positions(tree: Hdf5Tree, patch_px: int, path: Path) -> NDArray[np.float64] | None:
    corners, shifts = tree.read(f"{_ATTRIBUTES}/crop_pos"), tree.read(f"{TENSORS}/probe_pos_shifts")
    if corners is None:
        return None
    positions = check_result_positions(corners, path, "crop_pos") + patch_px // 2
    if shifts is None:
        return positions
    moves = check_result_positions(shifts, path, "probe_pos_shifts")
    if moves.shape != positions.shape:
        raise tree.make_error(f"there are {len(positions)} crop_pos and {len(moves)} probe_pos_shifts")
    return positions + moves
