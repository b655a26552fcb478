from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_physics import Real, patterns, residual
from numpy_refine import least_squares_step
from numpy_samples import LOPSIDED, compact_probe

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.scan_model import ScanModel

ONE_BATCH = RefineSettings(method="least_squares", epochs=4, batches=1, probe_start=1, regularisation=0.05)


def masked(scan: Scan, spoil: float = 0.0) -> Scan:
    """The scan with two bad pixels beside the direct beam, on which the counts are `spoil`."""
    good = np.ones((24, 24), bool)
    good[12, 13] = good[10, 12] = False
    counts = np.where(good, scan.counts, np.float32(spoil))
    return replace(scan, counts=counts, good_pixels=good)


def in_float64(scan: Scan, frame: Frame) -> tuple[Real, Real, Real]:
    """Sub-pixel parts, counts and weights of the pixels for the reference."""
    return frame.shifts_px.astype(np.float64), scan.counts.astype(np.float64), scan.good_pixels.astype(np.float64)


def solver(scan: Scan, settings: RefineSettings, specimen: np.ndarray, probe: np.ndarray) -> LeastSquares:
    """A solver that starts from a specimen whose pixel [0, 0] lies at position (0, 0) and a centred probe."""
    model = ScanModel(scan, torch.device("cpu"))
    canvas = model.start_object(Canvas(specimen.astype(np.complex64)))
    wrapped = torch.from_numpy(np.fft.ifftshift(probe, axes=(1, 2)).astype(np.complex64))
    return LeastSquares(model, canvas, wrapped, settings)


@pytest.mark.parametrize("modes", [1, 2])
def test_the_first_object_step_follows_the_formula(lopsided_scan: Scan, modes: int) -> None:
    scan, probe = masked(lopsided_scan), compact_probe(24, modes=modes, photons=9e5)
    frame = Frame(scan.positions_px, 24)
    start = Canvas(LOPSIDED.pixels(48, 48)[:, ::-1].astype(np.complex64)).cut_window(frame.origin_px, frame.shape_px)
    wanted, _ = least_squares_step(
        start.astype(complex), probe, frame.corners_px, *in_float64(scan, frame), damping=0.05
    )
    found = solver(scan, ONE_BATCH, LOPSIDED.pixels(48, 48)[:, ::-1], probe)
    found.epoch(0)
    moved = found.canvas.numpy() - start
    np.testing.assert_allclose(moved, wanted, atol=2e-3 * np.abs(wanted).max())


def test_the_probe_step_follows_the_formula(lopsided_scan: Scan) -> None:
    scan, probe = masked(lopsided_scan), compact_probe(24, width=2.4, photons=9e5)
    frame = Frame(scan.positions_px, 24)
    specimen = LOPSIDED.pixels(48, 48)
    start = Canvas(specimen.astype(np.complex64)).cut_window(frame.origin_px, frame.shape_px).astype(complex)
    _, step = least_squares_step(start, probe, frame.corners_px, *in_float64(scan, frame), damping=0.05)
    found = solver(scan, replace(ONE_BATCH, probe_start=0, probe_rate=0.5), specimen, probe)
    found.epoch(0)
    wanted = probe + 0.5 * step
    wanted *= np.linalg.norm(probe) / np.linalg.norm(wanted)
    assert np.linalg.norm(wanted - probe) > 0.05 * np.linalg.norm(probe)
    moved = np.fft.fftshift(found.probe.numpy(), axes=(1, 2))
    np.testing.assert_allclose(moved, wanted, atol=2e-3 * np.abs(wanted).max())


def test_the_error_told_is_that_of_the_start(lopsided_scan: Scan) -> None:
    probe = compact_probe(24, photons=1e6)
    specimen = LOPSIDED.pixels(48, 48)[:, ::-1]
    wanted = residual(patterns(specimen, probe, lopsided_scan.positions_px), lopsided_scan.counts.astype(float))
    assert solver(lopsided_scan, ONE_BATCH, specimen, probe).epoch(0).error == pytest.approx(wanted, rel=1e-3)


def test_truth_stays_where_it_is(lopsided_scan: Scan) -> None:
    found = solver(
        lopsided_scan, replace(ONE_BATCH, probe_start=0), LOPSIDED.pixels(48, 48), compact_probe(24, photons=1e6)
    )
    start, probe = found.canvas, found.probe
    assert max(found.epoch(number).error for number in range(4)) < 1e-3
    assert (found.canvas - start).abs().max() < 5e-3
    assert (found.probe - probe).abs().max() < 5e-3 * probe.abs().max()


def test_bad_pixels_carry_no_weight(lopsided_scan: Scan) -> None:
    probe = compact_probe(24, width=2.4, photons=9e5)
    settings = replace(ONE_BATCH, probe_start=0)
    first, second = (
        solver(masked(lopsided_scan, spoil), settings, LOPSIDED.pixels(48, 48)[:, ::-1], probe) for spoil in (0, 5e5)
    )
    assert first.epoch(0).error == pytest.approx(second.epoch(0).error, rel=1e-6)
    torch.testing.assert_close(first.canvas, second.canvas)
    torch.testing.assert_close(first.probe, second.probe)


def test_the_probe_waits_for_its_share_of_the_epochs(lopsided_scan: Scan) -> None:
    probe = compact_probe(24, width=2.4, photons=9e5)
    found = solver(lopsided_scan, replace(ONE_BATCH, probe_start=0.5), np.ones((48, 48)), probe)
    start = found.probe.clone()
    for number, moves in enumerate((False, False, True, True)):
        before = found.probe.clone()
        found.epoch(number)
        assert bool((found.probe != before).any()) == moves
    assert (found.probe - start).norm() > 0.01 * start.norm()
    assert found.probe.norm().item() == pytest.approx(start.norm().item(), rel=1e-4)


def test_epochs_lower_the_error(lopsided_scan: Scan) -> None:
    settings = RefineSettings(method="least_squares", epochs=12, batches=6, probe_start=1)
    found = solver(lopsided_scan, settings, np.ones((48, 48)), compact_probe(24, photons=1e6))
    errors = [found.epoch(number).error for number in range(12)]
    assert errors[-1] < 0.1 * errors[0]
