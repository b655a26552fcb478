"""Files, names and commands of older releases: each opens with one warning, and means what it meant."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from older_files import CHECKPOINT, call, check_prediction, count_warnings, forget_warnings
from releases import BUNDLES, COMPOSED, FIRST, Release, list_releases

import ptycho_torch as pt
from ptycho_torch.cli.config_file import read_config
from ptycho_torch.cli.main import main
from ptycho_torch.contracts.legacy.parameters import LegacyModel, cfg
from ptycho_torch.contracts.legacy.translation import to_model_config, to_training_config
from ptycho_torch.contracts.legacy.workflows import load_torch_bundle
from ptycho_torch.contracts.ptychodus.configs import DataConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.bundle import build_bundled
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.run.compose import check_values
from ptycho_torch.runtime.run_record import read_record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RELEASES = list_releases()
NAMES = [release.name for release in RELEASES]


# what a script of the first form looked like
SCRIPT = """
import numpy as np
from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.data.readers import read_one_scan
from ptycho_torch.data.writer import write_object
from ptycho_torch.metrics.objects import complex_correlation
from ptycho_torch.persistence.checkpoint import load_network
from ptycho_torch.refine.solve import refine

scan = read_one_scan("scan.npz")
trained = load_network("trained/checkpoints/last.ckpt")
solution = refine(scan, RefineSettings(epochs=2, probe_start=1.0), probe=scan.probe, device="cpu")
pixels = solution.canvas.pixels
assert abs(complex_correlation(pixels, pixels, np.ones(pixels.shape, bool)) - 1) < 1e-6
write_object(solution.canvas, __import__("pathlib").Path("written.npz"))
print(trained.patch_px, scan.counts.shape, sorted(np.load("written.npz")))
"""


def test_legacy_tier3_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The import paths of the first form work, each with one warning that names the new one."""
    forget_warnings()
    monkeypatch.chdir(Release(FIRST).copy(tmp_path))
    for older in importlib.import_module("ptycho_torch.migrations.names").MOVED:
        monkeypatch.delitem(sys.modules, f"ptycho_torch.{older}", raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(SCRIPT, {})
    assert capsys.readouterr().out.startswith("16 (")
    found = [re.match(r"(\S+) is now (\S+);", str(each.message)) for each in caught]
    told = [(each[1], each[2]) for each in found if each]
    assert dict(told) == {
        "ptycho_torch.config.schema.RefineSettings": "ptycho_torch.config.RefineSettings",
        "ptycho_torch.data.readers.read_one_scan": "ptycho_torch.formats.read_one_scan",
        "ptycho_torch.data.writer.write_object": "ptycho_torch.formats.npz.write_object",
        "ptycho_torch.metrics.objects.complex_correlation": "ptycho_torch.evaluate.objects.complex_correlation",
        "ptycho_torch.persistence.checkpoint.load_network": "ptycho_torch.models.checkpoint.load_network",
        "ptycho_torch.refine.solve.refine": "ptycho_torch.solve.solve.refine",
    }
    assert len(told) == 6


def test_load_old_checkpoint_format(caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint of any release predicts what it predicted then; an older one is warned about once."""
    forget_warnings()
    for name in NAMES:
        caplog.clear()
        folder = Release(name).folder
        check_prediction(load_network(folder / CHECKPOINT), folder)
        load_network(folder / CHECKPOINT)
        version = torch.load(folder / CHECKPOINT, weights_only=True)["ptycho_torch"]["version"]
        assert count_warnings(caplog, "last.ckpt", "version 1", "version 2") == (version == 1)


def test_config_format_migration(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Settings files without a version are read; what only another version knows is left out with a warning."""
    forget_warnings()
    older = read_config(Release(COMPOSED).folder / "settings.yaml")
    assert (older["training"]["epochs"], older["model"]["width"], older["data"]["units"]) == (3, 8, "counts")
    text = "version: 1\nwritten_by: 9.9.9\ncolours: {red: 1}\ntraining: {epochs: 4, hue: blue}\n"
    (tmp_path / "later.yaml").write_text(text, encoding="utf-8")
    assert read_config(tmp_path / "later.yaml") == {"training": {"epochs": 4}}
    assert count_warnings(caplog, "later.yaml", "'colours'", "'training.hue'") == 1
    (tmp_path / "typed.yaml").write_text("training: {epoch: 4}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="training has no setting 'epoch'"):
        read_config(tmp_path / "typed.yaml")


def test_old_taskspec_compatibility(caplog: pytest.LogCaptureFixture) -> None:
    """A description of a whole run is read: a composed configuration that names classes as they were called then."""
    forget_warnings()
    values = yaml.safe_load((Release(COMPOSED).folder / "configuration.yaml").read_text(encoding="utf-8"))
    assert values["model"]["_target_"] == "ptycho_torch.config.schema.ModelSettings"
    configuration = check_values(values)
    assert configuration.sections["model"].to_dict()["width"] == 8
    assert count_warnings(caplog, "config.schema.ModelSettings is now ptycho_torch.config.ModelSettings") == 1
    values["model"]["_target_"] = "ptycho_torch.config.schema.os"
    with pytest.raises(ConfigError, match="can build only"):
        check_values(values)


def test_legacy_optimizer_state_loading(tmp_path: Path) -> None:
    """AdamW goes on with the moments in an older checkpoint, as a real training that is resumed."""
    forget_warnings()
    for name in (FIRST, "0.1.0"):
        folder = Release(name).copy(tmp_path / name)
        before = torch.load(folder / CHECKPOINT, weights_only=True)
        words = list(Release(name).description["commands"]["train"])
        words[words.index("--steps") + 1] = "6"
        assert call(folder, *words, "--resume") == 0
        after = torch.load(folder / CHECKPOINT, weights_only=True)
        steps = [int(content["optimizer_states"][0]["state"][0]["step"]) for content in (before, after)]
        assert steps == [before["global_step"], after["global_step"]] == [4, 6]
        # the mean of the squared gradients falls by at most the factor that AdamW multiplies it by
        older, newer = (content["optimizer_states"][0]["state"][0]["exp_avg_sq"] for content in (before, after))
        assert (newer >= 0.999**2 * older * (1 - 1e-5)).all()
        assert not torch.equal(newer, older)
        assert after["ptycho_torch"]["version"] == 2


def test_old_metrics_format_compatibility(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Losses and figures of merit of all releases are read; other tables are refused in one line."""
    forget_warnings()
    read_losses = importlib.import_module("ptycho_torch.migrations.losses").read_losses
    for name in NAMES:
        caplog.clear()
        folder = Release(name).folder
        losses = read_losses(folder / "trained" / "logs" / "metrics.csv")
        assert losses["step"][0] == 0
        assert len(losses["train_loss_step"]) == 4
        assert all(value > 0 for value in losses["train_loss_step"] + losses["val_loss"])
        stored = json.loads((folder / "refined" / "metrics.json").read_text(encoding="utf-8"))
        found = pt.read_result(folder / "refined")
        assert found.errors == tuple(stored["R_by_epoch"])
        assert count_warnings(caplog, "metrics.json", "version 1") == ("version" not in stored)
        (tmp_path / "other.csv").write_text("epoch,loss\n0,1\n", encoding="utf-8")
        with pytest.raises(OutputError, match=r"other\.csv: is no table of losses of this version"):
            read_losses(tmp_path / "other.csv")


def test_legacy_model_architecture_compatibility() -> None:
    """Networks and activations are told by the names that clients and legacy code have for them."""
    forget_warnings()
    model = to_model_config(DataConfig(), ModelConfig(mode="Unsupervised", amp_activation="SiLU"))
    assert (model.model_type, model.amp_activation) == ("pinn", "swish")
    assert LegacyModel(model_type="supervised").model_type == "supervised"
    weights = torch.load(Release(FIRST).folder / CHECKPOINT, weights_only=True)["state_dict"]
    names = {f"generator.{name}" for name in load_network(Release(FIRST).folder / CHECKPOINT).generator.state_dict()}
    assert names == {name for name in weights if name.startswith("generator.")}


@pytest.mark.usefixtures("params_cfg_snapshot")
def test_old_export_format_loading(caplog: pytest.LogCaptureFixture) -> None:
    """A bundle of any release predicts what its checkpoint predicted, and gives its flat parameters."""
    forget_warnings()
    for name in (BUNDLES, COMPOSED, "0.1.0"):
        caplog.clear()
        folder = Release(name).folder
        bundle = open_bundle(folder / "trained")
        check_prediction(build_bundled(bundle, folder / "trained"), folder)
        assert bundle.params["N"] == 16
        trained, params = load_torch_bundle(folder / "trained")
        assert trained.patch_px == 16
        assert params["nepochs"] == cfg["nepochs"]
        assert count_warnings(caplog, "wts.h5.zip", "bundle of version 1") == (name in (BUNDLES, COMPOSED))


def test_backward_compatible_api_aliases(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Options and parameters are understood by the names that plans and other programs have for them."""
    forget_warnings()
    words = ["train", "--ptycho_dir", "scan.npz", "--probe_dir", "probes", "--max_epochs", "7", "--print_config"]
    assert main(words) == 0
    assert yaml.safe_load(capsys.readouterr().out)["training"]["epochs"] == 7
    client = (DataConfig(nphotons=1e6), ModelConfig(), TrainingConfig())
    overrides = {"train_data_file": "scan.npz", "n_images": 49}
    found = to_training_config(to_model_config(*client[:2]), *client, overrides)
    assert found.n_groups == 49
    assert count_warnings(caplog, "n_images is deprecated; pass n_groups") == 1


def test_full_legacy_pipeline_e2e(tmp_path: Path) -> None:
    """The commands that made the files of the first release run now, on its scan, and explain its patterns better."""
    forget_warnings()
    folder = Release(FIRST).copy(tmp_path)
    for name in ("trained", "inferred", "refined"):
        shutil.rmtree(folder / name)
    commands = Release(FIRST).description["commands"]
    for command in ("train", "infer", "refine"):
        assert call(folder, *commands[command], *(["--epochs", "30"] if command == "refine" else [])) in (0, 3)
    older, newer = (
        json.loads((each / "refined" / "metrics.json").read_text(encoding="utf-8"))
        for each in (Release(FIRST).folder, folder)
    )
    assert newer["R"] < older["R"]
    older_object, newer_object = (pt.read_result(each / "refined") for each in (Release(FIRST).folder, folder))
    assert older_object.pixels.shape == newer_object.pixels.shape
    assert older_object.origin_px == newer_object.origin_px


def test_old_environment_snapshot_compatibility(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A record of the first form lacks options and environment, and is repeated all the same."""
    forget_warnings()
    folder = Release(FIRST).copy(tmp_path)
    record = read_record(folder / "refined")
    assert record["versions"]["ptycho-torch"] == "0.1.0"
    assert (record["environment"], record["git"], record["version"]) == ({}, None, 2)
    assert count_warnings(caplog, "run.json", "version 1") == 1
    assert call(folder, "repeat", "refined") in (0, 1)
    repeated = json.loads((folder / "refined-repeated" / "run.json").read_text(encoding="utf-8"))
    assert repeated["settings"]["refine"]["epochs"] == record["settings"]["refine"]["epochs"] == 3
