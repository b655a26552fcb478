from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy_physics import cut
from torch import Tensor, nn

from ptycho_torch.config import Experiment, InferenceSettings, RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.networks.build import Generator
from ptycho_torch.workflows.outputs import write_result
from ptycho_torch.workflows.reconstruction import Reconstruction, reconstruct_scan


class Known(Generator):
    """The true patches of a scan, or those of its complex conjugate where `wrong`."""

    def __init__(self, scan: Scan, *, wrong: bool = False) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        assert scan.truth is not None
        truth = scan.truth.pixels.astype(complex)
        corners = np.round(scan.positions_px).astype(int) - scan.patch_px // 2
        patches = np.array([cut(truth, (int(row), int(column)), scan.patch_px) for row, column in corners])
        self.patches = torch.from_numpy((patches.conj() if wrong else patches).astype(np.complex64))
        self.shown = nn.functional.normalize(torch.from_numpy(np.sqrt(scan.counts)).flatten(1))

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """The patches of the patterns that look like these."""
        return self.patches[(nn.functional.normalize(amplitude.flatten(1)) @ self.shown.mT).argmax(dim=1)]


def reconstructed(scan: Scan, epochs: int, *, wrong: bool = False, control: bool = True) -> Reconstruction:
    assert scan.probe is not None
    network = TrainedNetwork(
        Known(scan, wrong=wrong),
        Experiment(),
        scan.patch_px,
        scan.probe[None],
        (scan.photons_per_pattern,),
        scan.good_pixels[None],
        steps=1,
    )
    polish = RefineSettings(epochs=epochs, method="least_squares", probe_start=1)
    inference = InferenceSettings(control=control)
    return reconstruct_scan(network, scan, inference=inference, polish=polish, device="cpu")


def test_an_object_that_explains_the_patterns_better_is_polished(small_scan: Scan) -> None:
    found = reconstructed(small_scan, 2)
    assert found.start == "network"
    assert found.polished is not None
    np.testing.assert_array_equal(found.canvas.pixels, found.polished.canvas.pixels)
    assert found.metrics["network_polish"]["R"] < found.metrics["flat_polish"]["R"]


def test_a_wrong_object_does_no_harm(small_scan: Scan, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = reconstructed(small_scan, 2, wrong=True)
    assert found.start == "flat"
    assert "start: flat" in caplog.text
    assert found.control is not None
    np.testing.assert_array_equal(found.canvas.pixels, found.control.canvas.pixels)
    assert found.metrics["network"]["R"] > found.metrics["flat_polish"]["R"]


def test_the_flat_start_is_kept_if_the_network_gains_nothing(small_scan: Scan) -> None:
    """Both have converged."""
    assert reconstructed(small_scan, 60).start == "flat"


def test_without_a_control_the_networks_object_is_polished(small_scan: Scan) -> None:
    found = reconstructed(small_scan, 2, wrong=True, control=False)
    assert (found.start, found.control) == ("network", None)
    assert found.polished is not None
    np.testing.assert_array_equal(found.canvas.pixels, found.polished.canvas.pixels)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_folder_contains_the_result_and_its_start(small_scan: Scan, tmp_path: Path, wrong: bool) -> None:
    found = reconstructed(small_scan, 2, wrong=wrong)
    files = write_result(found, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(files.values())
    assert json.loads((tmp_path / files["metrics"]).read_text())["start"] == found.start
    with np.load(tmp_path / files["object"]) as stored:
        np.testing.assert_array_equal(stored["object"], found.canvas.pixels)
    np.testing.assert_array_equal(np.load(tmp_path / files["probe"]), found.solution.probe)
