from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_physics import patterns
from numpy_samples import LOPSIDED, compact_probe

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.solve.scan_model import Misfit, ScanModel

CPU = torch.device("cpu")


def test_expected_counts_agree_with_written_out_sums(lopsided_scan: Scan) -> None:
    specimen, probe = LOPSIDED.pixels(48, 48), compact_probe(24, modes=2, photons=1e6)
    good = np.ones((24, 24), bool)
    good[3, 4] = False
    model = ScanModel(replace(lopsided_scan, good_pixels=good), CPU)
    canvas = model.start_object(Canvas(specimen.astype(np.complex64)))
    wrapped = model.start_probe(probe.astype(np.complex64), 2)
    wrapped *= (1e6 / lopsided_scan.photons_per_pattern) ** 0.5
    found = model.expected(canvas, wrapped, torch.arange(len(lopsided_scan)))
    wanted = patterns(specimen, probe, lopsided_scan.positions_px) * good
    np.testing.assert_allclose(np.fft.fftshift(found.numpy(), axes=(1, 2)), wanted, atol=1e-4 * wanted.max())
    loaded = np.fft.fftshift(model.load_counts(model.patterns).numpy(), axes=(1, 2))
    np.testing.assert_allclose(loaded, lopsided_scan.counts * good)


def test_the_start_is_empty_space_and_a_probe_of_the_measured_power(lopsided_scan: Scan) -> None:
    model = ScanModel(lopsided_scan, CPU)
    assert (model.start_object(None) == 1).all()
    probe = model.start_probe(np.full((1, 24, 24), 77, np.complex64), 1)
    assert probe.abs().square().sum().item() == pytest.approx(lopsided_scan.photons_per_pattern, rel=1e-5)


@pytest.mark.parametrize("modes", [1, 2, 4])
def test_missing_modes_start_weak_and_orthogonal(lopsided_scan: Scan, modes: int) -> None:
    probe = ScanModel(lopsided_scan, CPU).start_probe(None, modes)
    flat = probe.reshape(modes, -1)
    overlap = (flat @ flat.mH).abs()
    power = overlap.diagonal()
    assert probe.abs().square().sum().item() == pytest.approx(lopsided_scan.photons_per_pattern, rel=1e-5)
    assert (power[1:] < 0.05 * power[0]).all()
    assert (power > 0).all()
    assert (overlap - power.diag()).max() < 1e-4 * power[0]


def test_modes_beyond_those_asked_for_are_dropped(lopsided_scan: Scan) -> None:
    three = compact_probe(24, modes=3).astype(np.complex64)
    assert len(ScanModel(lopsided_scan, CPU).start_probe(three, 2)) == 2


def test_mini_batches_hold_every_pattern_once(lopsided_scan: Scan) -> None:
    model = ScanModel(lopsided_scan, CPU)
    assert len(lopsided_scan) == 36
    for batches, made in ((1, 1), (5, 5), (1000, 6)):
        parts = model.partition(batches, 1)
        assert len(parts) == made
        assert sorted(torch.cat(parts).tolist()) == list(range(len(lopsided_scan)))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_few_patterns_make_one_mini_batch(lopsided_scan: Scan) -> None:
    few = ScanModel(lopsided_scan.take(slice(0, 4)), CPU)
    assert [sorted(part.tolist()) for part in few.partition(16, 1)] == [[0, 1, 2, 3]]


def test_a_scan_without_a_probe_needs_one(lopsided_scan: Scan) -> None:
    model = ScanModel(replace(lopsided_scan, probe=None), CPU)
    with pytest.raises(DataError, match=r"there is no probe.*--probe"):
        model.start_probe(None, 1)


def test_objects_know_their_place(lopsided_scan: Scan) -> None:
    model = ScanModel(replace(lopsided_scan, pixel_m=3e-8), CPU)
    found = model.to_canvas(model.start_object(None))
    assert found.origin_px == model.frame.origin_px
    assert found.pixel_m == 3e-8


def test_no_pattern_adds_nothing(lopsided_scan: Scan) -> None:
    model = ScanModel(lopsided_scan, CPU, held_out_share=0.1)
    canvas, probe, none = model.start_object(None), model.start_probe(None, 2), model.patterns[:0]
    waves = model.waves(canvas, model.shifted(probe, none), none)
    exits = model.exit_waves(waves, waves.expected)
    misfit = model.misfit(waves.expected, model.load_counts(none).sqrt(), none)
    for added in (model.to_object(waves, exits), model.to_probe(waves, exits, none), model.illumination(probe, none)):
        assert not added.any()
    together = model.sum_misfits([misfit])
    assert together.photons == together.squared == together.free_photons == 0
    assert together.free_deviance.shape == (len(lopsided_scan),)


def test_misfits_of_mini_batches_add_up_in_the_order_of_the_scan(lopsided_scan: Scan) -> None:
    model = ScanModel(lopsided_scan, CPU, held_out_share=0.1)
    canvas, probe = model.start_object(None), model.start_probe(None, 1)

    def measure(patterns: torch.Tensor) -> Misfit:
        amplitude = model.load_counts(patterns).sqrt()
        return model.misfit(model.expected(canvas, probe, patterns), amplitude, patterns)

    whole, together = measure(model.patterns), model.sum_misfits(measure(part) for part in model.partition(3, 0))
    np.testing.assert_allclose(together.free_deviance, whole.free_deviance, rtol=1e-5)
    assert together.error == pytest.approx(whole.error, rel=1e-5)
    assert together.free_error == pytest.approx(whole.free_error, rel=1e-5)
