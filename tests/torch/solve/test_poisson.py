from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_refine import deviance_gradient
from numpy_samples import LOPSIDED, compact_probe

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.losses import total_variation
from ptycho_torch.solve.poisson import PoissonAdam
from ptycho_torch.solve.scan_model import ScanModel

ONE_BATCH = RefineSettings(
    method="poisson", epochs=6, batches=1, probe_start=1, total_variation=0.0, learning_rate=0.02
)


def solver(scan: Scan, settings: RefineSettings, specimen: np.ndarray | None = None) -> PoissonAdam:
    """A solver that starts from the scan's own probe and a specimen whose pixel [0, 0] lies at position (0, 0)."""
    model = ScanModel(scan, torch.device("cpu"))
    canvas = model.start_object(None if specimen is None else Canvas(specimen.astype(np.complex64)))
    assert scan.probe is not None
    wrapped = torch.from_numpy(np.fft.ifftshift(scan.probe, axes=(1, 2)).copy())
    return PoissonAdam(model, canvas, wrapped, settings)


@pytest.fixture(scope="module")
def faint_scan(lopsided_scan: Scan) -> Scan:
    """A hundred photons a pattern, with a probe of that power and one bad pixel in the direct beam."""
    counts = np.random.default_rng(1).poisson(lopsided_scan.counts * 1e-4).astype(np.float32)
    good = np.ones((24, 24), bool)
    good[12, 13] = False
    assert lopsided_scan.probe is not None
    return replace(lopsided_scan, counts=counts, good_pixels=good, probe=lopsided_scan.probe * 1e-2)


def test_the_first_step_goes_down_the_gradient(lopsided_scan: Scan) -> None:
    frame = Frame(lopsided_scan.positions_px, 24)
    specimen = LOPSIDED.pixels(48, 48)[:, ::-1]
    start = Canvas(specimen.astype(np.complex64)).cut_window(frame.origin_px, frame.shape_px).astype(complex)
    gradient = deviance_gradient(
        start,
        compact_probe(24, photons=1e6),
        frame.corners_px,
        frame.shifts_px.astype(np.float64),
        lopsided_scan.counts.astype(np.float64),
    )
    found = solver(lopsided_scan, ONE_BATCH, specimen)
    found.epoch(0)
    moved = found.canvas.numpy() - start
    for part in ("real", "imag"):
        slope, change = getattr(gradient, part), getattr(moved, part)
        steep = np.abs(slope) > 0.05 * np.abs(slope).max()
        assert steep.sum() > 100
        np.testing.assert_allclose(change[steep], -0.02 * np.sign(slope[steep]), rtol=0.01)


def test_epochs_lower_the_error(faint_scan: Scan) -> None:
    found = solver(faint_scan, replace(ONE_BATCH, epochs=15, batches=4, learning_rate=0.05))
    errors = [found.epoch(number).error for number in range(15)]
    assert errors[-1] < 0.9 * errors[0]


def test_bad_pixels_carry_no_weight(faint_scan: Scan) -> None:
    spoiled = replace(faint_scan, counts=np.where(faint_scan.good_pixels, faint_scan.counts, np.float32(1e6)))
    first, second = (solver(scan, replace(ONE_BATCH, probe_start=0)) for scan in (faint_scan, spoiled))
    assert first.epoch(0).error == pytest.approx(second.epoch(0).error, rel=1e-6)
    torch.testing.assert_close(first.canvas, second.canvas)
    torch.testing.assert_close(first.probe, second.probe)


def test_total_variation_smooths(faint_scan: Scan) -> None:
    rough, smooth = (
        solver(faint_scan, replace(ONE_BATCH, epochs=10, batches=4, total_variation=weight)) for weight in (0.0, 3.0)
    )
    for number in range(10):
        rough.epoch(number)
        smooth.epoch(number)
    assert total_variation(smooth.canvas).item() < 0.7 * total_variation(rough.canvas).item()


def test_the_probe_waits_and_keeps_its_power(faint_scan: Scan) -> None:
    found = solver(faint_scan, replace(ONE_BATCH, epochs=4, probe_start=0.5))
    start = found.probe.clone()
    for number, moves in enumerate((False, False, True, True)):
        before = found.probe.clone()
        found.epoch(number)
        changed = (found.probe - before).norm() > 1e-5 * before.norm()
        assert bool(changed) == moves
    assert found.probe.norm().item() == pytest.approx(start.norm().item(), rel=1e-4)
