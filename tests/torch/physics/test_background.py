from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import ptycho_torch as pt
from ptycho_torch.errors import DataError, ScanFileError
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.models.predict import Predictor
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.background import add_background, subtract_background
from ptycho_torch.training.build import build_module
from ptycho_torch.training.module import ReconstructionModule

SETTINGS = pt.SimulationSettings(object_px=96, patch_px=32, step_px=5, probe_diameter_px=12, photons=1e5)


@pytest.fixture(scope="module")
def lit() -> pt.Scan:
    """A scan whose patterns hold, beside the sample's photons, a fifth as many that fell everywhere."""
    clean = pt.simulate_scan(SETTINGS)
    mean = np.linspace(0.5, 1.5, 32)[:, None] * np.ones(32) * 0.2 * clean.photons_per_pattern / 32**2
    added = np.random.default_rng(1).poisson(mean, clean.counts.shape)
    return replace(clean, counts=clean.counts + added.astype(np.float32), background=mean.astype(np.float32))


def test_a_background_is_added_to_every_pattern() -> None:
    expected, background = torch.ones(3, 4, 4), torch.arange(16.0).reshape(4, 4)
    torch.testing.assert_close(add_background(expected, background), expected + background)
    assert add_background(expected, None) is expected


@pytest.mark.parametrize("method", ["least_squares", "poisson"])
def test_a_known_background_takes_the_residual_to_the_noise(
    method: Literal["least_squares", "poisson"], lit: pt.Scan
) -> None:
    settings = pt.RefineSettings(method=method, probe_start=1.0)
    known, ignored = (pt.refine_scan(scan, settings).metrics for scan in (lit, replace(lit, background=None)))
    assert known["R"] < 1.2 * known["R_floor"]
    assert ignored["R"] > 2 * known["R"]
    assert known["complex_error"] < 0.5 * ignored["complex_error"]


@pytest.mark.parametrize(
    ("background", "wanted"), [(None, [[5.0, 1.0], [0.0, 3.0]]), ([[1.0, 2.0], [0.5, 3.0]], [[4.0, 0.0], [0.0, 0.0]])]
)
def test_the_network_sees_counts_without_their_background(
    background: list[list[float]] | None, wanted: list[list[float]]
) -> None:
    counts = torch.tensor([[[5.0, 1.0], [0.0, 3.0]]])
    found = subtract_background(counts, None if background is None else torch.tensor(background))
    torch.testing.assert_close(found[0], torch.tensor(wanted))


def test_photons_of_the_sample_leave_out_background_and_bad_pixels(lit: pt.Scan) -> None:
    good = np.ones((32, 32), bool)
    good[:7] = False
    scan = replace(lit, good_pixels=good)
    assert lit.background is not None
    wanted = np.mean([(counts.astype(float) - lit.background)[good].sum() for counts in lit.counts])
    assert scan.sample_photons_per_pattern == pytest.approx(wanted, rel=1e-6)
    assert replace(scan, background=None).sample_photons_per_pattern == scan.photons_per_pattern


def test_figures_of_merit_scale_the_object_and_not_the_background(lit: pt.Scan) -> None:
    assert lit.probe is not None
    assert lit.truth is not None
    halved = replace(lit.truth, pixels=0.5 * lit.truth.pixels)
    figures = evaluate(lit, halved, lit.probe, device=torch.device("cpu"))
    assert figures["R"] < 1.02 * figures["R_floor"]


class Echo(Generator):
    """Patches that are the network's input itself."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), torch.nn.Identity())

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """The input."""
        return amplitude + 0j


def test_training_and_inference_show_the_network_the_same(lit: pt.Scan) -> None:
    assert lit.background is not None
    assert lit.probe is not None
    photons, five = lit.sample_photons_per_pattern, slice(0, 5)
    module: ReconstructionModule = build_module(
        pt.Experiment(),
        [lit.probe, lit.probe],
        [1.0, photons],
        [lit.good_pixels, lit.good_pixels],
        main_steps=1,
        backgrounds=[None, lit.background],
    )
    module.generator = Echo()
    for number, scan in enumerate((replace(lit, background=None), lit)):
        shown = module(torch.from_numpy(lit.counts[None, five].copy()), torch.tensor([number]))
        predictor = Predictor(Echo(), lit.probe, [1.0, photons][number], torch.device("cpu"))
        torch.testing.assert_close(predictor.predict_patches(scan, five), shown[0])
    assert "background" not in module.state_dict()


def train(scan: pt.Scan, folder: Path) -> tuple[float, float]:
    """Validation loss of a small network, and the complex error of its object of the scan that it was trained on."""
    experiment = pt.Experiment(
        model=pt.ModelSettings(width=8, depth=2),
        training=pt.TrainingSettings(steps=100, group_size=8, warmup_steps=0, learning_rate=5e-3, bootstrap_epochs=0),
    )
    result = pt.train_network([scan], folder, experiment, device="cpu", track=False)
    found = pt.reconstruct_scan(result.last, scan, inference=pt.InferenceSettings(polish=False), device="cpu")
    assert result.validation_loss is not None
    return result.validation_loss, found.metrics["network"]["complex_error"]


def test_training_takes_a_known_background_into_account(lit: pt.Scan, tmp_path: Path) -> None:
    (known_loss, known_error), (ignored_loss, ignored_error) = (
        train(scan, tmp_path / name) for name, scan in (("known", lit), ("ignored", replace(lit, background=None)))
    )
    assert known_loss < 0.7 * ignored_loss
    assert known_error < 0.7 * ignored_error


def test_a_background_is_written_and_read_again(lit: pt.Scan, tmp_path: Path) -> None:
    """[DC-1.10]"""
    pt.write_scan(lit, tmp_path / "scan.npz")
    (again,) = pt.read_scans(tmp_path / "scan.npz")
    assert again.background is not None
    assert lit.background is not None
    np.testing.assert_array_equal(again.background, lit.background)
    (turned,) = pt.read_scans(tmp_path / "scan.npz", pt.DataSettings(transpose=True))
    assert turned.background is not None
    np.testing.assert_array_equal(turned.background, lit.background.T)


def test_a_background_that_does_not_fit_is_refused(lit: pt.Scan, tmp_path: Path) -> None:
    pt.write_scan(lit, tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "wrong.npz", **{**arrays, "background": np.zeros(32)})
    with pytest.raises(ScanFileError, match="background has shape"):
        pt.read_scans(tmp_path / "wrong.npz")
    with pytest.raises(DataError, match="the background has at least as many photons as the patterns"):
        pt.refine_scan(replace(lit, background=np.full((32, 32), 1e6, np.float32)))


def test_a_background_is_refused_where_it_would_be_lost(lit: pt.Scan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"diffraction\.h5 .*background"):
        write_workflow_directory(lit, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
