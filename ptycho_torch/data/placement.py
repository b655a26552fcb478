"""Placement: positions in object pixels from those of a file: units told apart, rasters laid out, axes turned."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ptycho_torch.config import DataSettings
from ptycho_torch.data.numbers import add_numbers, parse_numbers
from ptycho_torch.data.recording import Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.untrusted import abbreviate

_log = logging.getLogger(__name__)

METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
_HOW_PIXEL = (
    "specify --pixel_m, or --energy_ev (or --electron_energy_ev or --wavelength_m), --distance_m and --detector_pixel_m"
)
# steps outside of this range, in object pixels, cannot be those of a scan
_LEAST_STEP_PX = 0.05
# without an object pixel: steps below this, in pixels, or above the side of the patterns are unusual
_SMALL_STEP_PX = 0.5
# a usual step as a share of the patterns' side; of two units the one farther off must be this many times farther
_USUAL_STEP = 0.1
_CLEARLY = 4.0
# positions whose nearest neighbour is looked for
_MOST_MEASURED = 10_000


@dataclass(frozen=True)
class Scale:
    """What converts lengths on the sample to object pixels.

    Attributes:
        pixel_m: side of an object pixel, or None if it is unknown.
        side_px: side of the patterns, to the detector pixels of which the object pixel belongs.
        stored_px: rows and columns of the patterns to which positions in pixels belong.
    """

    pixel_m: float | None
    side_px: int
    stored_px: tuple[int, int]

    def from_stored(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert object pixels of the stored patterns to those of the window."""
        rows, columns = (self.side_px / length for length in self.stored_px)
        return np.multiply(positions, [rows, columns])

    def from_metres(self, positions_m: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """Convert metres.

        Raises:
            ScanFileError: the size of an object pixel is unknown.
        """
        if self.pixel_m is None:
            raise ScanFileError(
                f"{name}: positions are in metres and the size of an object pixel is unknown; {_HOW_PIXEL}"
            )
        return positions_m / self.pixel_m


@np.errstate(over="ignore", invalid="ignore")
def measure_step(positions: NDArray[np.float64]) -> float:
    """Median distance to the nearest neighbour, in the unit of the positions; 0 for a single position."""
    # pairs are sorted several times faster as complex numbers than as rows
    pairs = np.ascontiguousarray(positions, np.float64).view(np.complex128)
    distinct = np.unique(pairs).view(np.float64).reshape(-1, 2)
    if len(distinct) < 2:
        return 0.0
    # the neighbours of some tell the median of all
    chosen = distinct[:: -(-len(distinct) // _MOST_MEASURED)]
    distances, _ = cKDTree(distinct).query(chosen, k=2)
    return float(np.median(np.asarray(distances)[:, 1]))


@np.errstate(over="ignore", invalid="ignore")  # what overflows is infinite, and refused
def place_positions(recording: Recording, settings: DataSettings, scale: Scale) -> NDArray[np.float64]:
    """Compute the positions (pattern, 2), row and column in object pixels, in the order of the stored patterns.

    Raises:
        ScanFileError: there are none, their unit cannot be told, or they do not fit the number of patterns.
    """
    name, patterns = recording.name, len(recording.patterns)
    if recording.positions is None or settings.raster_columns is not None:
        return turn(_lay_out_raster(recording, settings, scale), settings)
    positions = recording.positions
    if positions.shape != (patterns, 2):
        raise ScanFileError(
            f"{name}: positions have shape {positions.shape}; they must have shape ({patterns}, 2), "
            "one (row, column) per pattern"
        )
    return turn(_convert(_complete(positions, settings, name), recording, settings, scale), settings)


def _complete(positions: NDArray[np.float64], settings: DataSettings, name: str) -> NDArray[np.float64]:
    """Positions (pattern, 2), with those that are lost in the middle if their patterns are left out anyway."""
    is_known = np.asarray(np.isfinite(positions).all(axis=1))
    if is_known.all():
        return positions
    lost = find_lost(positions, settings)
    if lost.size or not is_known.any():
        first, words = np.flatnonzero(~is_known)[0], add_numbers(settings.leave_out, lost)
        raise ScanFileError(
            f"{name}: positions contain NaN or infinite values, first that of pattern {first}; to reconstruct without "
            f"such patterns, add --leave_out {abbreviate(words)}"
        )
    return np.where(is_known[:, None], positions, positions[is_known].mean(axis=0))


def find_lost(positions: NDArray[np.float64], settings: DataSettings) -> NDArray[np.int64]:
    """Numbers of the patterns with a position (pattern, 2) that is not finite and that no setting leaves out."""
    lost = np.flatnonzero(~np.isfinite(positions).all(axis=1)) - settings.position_offset
    lost = lost[(lost >= 0) & (lost < len(positions))]
    if settings.leave_out is not None and lost.size:
        lost = np.setdiff1d(lost, parse_numbers(settings.leave_out, len(positions)))
    return lost


@np.errstate(over="ignore", invalid="ignore")
def turn(positions: NDArray[np.float64], settings: DataSettings) -> NDArray[np.float64]:
    """Exchange, flip, rotate and scale positions (pattern, 2), in this order.

    A rotation by a positive angle turns the direction of growing rows towards that of growing columns.
    """
    if settings.swap_positions:
        positions = positions[:, ::-1]
    signs = [-1.0 if flip else 1.0 for flip in (settings.flip_position_rows, settings.flip_position_columns)]
    angle = math.radians(settings.position_rotation_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if signs == [1.0, 1.0] and not angle and settings.position_scale == 1:
        return positions
    return (positions * signs) @ rotation.T * settings.position_scale


def _convert(
    positions: NDArray[np.float64], recording: Recording, settings: DataSettings, scale: Scale
) -> NDArray[np.float64]:
    unit: str = settings.position_unit
    if unit == "auto":
        unit = _tell_unit(positions, recording, scale)
    if unit == "px":
        return scale.from_stored(positions)
    if unit == "step":
        return _scale_steps(positions, recording, settings, scale)
    return scale.from_metres(positions * METRES[unit], recording.name)


def _tell_unit(positions: NDArray[np.float64], recording: Recording, scale: Scale) -> str:
    """Tell pixels from metres, millimetres, micrometres and nanometres.

    Raises:
        ScanFileError: two units are about as likely.
    """
    stated, step = recording.position_unit, measure_step(positions)
    if stated == "m" or scale.pixel_m is None or not step:
        if stated == "auto" and step and not _SMALL_STEP_PX <= step <= scale.side_px:
            _log.warning(
                "%s: positions are read as pixels, and neighbours are %.3g px apart, which is unusual; if they have "
                "another unit, specify --position_unit, and %s",
                *(recording.name, step, _HOW_PIXEL.removeprefix("specify ")),
            )
        return stated if stated != "auto" else "px"
    steps = {"px": float(measure_step(scale.from_stored(positions)))}
    steps |= {unit: step * metres / scale.pixel_m for unit, metres in METRES.items()}
    if stated == "px" and steps["px"] >= _LEAST_STEP_PX:
        return stated
    offs = {unit: abs(math.log(found / (_USUAL_STEP * scale.side_px))) for unit, found in steps.items()}
    best, second = sorted(offs, key=lambda unit: offs[unit])[:2]
    if offs[second] - offs[best] < math.log(_CLEARLY):
        raise ScanFileError(
            f"{recording.name}: the unit of the positions cannot be told: neighbours are {steps[best]:.3g} px apart in "
            f"{best}, {steps[second]:.3g} px in {second}; specify --position_unit"
        )
    _log.info("%s: positions are read as %s: neighbours are %.3g px apart", recording.name, best, steps[best])
    return best


def _scale_steps(
    positions: NDArray[np.float64], recording: Recording, settings: DataSettings, scale: Scale
) -> NDArray[np.float64]:
    if settings.step_px is not None:
        return positions * settings.step_px
    step_m = recording.step_m if settings.step_m is None else (settings.step_m, settings.step_m)
    if step_m is None:
        raise ScanFileError(
            f"{recording.name}: the distance between neighbouring positions is unknown; specify --step_m or --step_px"
        )
    return scale.from_metres(positions * step_m, recording.name)


def _lay_out_raster(recording: Recording, settings: DataSettings, scale: Scale) -> NDArray[np.float64]:
    name, patterns = recording.name, len(recording.patterns)
    raster = recording.raster
    if settings.raster_columns is not None:
        raster = (patterns // settings.raster_columns, settings.raster_columns)
    if raster is None:
        raise ScanFileError(
            f"{name}: contains {patterns} patterns and no positions; "
            + (f"the file contains {recording.contents}; " if recording.contents else "")
            + "name them by --positions, or, for a raster, specify --raster_columns and --step_m"
        )
    if math.prod(raster) != patterns:
        raise ScanFileError(f"{name}: {patterns} patterns do not fill a raster with {raster[1]} columns")
    rows, columns = np.divmod(np.arange(patterns), raster[1])
    return _scale_steps(np.stack([rows, columns], axis=1).astype(np.float64), recording, settings, scale)
