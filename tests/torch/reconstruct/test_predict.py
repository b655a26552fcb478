from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_physics import cut, stitched
from numpy_samples import complex_noise
from torch import Tensor, nn

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.networks.build import Generator, build_generator

CPU = torch.device("cpu")


class Recited(Generator):
    """Patches from a list, in order, instead of a network's."""

    def __init__(self, patches: np.ndarray) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.patches = torch.from_numpy(patches.astype(np.complex64))
        self.seen = 0

    def forward(self, amplitude: Tensor, light: Tensor) -> Tensor:
        """The next patches."""
        start, self.seen = self.seen, self.seen + len(amplitude)
        return self.patches[start : self.seen]


def predicted(generator: Generator, scan: Scan, batch_size: int) -> Prediction:
    assert scan.probe is not None
    return Predictor(generator, scan.probe, scan.photons_per_pattern, CPU).predict(scan, batch_size)


def network() -> Generator:
    """A small network that is not at its start any more."""
    torch.manual_seed(0)
    generator = build_generator(
        "unet", patch_px=32, width=4, depth=2, output="amplitude_phase", amplitude="softplus", phase="linear"
    )
    for weight in generator.parameters():
        if weight.ndim == 4 and not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return generator


def test_true_patches_merge_to_the_true_object_at_its_place(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    corners = np.round(small_scan.positions_px).astype(int) - 16
    truth = small_scan.truth.pixels
    patches = np.array([cut(truth.astype(complex), (int(row), int(column)), 32) for row, column in corners])
    found = predicted(Recited(patches), small_scan, 10)
    wanted = small_scan.truth.window(found.canvas.origin_px, found.canvas.pixels.shape)
    lit = found.light > 0.5 * found.light.max()
    assert lit.sum() > 100
    assert np.abs(found.canvas.pixels - wanted)[lit].max() < 2e-3
    assert found.spread[lit].max() < 1e-2
    for shift in ((1, 0), (0, 1)):
        assert np.abs(np.roll(found.canvas.pixels, shift, (0, 1)) - wanted)[lit].max() > 0.05


def test_any_patches_merge_to_the_written_out_mean(small_scan: Scan, rng: np.random.Generator) -> None:
    scan = small_scan.take(slice(0, 6))
    patches = complex_noise(rng, 6, 32, 32)
    found = predicted(Recited(patches), scan, 4)
    frame = Frame(scan.positions_px, 32)
    assert scan.probe is not None
    light = (np.abs(scan.probe.astype(complex)) ** 2).sum(0)
    merged, total, spread = stitched(patches, light, frame.corners_px, frame.shape_px)
    np.testing.assert_allclose(found.canvas.pixels, merged, atol=1e-4)
    np.testing.assert_allclose(found.light, total, rtol=1e-4, atol=1e-6 * total.max())
    # the spread is a difference of large numbers where one patch outshines the rest
    bright = total > 0.01 * total.max()
    np.testing.assert_allclose(found.spread[bright], spread[bright], atol=1e-2)


@pytest.mark.parametrize("batch_size", [1, 7, 49, 1000])
def test_the_object_does_not_depend_on_the_batches(small_scan: Scan, batch_size: int) -> None:
    wanted, found = predicted(network(), small_scan, 16), predicted(network(), small_scan, batch_size)
    assert np.abs(wanted.canvas.pixels - 1).max() > 0.01
    np.testing.assert_allclose(found.canvas.pixels, wanted.canvas.pixels, atol=1e-4)
    np.testing.assert_allclose(found.light, wanted.light, rtol=1e-4)
    lit = wanted.light > 0.01 * wanted.light.max()
    np.testing.assert_allclose(found.spread[lit], wanted.spread[lit], atol=3e-3)


def test_an_untrained_network_predicts_empty_space(small_scan: Scan) -> None:
    generator = build_generator(
        "unet", patch_px=32, width=4, depth=2, output="amplitude_phase", amplitude="softplus", phase="linear"
    )
    np.testing.assert_allclose(predicted(generator, small_scan, 16).canvas.pixels, 1, atol=1e-6)


def test_batches_are_told(small_scan: Scan) -> None:
    told: list[int] = []
    assert small_scan.probe is not None
    predictor = Predictor(network(), small_scan.probe, small_scan.photons_per_pattern, CPU)
    predictor.predict(small_scan, 20, progress=lambda done, _: told.append(done))
    assert told == [20, 40, 49]


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

    def forward(self, amplitude: Tensor, light: Tensor) -> Tensor:
        """Ones."""
        self.heard.append(amplitude)
        return torch.ones_like(amplitude) + 0j


@pytest.mark.parametrize("dose", [0.01, 1.0, 4.0])
def test_the_network_is_shown_amplitudes_of_order_one_at_any_dose(small_scan: Scan, dose: float) -> None:
    generator = Listening()
    predicted(generator, replace(small_scan, counts=small_scan.counts * np.float32(dose)), 20)
    shown = torch.cat(generator.heard).numpy()
    assert np.mean(shown**2) == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(shown**2 / shown.max() ** 2, small_scan.counts / small_scan.counts.max(), atol=1e-5)


def test_a_flat_probe_is_refused(small_scan: Scan) -> None:
    assert small_scan.probe is not None
    with pytest.raises(DataError, match=r"\(mode, 32, 32\) complex is needed"):
        Predictor(network(), small_scan.probe[0], 1.0, CPU)
