from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_samples import LOPSIDED, compact_probe
from torch import Tensor

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.solve.constraints import centroid_px, keep_centre, keep_power, keep_ramp, level_phase
from ptycho_torch.solve.scan_model import ScanModel

SIDE = 24


@pytest.fixture(scope="module")
def model(lopsided_scan: Scan) -> ScanModel:
    return ScanModel(lopsided_scan, torch.device("cpu"))


@pytest.fixture(scope="module")
def canvas(model: ScanModel) -> Tensor:
    return model.start_object(Canvas(LOPSIDED.pixels(48, 48).astype(np.complex64)))


def wrapped(modes: int = 1) -> Tensor:
    probe = np.fft.ifftshift(compact_probe(SIDE, modes=modes, photons=1e6), axes=(1, 2))
    return torch.from_numpy(probe.astype(np.complex64))


def tilted(canvas: Tensor, probe: Tensor, rows: float, columns: float) -> tuple[Tensor, Tensor]:
    """A ramp of so many cycles a patch on the object and the opposite one on the probe."""
    offset = torch.fft.fftfreq(SIDE, 1 / SIDE)
    down, across = (torch.arange(length) for length in canvas.shape)
    there = torch.exp(2j * torch.pi / SIDE * (rows * down[:, None] + columns * across))
    back = torch.exp(-2j * torch.pi / SIDE * (rows * offset[:, None] + columns * offset))
    return canvas * there, probe * back


def assert_same_counts(model: ScanModel, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> None:
    every = torch.arange(len(model.scan))
    before, after = (model.expected(*pair, every) for pair in (first, second))
    torch.testing.assert_close(after, before, atol=1e-4 * before.max().item(), rtol=0)


def misfit(model: ScanModel, pair: tuple[Tensor, Tensor]) -> float:
    """R of a pair."""
    expected = model.expected(*pair, torch.arange(len(model.scan)))
    counts = model.load_counts(model.patterns)
    return float(((expected.sqrt() - counts.sqrt()).square().sum() / counts.sum()).sqrt())


@pytest.mark.parametrize("modes", [1, 3])
def test_power_goes_to_the_probe_and_counts_stay(model: ScanModel, canvas: Tensor, modes: int) -> None:
    reference, probe = wrapped(modes), 1.7j * wrapped(modes).flip(0)
    found = keep_power(canvas, probe, reference)
    assert found[1].norm().item() == pytest.approx(reference.norm().item(), rel=1e-5)
    assert_same_counts(model, (canvas, probe), found)
    power = found[1].abs().square().sum(dim=(1, 2)).tolist()
    assert power == sorted(power, reverse=True)


def test_a_probe_that_wandered_comes_back_with_its_object(model: ScanModel, canvas: Tensor) -> None:
    pair = (torch.roll(canvas, (2, -1), (0, 1)), torch.roll(wrapped(), (2, -1), (1, 2)))
    found = keep_centre(*pair, wrapped())
    torch.testing.assert_close(found[1], wrapped())
    torch.testing.assert_close(found[0], canvas)
    assert_same_counts(model, pair, found)


def test_a_probe_at_its_place_stays(canvas: Tensor) -> None:
    found = keep_centre(canvas, wrapped(), wrapped())
    assert torch.equal(found[0], canvas)
    assert torch.equal(found[1], wrapped())


def test_the_centroid_is_told_from_pixel_zero() -> None:
    moved = torch.roll(wrapped(), (3, -2), (1, 2))
    torch.testing.assert_close(
        centroid_px(moved) - centroid_px(wrapped()), torch.tensor([3.0, -2.0]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("rows", "columns"), [(0.3, -0.2), (-0.45, 0.1), (0.0, 0.0)])
def test_a_drifting_ramp_goes_back_to_the_object(model: ScanModel, canvas: Tensor, rows: float, columns: float) -> None:
    pair = tilted(canvas, wrapped(), rows, columns)
    found = keep_ramp(*pair, wrapped())
    assert_same_counts(model, pair, found)
    torch.testing.assert_close(found[1], wrapped(), atol=1e-3 * wrapped().abs().max().item(), rtol=0)
    torch.testing.assert_close(found[0], canvas, atol=2e-3, rtol=0)


def test_whole_detector_pixels_of_ramp_are_left_to_the_probe(model: ScanModel, canvas: Tensor) -> None:
    pair = tilted(canvas, wrapped(), 1.0, -2.0)
    found = keep_ramp(*pair, wrapped())
    torch.testing.assert_close(found[1], pair[1], atol=1e-2 * wrapped().abs().max().item(), rtol=0)
    assert_same_counts(model, pair, found)


@pytest.mark.parametrize(("rows", "columns"), [(2, 0), (-1, 3), (0, 0)])
def test_whole_cycles_leave_the_object_for_the_probe(model: ScanModel, canvas: Tensor, rows: int, columns: int) -> None:
    light = model.illumination(wrapped(), torch.arange(len(model.scan)))
    pair = tilted(canvas, wrapped(), rows, columns)
    found = level_phase(*pair, light)
    assert_same_counts(model, pair, found)
    overall = torch.sgn((found[0].conj() * canvas).sum())
    torch.testing.assert_close(found[0] * overall, canvas, atol=2e-3, rtol=0)


def test_an_objects_own_small_slope_stays(model: ScanModel, canvas: Tensor) -> None:
    light = model.illumination(wrapped(), torch.arange(len(model.scan)))
    pair = tilted(canvas, wrapped(), 0.3, -0.2)
    found = level_phase(*pair, light)
    assert torch.equal(found[0], pair[0])
    assert torch.equal(found[1], pair[1])


CONSTRAINTS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "power": lambda canvas, probe, reference, light: keep_power(canvas, probe, reference),
    "centre": lambda canvas, probe, reference, light: keep_centre(canvas, probe, reference),
    "ramp": lambda canvas, probe, reference, light: keep_ramp(canvas, probe, reference),
    "level": lambda canvas, probe, reference, light: level_phase(canvas, probe, light),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_no_constraint_changes_how_the_pair_explains_the_data(model: ScanModel, canvas: Tensor, name: str) -> None:
    # a pair that has drifted in every way at once, and does not fit well
    probe = 1.3 * torch.roll(wrapped(2), (1, -2), (1, 2))
    image = torch.roll(canvas, (1, -2), (0, 1)) * (0.9 + 0.1j)
    pair = tilted(image, probe, 2.3, -1.2)
    light = model.illumination(probe, torch.arange(len(model.scan)))
    found = CONSTRAINTS[name](*pair, wrapped(2), light)
    assert any((after != before).any() for after, before in zip(found, pair, strict=True))
    assert misfit(model, found) == pytest.approx(misfit(model, pair), rel=1e-3)


def test_bad_pixels_are_dark_in_measured_and_expected_counts(lopsided_scan: Scan, canvas: Tensor) -> None:
    good = np.ones((SIDE, SIDE), bool)
    good[12, 13] = False
    model = ScanModel(replace(lopsided_scan, good_pixels=good), torch.device("cpu"))
    expected = model.expected(canvas, wrapped(), torch.arange(len(lopsided_scan)))
    assert (np.fft.fftshift(expected.numpy(), axes=(1, 2))[:, 12, 13] == 0).all()
    assert (np.fft.fftshift(model.load_counts(model.patterns).numpy(), axes=(1, 2))[:, 12, 13] == 0).all()
    assert (expected > 0).float().mean() > 0.9
