"""Results of PtychoShelves and fold_slice, MATLAB 5 or 7.3: `object`, `probe`, `outputs` and `p`.

`object` is (row, column, layer), `probe` (row, column, mode, variable mode). `outputs.probe_positions` is (pattern, 2)
in pixels (x, y) from the middle of the object; `p.dx_spec` is the side of a pixel in metres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.arrays import ArrayTable
from ptycho_torch.formats.result import (
    ResultFile,
    check_object,
    check_result_positions,
    check_result_probe,
    list_errors,
)

POSITIONS = ("outputs.probe_positions", "outputs/probe_positions")
_PIXELS = ("p.dx_spec", "p/dx_spec")
_ERRORS = ("outputs.fourier_error_out", "outputs/fourier_error_out")


def read_ptychoshelves_result(table: ArrayTable) -> ResultFile:
    """Read a result from the arrays of its file.

    Raises:
        ScanFileError: a part of it is missing or unusable.
    """
    path = table.path
    image, probe = table.read("object"), table.read("probe")
    if image.ndim > 3 or probe.ndim > 4:
        raise ScanFileError(f"{path}: object has shape {image.shape} and probe {probe.shape}; they have too many axes")
    probe = probe[..., 0] if probe.ndim == 4 else probe
    pixels = check_object(_put_last_first(image), path)
    modes = check_result_probe(_put_last_first(probe), path)
    positions = _find(table, POSITIONS)
    return ResultFile(
        program="PtychoShelves",
        pixels=pixels,
        pixel_m=_read_side(_find(table, _PIXELS)),
        probe=modes,
        positions_px=None if positions is None else _to_pixels(positions, pixels.shape, modes.shape[-1], path),
        errors=list_errors(_find(table, _ERRORS)),
    )


def _find(table: ArrayTable, names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((table.read(name) for name in names if name in table.shapes), None)


def _read_side(values: NDArray[Any] | None) -> float | None:
    if values is None or values.dtype.kind != "f" or values.size == 0:
        return None
    side = float(np.ravel(values)[0])
    return side if np.isfinite(side) and side > 0 else None


def _put_last_first(values: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(values, -1, 0) if values.ndim == 3 else values


def _to_pixels(positions: NDArray[Any], shape: tuple[int, ...], patch_px: int, path: Path) -> NDArray[np.float64]:
    """Positions (row, column) of patch pixel N//2; patch pixel [0, 0] lies at ⌈(size − N) / 2⌉ + position."""
    from_middle = check_result_positions(positions, path, POSITIONS[0])[:, ::-1]
    return from_middle + np.ceil((np.array(shape) - patch_px) / 2) + patch_px // 2
