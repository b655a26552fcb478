"""Where a stored reconstruction lies under a scan: programs count positions from different pixels.

A position is sought at which object and probe predict the patterns best, near the one that the file or the middles of
object and scan give. A wave and its complex conjugate give the same patterns under the other sign of the Fourier
transform, so both are tried.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.placement import measure_step
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.scores import match_photons
from ptycho_torch.formats.result import ResultFile
from ptycho_torch.physics.propagate import wrap
from ptycho_torch.solve.scan_model import ScanModel

_log = logging.getLogger(__name__)

_PATTERNS = 24
_REACH_PX = 4
_FRACTIONS_PX = (0.5, 0.25, 0.125)
_SAME_PIXEL = 0.01
# of the step: positions of a file that differ more from those of the scan belong to another scan or order
_SAME_POSITIONS = 3.0


@dataclass(frozen=True, eq=False)
class PlacedResult:
    """A stored reconstruction under the scan that it describes.

    Attributes:
        scan: the scan, with positions in the coordinates of the object, refined ones if the result contains them.
        canvas: the object.
        probe: (mode, h, w) its probe, or that of the scan.
    """

    scan: Scan
    canvas: Canvas
    probe: NDArray[np.complex64]


def place_result(result: ResultFile, scan: Scan) -> PlacedResult:
    """Place a reconstruction under a scan.

    Raises:
        DataError: pixels or probe have another size than those of the scan, there is no probe, or the object does not
            lie under the scan.
    """
    _check_pixels(result, scan)
    probe = scan.require_probe() if result.probe is None else result.probe
    if probe.shape[-1] != scan.patch_px:
        raise DataError(
            f"the probe of the result has {probe.shape[-1]} px, and the patterns of {scan.name} {scan.patch_px} px; "
            "read the scan with the --crop_px, --bin or --pad_px of the reconstruction"
        )
    canvas = Canvas(result.pixels, result.origin_px or (0.0, 0.0), result.pixel_m or scan.pixel_m)
    own = _find_own_positions(result, scan)
    if result.origin_px is not None:
        placed = scan if own is None else _move(scan, own)
        return PlacedResult(placed, canvas, _check_place(placed, canvas, probe))
    start = own if own is not None else _put_in_middle(scan, canvas)
    shift_px, is_conjugate = _find_shift(replace(scan, positions_px=start, truth=None), canvas, probe)
    _log.info("the object lies %+.2f rows and %+.2f columns from where its file puts it", *shift_px)
    if is_conjugate:
        _log.warning("object and probe are conjugated: their program transforms with the other sign")
        canvas, probe = replace(canvas, pixels=canvas.pixels.conj()), probe.conj()
    placed = replace(scan, positions_px=start + shift_px, truth=None)
    return PlacedResult(placed, canvas, _check_place(placed, canvas, probe))


def _check_pixels(result: ResultFile, scan: Scan) -> None:
    if result.pixel_m and scan.pixel_m and abs(result.pixel_m / scan.pixel_m - 1) > _SAME_PIXEL:
        raise DataError(
            f"pixels of the result are {result.pixel_m * 1e9:.4g} nm wide, and those of {scan.name} "
            f"{scan.pixel_m * 1e9:.4g} nm; check --crop_px, --bin, --pad_px, --distance_m and the wavelength"
        )


def _check_place(scan: Scan, canvas: Canvas, probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    if not canvas.has_patches(scan.positions_px, scan.patch_px).any():
        raise DataError(f"the object of the result does not lie under {scan.name}; name the scan that it was made from")
    return probe


def _find_own_positions(result: ResultFile, scan: Scan) -> NDArray[np.float64] | None:
    """The positions of the file if they are those of the scan up to a shift and refinement."""
    own = result.positions_px
    if own is None:
        return None
    if own.shape != scan.positions_px.shape:
        _log.warning("the result has %d positions and the scan %d; those of the scan are used", len(own), len(scan))
        return None
    moved = own - scan.positions_px
    spread = float(np.linalg.norm(moved - np.median(moved, axis=0), axis=1).mean())
    step = measure_step(scan.positions_px)
    if step and spread > _SAME_POSITIONS * step:
        _log.warning("positions of result and scan differ by %.3g px; those of the scan are used", spread)
        return None
    return own


def _move(scan: Scan, positions_px: NDArray[np.float64]) -> Scan:
    """The scan at other positions, without its true object if that is too small for them."""
    is_covered = scan.truth is not None and scan.truth.has_patches(positions_px, scan.patch_px).all()
    return replace(scan, positions_px=positions_px, truth=scan.truth if is_covered else None)


def _put_in_middle(scan: Scan, canvas: Canvas) -> NDArray[np.float64]:
    """Positions of the scan, shifted so that the middle of their patches is the middle of the object's array."""
    corners = scan.positions_px - scan.patch_px // 2
    middle = (corners.min(axis=0) + corners.max(axis=0) + scan.patch_px) / 2
    return scan.positions_px + np.round(np.array(canvas.pixels.shape) / 2 - middle)


def _find_shift(scan: Scan, canvas: Canvas, probe: NDArray[np.complex64]) -> tuple[NDArray[np.float64], bool]:
    """Find by how much to move the positions, to an eighth of a pixel, and whether to conjugate object and probe."""
    chosen = np.unique(np.linspace(0, len(scan) - 1, _PATTERNS).round().astype(np.int64))
    part = scan.take(chosen)
    versions = [(canvas, probe), (replace(canvas, pixels=canvas.pixels.conj()), probe.conj())]
    whole = np.arange(-_REACH_PX, _REACH_PX + 1.0)
    best, place, version = np.inf, np.zeros(2), 0
    for number, (image, wave) in enumerate(versions):
        error, shift = _find_best(part, image, wave, ((row, column) for row in whole for column in whole))
        if error < best:
            best, place, version = error, shift, number
    for step in _FRACTIONS_PX:
        around = [(place[0] + row, place[1] + column) for row in (-step, 0, step) for column in (-step, 0, step)]
        _, place = _find_best(part, *versions[version], around)
    return place, version == 1


def _find_best(
    scan: Scan, canvas: Canvas, probe: NDArray[np.complex64], shifts: Iterable[tuple[float, float]]
) -> tuple[float, NDArray[np.float64]]:
    wrapped = wrap(torch.from_numpy(np.array(probe)))
    best, place = np.inf, np.zeros(2)
    for shift in shifts:
        model = ScanModel(replace(scan, positions_px=scan.positions_px + shift), torch.device("cpu"))
        image = match_photons(model, model.start_object(canvas), wrapped, [model.patterns])
        expected = model.expected(image, wrapped, model.patterns)
        error = float((expected.sqrt() - model.load_counts(model.patterns).sqrt()).square().sum())
        if error < best:
            best, place = error, np.array(shift)
    return best, place
