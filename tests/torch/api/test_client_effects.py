"""What single settings and odd scans of the client do, shown where they act."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from client_child import HALF_PIXEL, client_configs, export_scan, reconstruct_like_client, train_like_client

from ptycho_torch.config import SimulationSettings
from ptycho_torch.contracts.ptychodus.scans import place_array, prepare, select_within
from ptycho_torch.contracts.ptychodus.settings import ClientExperiment, translate
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, PtychoError
from ptycho_torch.simulate.scan import simulate_scan

QUICK = {"training__epochs": 1, "training__batch_size": 4}


def asked(**changes: Any) -> ClientExperiment:
    configs = client_configs(**changes)
    return translate(configs.data, configs.model, configs.training, configs.inference)


def test_labels_and_notes_are_kept_with_the_run_and_in_the_checkpoint(small_scan: Scan, tmp_path: Path) -> None:
    export_scan(small_scan, tmp_path / "scan.npz")
    told = {"training__notes": "second night", "training__model_name": "mine"}
    result = train_like_client(client_configs(**QUICK, **told), tmp_path, tmp_path)
    stored = json.loads((result.run_folder / "configs" / "training_config.json").read_text())
    kept = torch.load(result.checkpoint, weights_only=True)["ptycho_torch"]["client"]["training_config"]
    for found in (stored, kept):
        assert (found["notes"], found["model_name"]) == ("second night", "mine")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"training__n_devices": 2}, "TrainingConfig.n_devices is 2 and has no effect"),
        ({"model__num_datasets": 3}, "ModelConfig.num_datasets is 3 and has no effect"),
        (
            {"data__phase_subtraction": False},
            "DataConfig.phase_subtraction is False and has no effect unless mode is Supervised",
        ),
        ({"model__mode": "Supervised", "training__nll": False}, "TrainingConfig.nll is False and has no effect unless"),
        ({"data__neighbor_function": "4_quadrant", "data__K": 9}, "DataConfig.K is 9 and has no effect unless"),
        ({"data__K": 1}, "DataConfig.K is 1; 3 neighbours"),
    ],
)
def test_what_cannot_act_is_named(changes: dict[str, Any], complaint: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asked(**changes)
    assert caplog.text.count(complaint) == 1


def test_scales_of_the_input_are_refused_beside_batch_normalisation() -> None:
    with pytest.raises(ConfigError, match="batch_norm"):
        asked(model__batch_norm=True, data__normalize="Group")


def test_a_gpu_that_is_not_there_is_told_and_the_cpu_trains(
    small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export_scan(small_scan, tmp_path / "scan.npz")
    with caplog.at_level(logging.WARNING):
        train_like_client(client_configs(training__device="cuda", **QUICK), tmp_path, tmp_path)
    assert "TrainingConfig.device is 'cuda' and there is no GPU" in caplog.text


def test_the_probe_loses_its_ramp_where_that_is_asked_for(small_scan: Scan) -> None:
    assert small_scan.probe is not None
    ramp = np.exp(2j * np.pi * (2 * np.arange(32)[:, None] - np.arange(32)) / 32)
    tilted = replace(small_scan, probe=(small_scan.probe * ramp).astype(np.complex64))
    (kept,), _ = prepare([tilted], asked())
    (levelled,), _ = prepare([tilted], asked(data__probe_ramp_removal=True))
    (wanted,), _ = prepare([small_scan], asked(data__probe_ramp_removal=True))
    assert kept.probe is not None
    assert levelled.probe is not None
    assert wanted.probe is not None
    np.testing.assert_array_equal(kept.probe, tilted.probe)
    np.testing.assert_allclose(levelled.probe, wanted.probe, atol=1e-3 * np.abs(wanted.probe).max())


def test_the_warm_up_is_counted_in_the_steps_of_its_epochs(small_scan: Scan) -> None:
    _, plain = prepare([small_scan], asked(**QUICK))
    _, warmed = prepare([small_scan], asked(training__warmup_epochs=3, **QUICK))
    assert plain.training.warmup_steps == 0
    # 9 patterns lie within the bounds: three groups of four, in one batch
    assert warmed.training.warmup_steps % 3 == 0
    assert warmed.training.warmup_steps > 0


@pytest.mark.parametrize(("patch_px", "depth"), [(32, 3), (36, 2), (20, 2), (18, 1)])
def test_any_even_size_gets_a_network(patch_px: int, depth: int, tmp_path: Path) -> None:
    simulation = SimulationSettings(object_px=64, patch_px=patch_px, probe="gaussian", probe_diameter_px=8, step_px=6)
    scan = simulate_scan(simulation)
    export_scan(scan, tmp_path / "scan.npz")
    result = train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    record = torch.load(result.checkpoint, weights_only=True)["ptycho_torch"]
    assert record["experiment"]["model"]["depth"] == depth
    image = reconstruct_like_client(result.checkpoint, scan.counts, scan.probe, scan.positions_px - HALF_PIXEL)
    assert np.isfinite(image).all()


def test_a_border_around_ones_is_no_object_to_learn_from(small_scan: Scan, tmp_path: Path) -> None:
    """The client pads the objects that it makes with zeros. [API-6.14]"""
    ones = np.zeros((70, 70), np.complex64)
    ones[1:-1, 1:-1] = 1
    scan = replace(small_scan, truth=None, positions_px=small_scan.positions_px + 1)
    export_scan(replace(scan, truth=Canvas(ones)), tmp_path / "scan.npz")
    with pytest.raises(PtychoError, match=r"Supervised.*objectGuess"):
        train_like_client(client_configs(model__mode="Supervised", **QUICK), tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_an_object_that_does_not_cover_the_scan_stops_nothing_unsupervised(small_scan: Scan, tmp_path: Path) -> None:
    export_scan(small_scan, tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz") as archive:
        arrays = dict(archive)
    arrays["objectGuess"] = arrays["objectGuess"][:50, :50]
    np.savez(tmp_path / "scan.npz", **arrays)
    assert train_like_client(client_configs(**QUICK), tmp_path, tmp_path).checkpoint.is_file()


def test_a_line_of_positions_is_bounded_along_itself(small_scan: Scan) -> None:
    line = replace(small_scan.take(np.arange(7)), truth=None)
    straight = replace(line, positions_px=np.stack([np.full(7, 30.0), 24 + 2.0 * np.arange(7)], axis=1))
    assert len(select_within(straight, (0.1, 0.9), (0.1, 0.9), 1)) == 5


@pytest.mark.parametrize("padding", [0, 2, 10])
def test_the_array_is_the_products_own_where_the_scan_lies_in_its_middle(padding: int) -> None:
    rng = np.random.default_rng(padding)
    spread = rng.uniform(-20, 20, (30, 2))
    spread -= (spread.min(axis=0) + spread.max(axis=0)) / 2
    side = np.ceil(np.ptp(spread, axis=0) + 64).astype(int) + padding
    shape_px, _ = place_array(spread + (side - 1) / 2, 64)
    assert shape_px == tuple(side.tolist())
    shape_px, _ = place_array(spread + (side - 1) / 2 + 0.3, 64)
    assert shape_px == tuple((side - padding).tolist())


def test_modes_of_the_scans_own_probe_are_refined(
    small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that learned with one mode serves a scan that was lit by three."""
    assert small_scan.probe is not None
    export_scan(small_scan, tmp_path / "scan.npz")
    checkpoint = train_like_client(client_configs(**QUICK), tmp_path, tmp_path).checkpoint
    first = small_scan.probe[0]
    modes = np.stack([first, 0.5 * np.roll(first, 2, axis=0), 0.4 * np.roll(first, -2, axis=1)])
    found = {}
    for name, probe in (("three", modes), ("one", modes[:1])):
        with caplog.at_level(logging.INFO):
            caplog.clear()
            reconstruct_like_client(checkpoint, _lit_by(modes, small_scan), probe, small_scan.positions_px - HALF_PIXEL)
        found[name] = float(caplog.text.split("R after the physics solver ")[1].split()[0])
    assert found["three"] < 0.8 * found["one"]


def _lit_by(probe: np.ndarray, scan: Scan) -> np.ndarray:
    """Noise-free counts of a scan's truth under another probe."""
    from ptycho_torch.solve.scan_model import ScanModel  # noqa: PLC0415

    problem = ScanModel(replace(scan, probe=probe.astype(np.complex64)), torch.device("cpu"))
    image, wave = problem.start_object(scan.truth), problem.start_probe(probe.astype(np.complex64), len(probe))
    expected = problem.expected(image, wave, torch.arange(len(scan)))
    return np.round(np.fft.fftshift(expected.numpy(), axes=(-2, -1))).astype(np.uint32)


def test_float_counts_stay_counts_for_a_network_that_learned_from_counts(small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.11]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    checkpoint = train_like_client(client_configs(**QUICK), tmp_path, tmp_path).checkpoint
    positions = small_scan.positions_px - HALF_PIXEL
    whole, broken = (
        reconstruct_like_client(checkpoint, small_scan.counts * factor, small_scan.probe, positions)
        for factor in (1.0, np.float32(0.9999))
    )
    np.testing.assert_allclose(broken, whole, atol=0.02)
