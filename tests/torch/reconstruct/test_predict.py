from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ending_state import Ending, Lost
from numpy_phases import synchronised
from numpy_physics import Wave, cut, stitched
from numpy_samples import complex_noise
from torch import Tensor, nn

from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.objects import complex_error
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.networks.build import Generator, build_network

CPU = torch.device("cpu")


class Recited(Generator):
    """Patches from a list instead of a network's, one for each pattern of a scan."""

    def __init__(self, patches: np.ndarray, scan: Scan) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.patches = torch.from_numpy(patches.astype(np.complex64))
        self.shown = torch.from_numpy(np.sqrt(scan.counts)).flatten(1)

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """The patches of the patterns that look like these."""
        likeness = torch.nn.functional.normalize(amplitude.flatten(1)) @ torch.nn.functional.normalize(self.shown).mT
        return self.patches[likeness.argmax(dim=1)]


def predicted(generator: Generator, scan: Scan, batch_size: int) -> Prediction:
    assert scan.probe is not None
    return Predictor(generator, scan.probe, scan.photons_per_pattern, CPU).predict(scan, batch_size)


def network() -> Generator:
    """A small network that is not at its start any more."""
    torch.manual_seed(0)
    generator = build_network(Experiment(model=ModelSettings(width=4, depth=2)), 32)
    for weight in generator.parameters():
        if weight.ndim == 4 and not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return generator


def true_patches(scan: Scan) -> Wave:
    assert scan.truth is not None
    corners = np.round(scan.positions_px).astype(int) - 16
    truth = scan.truth.pixels.astype(complex)
    return np.array([cut(truth, (int(row), int(column)), 32) for row, column in corners])


def test_true_patches_merge_to_the_true_object_at_its_place(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    found = predicted(Recited(true_patches(small_scan), small_scan), small_scan, 10)
    wanted = small_scan.truth.cut_window(found.canvas.origin_px, found.canvas.pixels.shape)
    lit = found.illumination > 0.5 * found.illumination.max()
    assert lit.sum() > 100
    assert np.abs(found.canvas.pixels - wanted)[lit].max() < 2e-3
    assert found.spread[lit].max() < 1e-2
    for shift in ((1, 0), (0, 1)):
        assert np.abs(np.roll(found.canvas.pixels, shift, (0, 1)) - wanted)[lit].max() > 0.05


def test_any_patches_merge_to_the_written_out_mean(small_scan: Scan, rng: np.random.Generator) -> None:
    scan = small_scan.take(slice(0, 6))
    # without phases, so that there is nothing to turn
    patches = np.abs(complex_noise(rng, 6, 32, 32)) + 0j
    found = predicted(Recited(patches, scan), scan, 4)
    frame = Frame(scan.positions_px, 32)
    assert scan.probe is not None
    light = (np.abs(scan.probe.astype(complex)) ** 2).sum(0)
    merged, total, spread = stitched(patches, light, frame.corners_px, frame.shape_px)
    np.testing.assert_allclose(found.canvas.pixels, merged, atol=1e-4)
    np.testing.assert_allclose(found.illumination, total, rtol=1e-4, atol=1e-6 * total.max())
    # the spread is a difference of large numbers where one patch outshines the rest
    bright = total > 0.01 * total.max()
    np.testing.assert_allclose(found.spread[bright], spread[bright], atol=1e-2)


@pytest.mark.parametrize("batch_size", [1, 20, 1000])
@pytest.mark.parametrize("order", ["scan", "shuffled"])
def test_the_phases_of_patches_do_not_matter(
    small_scan: Scan, rng: np.random.Generator, batch_size: int, order: str
) -> None:
    scan = small_scan if order == "scan" else small_scan.take(rng.permutation(len(small_scan)))
    patches = true_patches(scan)
    wanted = predicted(Recited(patches, scan), scan, batch_size)
    turned = patches * np.exp(2j * np.pi * rng.uniform(size=(len(scan), 1, 1)))
    found = predicted(Recited(turned, scan), scan, batch_size)
    lit = wanted.illumination > 0.1 * wanted.illumination.max()
    first, second = wanted.canvas.pixels[lit], found.canvas.pixels[lit]
    assert complex_error(first, second, np.ones(first.shape, bool)) < 0.01
    assert found.spread[lit].max() < 0.02


def test_noisy_patches_agree_as_well_as_a_long_search_makes_them(small_scan: Scan, rng: np.random.Generator) -> None:
    noise = 0.3 * complex_noise(rng, len(small_scan), 32, 32)
    turned = (true_patches(small_scan) + noise) * np.exp(2j * np.pi * rng.uniform(size=(len(small_scan), 1, 1)))
    found = predicted(Recited(turned, small_scan), small_scan, 16)
    assert small_scan.probe is not None
    light = (np.abs(small_scan.probe.astype(complex)) ** 2).sum(0)
    frame = Frame(small_scan.positions_px, 32)
    wanted = synchronised(turned, light, frame.corners_px, frame.shape_px)
    lit = found.illumination > 0.1 * found.illumination.max()
    first = stitched(wanted, light, frame.corners_px, frame.shape_px)[0]
    assert complex_error(found.canvas.pixels, first, lit) < 0.05


def test_a_part_that_overlaps_nothing_keeps_its_phase(small_scan: Scan) -> None:
    positions = small_scan.positions_px.copy()
    positions[20:] += 200
    scan = replace(small_scan, positions_px=positions, truth=None)
    patches = np.ones((len(scan), 32, 32), complex)
    patches[20:] *= 1j
    found = predicted(Recited(patches, scan), scan, 16)
    for part, phase in ((slice(0, 40), 0), (slice(-40, None), np.pi / 2)):
        lit = found.illumination[part] > 0.1 * found.illumination.max()
        np.testing.assert_allclose(np.angle(found.canvas.pixels[part][lit]), phase, atol=0.02)


@pytest.mark.parametrize("patterns", [1, 2, 3, 4])
def test_a_scan_may_have_few_patterns(small_scan: Scan, patterns: int) -> None:
    scan = small_scan.take(slice(0, patterns))
    found = predicted(Recited(true_patches(scan), scan), scan, 2)
    assert scan.truth is not None
    wanted = scan.truth.cut_window(found.canvas.origin_px, found.canvas.pixels.shape)
    assert complex_error(found.canvas.pixels, wanted, found.illumination > 0.5 * found.illumination.max()) < 0.01


@pytest.mark.parametrize("stored", [0, 10, 100])
def test_patches_that_are_not_held_are_read_or_made_again(
    small_scan: Scan, stored: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = predicted(network(), small_scan, 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, patterns in (("_MOST_HELD_BYTES", 20), ("_MOST_STORED_BYTES", stored)):
        monkeypatch.setattr(f"ptycho_torch.models.kept_patches.{name}", patterns * 32**2 * 8)
    found = predicted(network(), small_scan, 10)
    np.testing.assert_allclose(found.canvas.pixels, wanted.canvas.pixels, atol=1e-5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch_size", [1, 7, 49, 1000])
def test_the_object_does_not_depend_on_the_batches(small_scan: Scan, batch_size: int) -> None:
    wanted, found = predicted(network(), small_scan, 16), predicted(network(), small_scan, batch_size)
    assert np.abs(wanted.canvas.pixels - 1).max() > 0.01
    np.testing.assert_allclose(found.canvas.pixels, wanted.canvas.pixels, atol=1e-4)
    np.testing.assert_allclose(found.illumination, wanted.illumination, rtol=1e-4)
    lit = wanted.illumination > 0.01 * wanted.illumination.max()
    np.testing.assert_allclose(found.spread[lit], wanted.spread[lit], atol=3e-3)


def test_an_untrained_network_predicts_vacuum(small_scan: Scan) -> None:
    generator = build_network(Experiment(model=ModelSettings(width=4, depth=2)), 32)
    np.testing.assert_allclose(predicted(generator, small_scan, 16).canvas.pixels, 1, atol=1e-6)


def test_progress_is_reported_after_each_batch(small_scan: Scan) -> None:
    done: list[int] = []
    assert small_scan.probe is not None
    predictor = Predictor(network(), small_scan.probe, small_scan.photons_per_pattern, CPU)
    predictor.predict(small_scan, 20, progress=lambda patterns, _: done.append(patterns))
    assert done == [20, 40, 49]


def test_bad_pixels_are_not_shown_to_the_network(small_scan: Scan) -> None:
    good = np.ones((32, 32), bool)
    good[16, 17] = False
    first, second = (
        replace(small_scan, counts=np.where(good, small_scan.counts, np.float32(value)), good_pixels=good)
        for value in (0, 1e5)
    )
    np.testing.assert_array_equal(
        predicted(network(), first, 16).canvas.pixels, predicted(network(), second, 16).canvas.pixels
    )


class Listening(Generator):
    """Empty patches; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.heard: list[Tensor] = []
        self.good: list[Tensor] = []

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """Ones."""
        self.heard.append(amplitude)
        assert good is not None
        self.good.append(good)
        return torch.ones_like(amplitude) + 0j


@pytest.mark.parametrize("dose", [0.01, 1.0, 4.0])
def test_the_network_is_shown_amplitudes_of_order_one_at_any_dose(small_scan: Scan, dose: float) -> None:
    generator = Listening()
    predicted(generator, replace(small_scan, counts=small_scan.counts * np.float32(dose)), 20)
    shown = torch.cat(generator.heard).numpy()
    assert np.mean(shown**2) == pytest.approx(1, rel=1e-4)
    # each pattern once, in an order of the predictor's own
    wanted, found = (
        images[np.argsort(images[:, 16, 15] + 1e-3 * images[:, 15, 16])]
        for images in (small_scan.counts / small_scan.counts.max(), shown**2 / shown.max() ** 2)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_network_is_told_which_pixels_are_bad(small_scan: Scan) -> None:
    good = np.ones((32, 32), bool)
    good[3, 4:7] = False
    generator = Listening()
    predicted(generator, replace(small_scan, good_pixels=good), 20)
    assert generator.good
    for shown in generator.good:
        np.testing.assert_array_equal(shown.numpy(), good[None])


def test_a_flat_probe_is_refused(small_scan: Scan) -> None:
    assert small_scan.probe is not None
    with pytest.raises(DataError, match=r"complex .*\(mode, 32, 32\)"):
        Predictor(network(), small_scan.probe[0], 1.0, CPU)


@pytest.mark.parametrize("last", [2, 6, 9, 13])
def test_a_lost_prediction_goes_on_with_the_next_batch(last: int, small_scan: Scan, tmp_path: Path) -> None:
    """Seven batches are compared with their neighbours, then merged; no batch that was complete is saved again."""
    predictor = Predictor(network(), small_scan.require_probe(), small_scan.photons_per_pattern, CPU)
    wanted = predictor.predict(small_scan, 7)
    with pytest.raises(Lost):
        predictor.predict(small_scan, 7, stage=Ending(tmp_path, last).stage)
    again = Ending(tmp_path, resume=True)
    found = predictor.predict(small_scan, 7, stage=again.stage)
    assert np.array_equal(found.canvas.pixels, wanted.canvas.pixels)
    assert np.array_equal(found.illumination, wanted.illumination)
    assert np.array_equal(found.spread, wanted.spread)
    assert again.reached == 14 - last
