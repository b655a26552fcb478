"""ResultFile: object and probe that a program has stored, as they are in its file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import LARGEST_CANVAS_PX
from ptycho_torch.errors import ScanFileError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ResultFile:
    """A stored reconstruction.

    Attributes:
        program: what wrote it, as in "a result of PtyPy".
        pixels: (height, width) complex64 object.
        origin_px: position (row, column) of pixel [0, 0] in the coordinates of the scan; None if the file does not
            say how they are related.
        pixel_m: side of an object pixel, or None if unknown.
        probe: (mode, h, w) complex64, centred at [h//2, w//2], in any unit; None if the file has none.
        positions_px: (pattern, 2) (row, column) of patch pixel [h//2, w//2], in the coordinates of the scan or, without
            an origin, in pixels of the object's array; None if the file has none.
        errors: the program's own error by epoch; empty if the file has none.
        free_errors: the same over held-out pixels.
    """

    program: str
    pixels: NDArray[np.complex64]
    origin_px: tuple[float, float] | None = None
    pixel_m: float | None = None
    probe: NDArray[np.complex64] | None = None
    positions_px: NDArray[np.float64] | None = None
    errors: tuple[float, ...] = ()
    free_errors: tuple[float, ...] = ()


def check_object(values: NDArray[Any], path: Path, name: str = "object") -> NDArray[np.complex64]:
    """Check an object and multiply its layers, (layer, height, width), into one.

    Raises:
        ScanFileError: it is not complex, has no or too many pixels or axes, is zero, or contains NaN.
    """
    if values.dtype.kind != "c":
        raise ScanFileError(f"{path}: {name} is of type {_describe_type(values)}; it must be complex")
    if values.ndim not in (2, 3) or not 0 < values.size <= LARGEST_CANVAS_PX:
        raise ScanFileError(f"{path}: {name} has shape {values.shape}; it must be (layer, height, width)")
    if not np.isfinite(values).all() or not values.any():
        raise ScanFileError(f"{path}: {name} is zero or contains NaN or infinite values")
    if values.ndim == 3:
        if len(values) > 1:
            _log.warning("%s: the %d layers of the object are multiplied into one", path.name, len(values))
        values = np.prod(values, axis=0)
    return values.astype(np.complex64)


def check_result_probe(values: NDArray[Any], path: Path, name: str = "probe") -> NDArray[np.complex64]:
    """Check a probe and return it as (mode, h, w).

    Raises:
        ScanFileError: it is not numeric, has another number of axes than two or three, is zero, or contains NaN.
    """
    if values.dtype.kind not in "fc":
        raise ScanFileError(f"{path}: {name} is of type {_describe_type(values)}; it must be complex")
    if values.ndim not in (2, 3) or values.size == 0 or values.shape[-1] != values.shape[-2]:
        raise ScanFileError(f"{path}: {name} has shape {values.shape}; it must be (N, N) or (mode, N, N)")
    if not np.isfinite(values).all() or not values.any():
        raise ScanFileError(f"{path}: the {name} must be finite numbers and not zero")
    return values.reshape(-1, *values.shape[-2:]).astype(np.complex64)


def check_result_positions(values: NDArray[Any], path: Path, name: str = "positions") -> NDArray[np.float64]:
    """Check positions (pattern, 2).

    Raises:
        ScanFileError: they have another shape or type, or contain NaN.
    """
    if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise ScanFileError(
            f"{path}: {name} have shape {values.shape} and type {_describe_type(values)}; "
            "they must be finite numbers (pattern, 2)"
        )
    return values.astype(np.float64)


def list_errors(values: NDArray[Any] | None) -> tuple[float, ...]:
    """The errors by epoch as numbers; empty if they are something else."""
    if values is None or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return ()
    return tuple(np.ravel(values).astype(float).tolist())


def _describe_type(values: NDArray[Any]) -> str:
    return "a structure" if values.dtype.names else str(values.dtype)
