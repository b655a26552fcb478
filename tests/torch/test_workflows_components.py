"""Workflow entry points of the contract: order of steps, every kind of input, and what comes out.

Spies note a call and then make it. What needs torch is marked; the rest runs without it.
"""

# ruff: noqa: PLC0415 - imports that need torch stand inside of the tests that are marked for it
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy_physics import patterns as expected_patterns
from numpy_samples import LOPSIDED, compact_probe
from torch_optional import requires_torch

from ptycho_torch.api.data_bridge import PtychoDataContainerTorch, RawDataTorch
from ptycho_torch.contracts.legacy import parameters as legacy
from ptycho_torch.contracts.legacy.container import ensure_container, to_scan
from ptycho_torch.contracts.legacy.parameters import LegacyModel, LegacyTraining
from ptycho_torch.contracts.legacy.translation import to_experiment
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, GroupingError

SIDE = 64
MIDDLE = np.array([24.0, 24.0])


def raw_data(patterns: int = 25, *, truth: bool = True) -> RawDataTorch:
    """Noise-free patterns of a specimen without symmetry, computed without the package."""
    rng = np.random.default_rng(11)
    side = math.isqrt(patterns)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2) * 4.0
    positions = grid + rng.uniform(-0.4, 0.4, grid.shape) + SIDE // 2 + 2
    probe = compact_probe(SIDE, width=4.0, photons=1e6)
    specimen = LOPSIDED.at(np.arange(88.0)[:, None] - 12, np.arange(88.0)[None, :] - 12)
    counts = np.round(expected_patterns(specimen, probe, positions)).astype(np.uint32)
    return RawDataTorch(
        positions[:, 1], positions[:, 0], counts, probe, objectGuess=specimen.astype(np.complex64) if truth else None
    )


def probe_of(data: RawDataTorch) -> np.ndarray:
    assert data.probeGuess is not None
    return data.probeGuess


def config(folder: Path, **changes: Any) -> LegacyTraining:
    """One short epoch of groups of four."""
    model = LegacyModel(gridsize=2, amp_activation="swish", n_filters_scale=1)
    values: dict[str, Any] = {
        "model": model,
        "train_data_file": folder / "scan.npz",
        "output_dir": folder / "trained",
        "batch_size": 4,
        "nepochs": 1,
        "neighbor_count": 6,
        "nphotons": 1e5,
    }
    return LegacyTraining(**{**values, **changes})


def spy(monkeypatch: pytest.MonkeyPatch, home: Any, name: str, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Note every call of a function where it is used, then make it."""
    real: Callable[..., Any] = getattr(home, name)

    def noting(*arguments: Any, **words: Any) -> Any:
        calls.append((name, arguments))
        return real(*arguments, **words)

    monkeypatch.setattr(home, name, noting)


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
class TestWorkflowsComponentsScaffold:
    def test_run_cdi_example_calls_update_legacy_dict(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The flat parameters are written first, before data or model are touched (CONFIG-001)."""
        from ptycho_torch.contracts.legacy import workflows as components

        calls: list[tuple[str, tuple[Any, ...]]] = []
        for name in ("update_legacy_dict", "ensure_container", "train_network"):
            spy(monkeypatch, components, name, calls)
        asked = config(tmp_path)
        components.run_cdi_example_torch(raw_data(), None, asked)
        assert [name for name, _ in calls][:1] == ["update_legacy_dict"]
        assert calls[0][1][0] is legacy.cfg
        assert calls[0][1][1] is asked
        assert legacy.cfg["N"] == SIDE
        assert legacy.cfg["nphotons"] == 1e5


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
class TestWorkflowsComponentsTraining:
    def test_train_cdi_model_torch_invokes_lightning(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The containers are made first, and Lightning is what trains. [API-4.58]"""
        import lightning

        from ptycho_torch.contracts.legacy import workflows as components

        calls: list[tuple[str, tuple[Any, ...]]] = []
        spy(monkeypatch, components, "ensure_container", calls)
        spy(monkeypatch, lightning.Trainer, "fit", calls)
        results = components.train_cdi_model_torch(raw_data(), raw_data(9), config(tmp_path))
        assert [name for name, _ in calls] == ["ensure_container", "ensure_container", "fit"]
        assert isinstance(results["train_container"], PtychoDataContainerTorch)
        assert len(results["test_container"].X) == 9
        assert set(results["history"]) == {"train_loss", "val_loss"}
        assert len(results["history"]["train_loss"]) == 1
        assert all(math.isfinite(loss) for losses in results["history"].values() for loss in losses)

    def test_a_training_leaves_what_inference_needs(self, tmp_path: Path) -> None:
        from ptycho_torch.contracts.legacy import workflows as components

        results = components.train_cdi_model_torch(raw_data(), None, config(tmp_path))
        assert results["test_container"] is None
        assert results["checkpoint"] == tmp_path / "trained" / "checkpoints" / "last.ckpt"
        assert results["bundle"] == tmp_path / "trained" / "wts.h5.zip"
        assert results["bundle"].is_file()


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
class TestWorkflowsComponentsRun:
    def test_run_cdi_example_invokes_training(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run trains; only where it is asked to stitch does it reconstruct as well."""
        from ptycho_torch.contracts.legacy import workflows as components

        calls: list[tuple[str, tuple[Any, ...]]] = []
        for name in ("train_cdi_model_torch", "reconstruct_scan"):
            spy(monkeypatch, components, name, calls)
        amplitude, phase, results = components.run_cdi_example_torch(raw_data(), None, config(tmp_path))
        assert [name for name, _ in calls] == ["train_cdi_model_torch"]
        assert amplitude is None
        assert phase is None
        assert "object" not in results

    def test_a_bundle_is_loaded_with_its_parameters(self, tmp_path: Path) -> None:
        """[API-4.64]"""
        from ptycho_torch.contracts.legacy import workflows as components

        trained = components.train_cdi_model_torch(raw_data(), None, config(tmp_path))
        legacy.cfg.clear()
        network, params = components.load_inference_bundle_torch(trained["bundle"].parent)
        assert network.patch_px == SIDE
        assert params["N"] == SIDE
        assert legacy.cfg == params
        assert params["gridsize"] == 2


@pytest.mark.usefixtures("params_cfg_snapshot")
class TestOrchestrationRegression:
    @requires_torch
    def test_run_cdi_example_end_to_end(self, tmp_path: Path) -> None:
        """Train, stitch, polish: the object that comes back is the specimen. [API-4.59]"""
        from ptycho_torch.contracts.legacy import workflows as components
        from ptycho_torch.evaluate.objects import complex_correlation

        data = raw_data()
        amplitude, phase, results = components.run_cdi_example_torch(data, None, config(tmp_path), do_stitching=True)
        image = results["object"]
        assert image.shape == amplitude.shape == phase.shape
        np.testing.assert_allclose(amplitude * np.exp(1j * phase), image, atol=1e-5)
        origin = np.round(results["origin_px"]).astype(int)
        assert data.objectGuess is not None
        truth = data.objectGuess[origin[0] :, origin[1] :][: image.shape[0], : image.shape[1]]
        lit = np.zeros(image.shape, bool)
        lit[30:-30, 30:-30] = True
        assert complex_correlation(image, truth, lit) > 0.95

    @requires_torch
    @pytest.mark.parametrize("kind", ["RawDataTorch", "raw data of others", "container", "scan", "file"])
    def test_ensure_container_all_input_types(self, kind: str, tmp_path: Path) -> None:
        """Whatever the data come as, the same patterns are trained on. [API-4.57]"""
        from ptycho_torch.contracts.legacy import workflows as components
        from ptycho_torch.formats.npz import write_scan

        raw, asked = raw_data(), config(tmp_path)
        grouped = raw.generate_grouped_data(SIDE, 6, None, 2)
        write_scan(raw.scan(), tmp_path / "scan.npz")
        given: Any = {
            "RawDataTorch": raw,
            "raw data of others": SimpleNamespace(
                xcoords=raw.xcoords,
                ycoords=raw.ycoords,
                diff3d=np.asarray(raw.diff3d),
                probeGuess=raw.probeGuess,
                objectGuess=raw.objectGuess,
                scan_index=raw.scan_index,
            ),
            "container": PtychoDataContainerTorch(grouped, probe_of(raw)),
            "scan": raw.scan(),
            "file": tmp_path / "scan.npz",
        }[kind]
        results = components.train_cdi_model_torch(given, None, asked)
        assert results["train_container"].X.shape == (25, SIDE, SIDE, 4)
        assert results["history"]["train_loss"][0] == pytest.approx(float(reference_loss(tmp_path)), rel=2e-3)

    @requires_torch
    def test_config_bridge_automatic_invocation(self, tmp_path: Path) -> None:
        """Nobody has to write the flat parameters by hand before training or loading. [API-4.56]"""
        from ptycho_torch.contracts.legacy import workflows as components

        legacy.cfg.clear()
        components.train_cdi_model_torch(raw_data(), None, config(tmp_path, nphotons=3e4))
        assert legacy.cfg == legacy.flatten(config(tmp_path, nphotons=3e4))

    def test_scans_of_every_kind_of_input_agree(self, tmp_path: Path) -> None:
        raw, asked = raw_data(), config(tmp_path)
        container = PtychoDataContainerTorch(raw.generate_grouped_data(SIDE, 6, None, 2), probe_of(raw))
        expected = raw.scan()
        for given in (raw, expected, container):
            found = to_scan(given, asked)
            np.testing.assert_allclose(found.positions_px, expected.positions_px, atol=1e-4)
            np.testing.assert_allclose(found.counts, expected.counts, rtol=1e-3, atol=0.02)

    def test_containers_of_every_kind_of_input_agree(self, tmp_path: Path) -> None:
        raw, asked = raw_data(), config(tmp_path)
        first = ensure_container(raw, asked)
        for given in (raw.scan(), first):
            found = ensure_container(given, asked)
            np.testing.assert_array_equal(np.asarray(found.nn_indices), np.asarray(first.nn_indices))
            np.testing.assert_allclose(np.asarray(found.X), np.asarray(first.X), rtol=1e-5)

    def test_a_container_is_taken_as_it_is(self, tmp_path: Path) -> None:
        container = ensure_container(raw_data(), config(tmp_path))
        assert ensure_container(container, config(tmp_path)) is container

    @pytest.mark.parametrize("given", [None, 3, {"X": np.zeros(3)}])
    def test_data_of_another_kind_are_refused(self, given: object, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="RawDataTorch"):
            to_scan(given, config(tmp_path))

    def test_the_size_of_the_parameters_must_be_that_of_the_patterns(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"LegacyModel\.N is 128; the patterns have 64 px"):
            to_scan(raw_data(), config(tmp_path, model=LegacyModel(N=128)))

    def test_only_some_patterns_are_kept_where_that_is_asked_for(self, tmp_path: Path) -> None:
        raw = raw_data()
        first = to_scan(raw, config(tmp_path, n_subsample=9, sequential_sampling=True))
        np.testing.assert_allclose(first.positions_px, raw.scan().positions_px[:9])
        drawn = [to_scan(raw, config(tmp_path, n_subsample=9, subsample_seed=seed)) for seed in (1, 1, 2)]
        np.testing.assert_array_equal(drawn[0].positions_px, drawn[1].positions_px)
        assert (drawn[0].positions_px != drawn[2].positions_px).any()
        assert all(isinstance(scan, Scan) and len(scan) == 9 for scan in drawn)

    def test_canonical_parameters_become_settings(self, tmp_path: Path) -> None:
        found = to_experiment(config(tmp_path, n_groups=7, mae_weight=0.5, nll_weight=0.0, nepochs=3), 25)
        assert (found.training.epochs, found.training.batch_size, found.training.group_size) == (3, 4, 4)
        assert (found.training.neighbours, found.training.groups_per_epoch) == (6, 7)
        assert found.training.groups_per_pattern == 1
        assert found.training.loss == "amplitude_mae"
        assert (found.model.width, found.model.amplitude) == (12, "silu")
        many = to_experiment(config(tmp_path, n_groups=60), 25).training
        assert (many.groups_per_pattern, many.groups_per_epoch) == (3, 60)
        fixed = to_experiment(config(tmp_path, probe_trainable=False), 25)
        assert (fixed.training.bootstrap_epochs, fixed.refine.probe_start) == (0, 1.0)
        moving = to_experiment(config(tmp_path, probe_trainable=True), 25)
        assert moving.training.bootstrap_epochs > 0
        assert moving.refine.probe_start < 1
        supervised = LegacyModel(model_type="supervised", object_big=False, probe_big=False)
        other = to_experiment(config(tmp_path, model=supervised), 25)
        assert (other.training.target, other.training.unmerged_weight, other.model.field) == ("object", 1.0, "centre")

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"nll_weight": 0.5, "mae_weight": 0.5}, "nll_weight and mae_weight"),
            ({"nll_weight": 0.0}, "nll_weight and mae_weight"),
            ({"realspace_weight": 0.1}, "realspace_weight is 0.1"),
            ({"realspace_mae_weight": 0.1}, "realspace_mae_weight is 0.1"),
            ({"positions_provided": False}, "positions_provided is False"),
            ({"model": LegacyModel(amp_activation="relu")}, "amp_activation is 'relu'"),
            ({"model": LegacyModel(gaussian_smoothing_sigma=1.0)}, "gaussian_smoothing_sigma is 1.0"),
            ({"model": LegacyModel(probe_mask=True)}, "probe_mask is True"),
        ],
    )
    def test_parameters_that_cannot_be_had_are_refused(
        self, changes: dict[str, Any], reason: str, tmp_path: Path
    ) -> None:
        """[API-4.60]"""
        with pytest.raises(ConfigError, match=reason):
            to_experiment(config(tmp_path, **changes), 25)


def reference_loss(folder: Path) -> float:
    """Training loss of the same patterns handed over as a scan, in a folder of its own."""
    from ptycho_torch.contracts.legacy import workflows as components

    asked = replace(config(folder), output_dir=folder / "reference")
    loss: float = components.train_cdi_model_torch(raw_data().scan(), None, asked)["history"]["train_loss"][0]
    return loss


@pytest.mark.parametrize("kind", ["raw data", "scan"])
def test_normalised_patterns_get_the_dose_of_the_parameters(kind: str, tmp_path: Path) -> None:
    """[API-4.62]"""
    raw = raw_data()
    small = np.sqrt(raw.scan().counts) / 1000
    normalised = RawDataTorch(raw.xcoords, raw.ycoords, small, probe_of(raw))
    given: Any = normalised if kind == "raw data" else normalised.scan()
    found = to_scan(given, config(tmp_path, nphotons=2e4))
    assert found.photons_per_pattern == pytest.approx(2e4, rel=1e-5)
    np.testing.assert_allclose(
        found.counts / found.counts.sum(), raw.scan().counts / raw.scan().counts.sum(), atol=1e-7
    )
    assert to_scan(raw, config(tmp_path, nphotons=2e4)).photons_per_pattern > 8e5


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
def test_the_files_of_the_configuration_are_used_where_no_data_are_given(tmp_path: Path) -> None:
    """[API-4.63]"""
    from ptycho_torch.contracts.legacy import workflows as components
    from ptycho_torch.formats.npz import write_scan

    write_scan(raw_data().scan(), tmp_path / "scan.npz")
    write_scan(raw_data(9).scan(), tmp_path / "test.npz")
    asked = config(tmp_path, test_data_file=tmp_path / "test.npz")
    results = components.train_cdi_model_torch(None, None, asked)
    assert len(results["train_container"].X) == 25
    assert len(results["test_container"].X) == 9


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
def test_the_bundle_holds_exactly_the_parameters_that_were_written(tmp_path: Path) -> None:
    """[API-4.65]"""
    from ptycho_torch.contracts.legacy import workflows as components

    model = LegacyModel(
        gridsize=2, amp_activation="softplus", n_filters_scale=1, object_big=False, probe_big=False, probe_scale=3.0
    )
    asked = config(
        tmp_path,
        model=replace(model, pad_object=False),
        n_groups=8,
        n_subsample=16,
        subsample_seed=3,
        neighbor_count=7,
        mae_weight=np.float64(0.5),
        nll_weight=0.0,
        nphotons=3e4,
        intensity_scale_trainable=False,
        sequential_sampling=True,
    )
    trained = components.train_cdi_model_torch(raw_data(), None, asked)
    written = legacy.snapshot()
    _, params = components.load_inference_bundle_torch(trained["bundle"])
    assert written == legacy.flatten(asked)
    # files and folders of the training are nobody else's concern
    places = {"train_data_file_path": None, "test_data_file_path": None, "output_prefix": "training_outputs"}
    assert params == written | places
    assert {type(value) for value in params.values()} == {int, float, str, bool, type(None)}


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
def test_training_writes_the_parameters_before_it_looks_at_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `run_cdi_example_torch` around it (CONFIG-001). [API-4.56]"""
    from ptycho_torch.contracts.legacy import workflows as components

    calls: list[tuple[str, tuple[Any, ...]]] = []
    spy(monkeypatch, components, "update_legacy_dict", calls)
    make, found = ensure_container, []

    def looking(*arguments: Any) -> PtychoDataContainerTorch:
        calls.append(("ensure_container", arguments))
        found.append(legacy.snapshot())
        return make(*arguments)

    monkeypatch.setattr(components, "ensure_container", looking)
    legacy.cfg.clear()
    asked = config(tmp_path, nphotons=3e4)
    components.train_cdi_model_torch(raw_data(), None, asked)
    assert [name for name, _ in calls] == ["update_legacy_dict", "ensure_container"]
    assert found == [legacy.flatten(asked)]


@pytest.mark.parametrize("groups", [None, 7])
def test_an_order_that_no_training_follows_is_named(
    groups: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[API-4.60]"""
    to_experiment(config(tmp_path, sequential_sampling=True, n_groups=groups), 25)
    assert "sequential_sampling is True and has no effect unless n_subsample" in caplog.text
    caplog.clear()
    to_experiment(config(tmp_path, sequential_sampling=True, n_groups=groups, n_subsample=9), 9)
    to_experiment(config(tmp_path, n_groups=groups), 25)
    assert caplog.text == ""


def test_too_few_neighbours_for_a_group_are_refused(tmp_path: Path) -> None:
    """[DP-2.1]"""
    with pytest.raises(GroupingError, match=r"neighbor_count is 2; .* 4 .* 3"):
        to_experiment(config(tmp_path, neighbor_count=2), 25)
    assert to_experiment(config(tmp_path, neighbor_count=3), 25).training.neighbours == 3


def test_an_object_that_lies_elsewhere_stays_under_its_patterns(tmp_path: Path) -> None:
    scan = raw_data().scan()
    assert scan.truth is not None
    moved = replace(
        scan, positions_px=np.add(scan.positions_px, (100, 30)), truth=Canvas(scan.truth.pixels, origin_px=(100, 30))
    )
    expected, found = (ensure_container(given, config(tmp_path)) for given in (scan, moved))
    for name in ("Y", "YY_full", "nn_indices", "X"):
        np.testing.assert_array_equal(np.asarray(getattr(found, name)), np.asarray(getattr(expected, name)))
    for name in ("global_offsets", "local_offsets"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


def of_modes(scan: Scan, modes: int) -> Scan:
    """The scan with a probe of several modes, each weaker than the one before."""
    assert scan.probe is not None
    return replace(
        scan, probe=np.stack([np.roll(scan.probe[0], 2 * mode, axis=0) / (mode + 1) for mode in range(modes)])
    )


def test_a_container_gets_the_first_of_several_modes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[API-4.57]"""
    scan = of_modes(raw_data().scan(), 3)
    assert scan.probe is not None
    with caplog.at_level("INFO"):
        container = ensure_container(scan, config(tmp_path))
    np.testing.assert_array_equal(np.asarray(container.probe), scan.probe[0])
    assert "the first of the probe's 3 modes" in caplog.text


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
@pytest.mark.parametrize("trainable", [False, True])
def test_a_training_takes_all_modes_of_a_probe(trainable: bool, tmp_path: Path) -> None:
    """[API-4.57]"""
    from ptycho_torch.contracts.legacy import workflows as components

    scan = of_modes(raw_data().scan(), 3)
    asked = config(tmp_path, probe_trainable=trainable)
    results = components.train_cdi_model_torch(scan, scan, asked)
    network, _ = components.load_inference_bundle_torch(results["bundle"])
    assert network.probes.shape == (1, 3, SIDE, SIDE)
    if not trainable:
        assert scan.probe is not None
        factor = np.vdot(scan.probe, network.probes[0]) / np.vdot(scan.probe, scan.probe)
        np.testing.assert_allclose(network.probes[0], factor * scan.probe, atol=1e-4 * np.abs(network.probes).max())


@pytest.mark.parametrize("kind", ["raw data", "scan"])
def test_more_patterns_than_there_are_cannot_be_kept(kind: str, tmp_path: Path) -> None:
    """[DP-2.6] [API-4.61]"""
    raw = raw_data()
    asked = config(tmp_path, n_subsample=26)
    for make in (to_scan, ensure_container):
        with pytest.raises(GroupingError, match="n_subsample is 26; there are 25 patterns"):
            make(raw if kind == "raw data" else raw.scan(), asked)
    assert len(to_scan(raw, config(tmp_path, n_subsample=25))) == 25


def test_a_container_was_sampled_when_it_was_made(tmp_path: Path) -> None:
    asked = config(tmp_path, n_subsample=16, n_groups=2, neighbor_count=3)
    container = ensure_container(raw_data(), asked)
    held = len(np.unique(np.asarray(container.nn_indices)))
    assert held < 16
    assert len(to_scan(container, asked)) == held


@requires_torch
@pytest.mark.usefixtures("params_cfg_snapshot")
def test_numbers_of_the_training_do_not_sample_the_test_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[API-4.61]"""
    from ptycho_torch.contracts.legacy import workflows as components

    calls: list[tuple[str, tuple[Any, ...]]] = []
    spy(monkeypatch, components, "reconstruct_scan", calls)
    asked = config(tmp_path, n_subsample=16, n_groups=300, neighbor_count=8)
    _, _, results = components.run_cdi_example_torch(raw_data(), raw_data(9), asked, do_stitching=True)
    assert len(results["train_container"].X) == 300
    assert len(results["test_container"].X) == 9
    assert len(calls[0][1][1]) == 9
    assert legacy.cfg["n_subsample"] == 16
