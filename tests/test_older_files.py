"""Older names, files of older and of newer versions, and files of other programs, one thing a test."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from older_files import CHECKPOINT, call, check_prediction, count_warnings, forget_warnings
from releases import FIRST, Release, list_releases

import ptycho_torch as pt
from ptycho_torch.cli.config_file import read_config
from ptycho_torch.errors import BundleError, CheckpointError, ConfigError, OutputError, ScanFileError
from ptycho_torch.formats.npz import load_arrays
from ptycho_torch.migrations.names import MOVED
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.models.record import find_whole
from ptycho_torch.runtime.run_record import read_record

RELEASES = list_releases()
NAMES = [release.name for release in RELEASES]


@pytest.fixture(autouse=True)
def warn_again() -> None:
    """Files that other tests have opened are warned about again."""
    forget_warnings()


@pytest.mark.parametrize("older", MOVED)
def test_every_older_name_leads_to_the_one_that_it_has_now(older: str) -> None:
    module = importlib.import_module(f"ptycho_torch.{older}")
    for home, names in MOVED[older].items():
        for word in names.split():
            name, _, new = word.partition("=")
            now = getattr(importlib.import_module(f"ptycho_torch.{home}"), new or name)
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                assert getattr(module, name) is now
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_an_old_checkpoint_means_what_was_done_then() -> None:
    """Solvers fitted all pixels before some could be held out."""
    assert load_network(Release(FIRST).folder / CHECKPOINT).experiment.refine.held_out == 0


@pytest.mark.slow
def test_a_state_of_a_release_is_resumed(tmp_path: Path) -> None:
    """The state that an interrupted run left behind goes on to its end."""
    folder = Release("0.1.0").copy(tmp_path)
    assert call(folder, *Release("0.1.0").description["interrupted"], "--resume") in (0, 3)
    assert not (folder / "interrupted" / "state.ckpt").exists()
    assert json.loads((folder / "interrupted" / "run.json").read_text(encoding="utf-8"))["status"] == "finished"


def test_files_of_a_newer_version_are_refused_by_the_version_that_wrote_them(tmp_path: Path) -> None:
    folder = Release("0.1.0").copy(tmp_path)
    later = {"version": 99, "written_by": "4.5.6"}
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    content["ptycho_torch"] |= later
    torch.save(content, folder / CHECKPOINT)
    (folder / "later.yaml").write_text(yaml.safe_dump(later), encoding="utf-8")
    for name in ("refined/metrics.json", "refined/run.json"):
        values = json.loads((folder / name).read_text(encoding="utf-8")) | later
        (folder / name).write_text(json.dumps(values), encoding="utf-8")
    for error, read in (
        (CheckpointError, lambda: load_network(folder / CHECKPOINT)),
        (ConfigError, lambda: read_config(folder / "later.yaml")),
        (ScanFileError, lambda: pt.read_result(folder / "refined")),
        (OutputError, lambda: read_record(folder / "refined")),
    ):
        with pytest.raises(
            error, match=r"of version 99, written by ptycho-torch 4\.5\.6; .* reads versions up to"
        ) as told:
            read()
        assert "\n" not in str(told.value)


def test_no_training_goes_on_from_an_older_checkpoint_in_place_of_one_of_a_newer_version(tmp_path: Path) -> None:
    """The newest checkpoint is whole, and more may follow from it: the older one beside it is no way out."""
    place = Release("0.1.0").copy(tmp_path) / CHECKPOINT
    newest = place.with_name("last.ckpt")
    place.rename(place.with_name("previous.ckpt"))
    content = torch.load(place.with_name("previous.ckpt"), weights_only=True)
    content["ptycho_torch"] |= {"version": 99, "written_by": "4.5.6"}
    torch.save(content, newest)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: is a checkpoint of version 99") as told:
        find_whole(place.parent, load_network)
    assert "damaged" not in str(told.value)


def test_an_unknown_setting_of_a_checkpoint_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Release("0.1.0").copy(tmp_path)
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    content["ptycho_torch"]["experiment"]["training"]["hue"] = "blue"
    content["ptycho_torch"]["experiment"]["colours"] = {"red": 1}
    torch.save(content, folder / CHECKPOINT)
    check_prediction(load_network(folder / CHECKPOINT), folder)
    assert count_warnings(caplog, "last.ckpt", "'training.hue'", "'colours'") == 1


def test_files_of_ptychopinn_are_read_where_they_can_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its NPZ files of all ages are scans; weights without settings are refused in one line."""
    arrays = load_arrays(Release("0.1.0").folder / "scan.npz")
    older = {"diffraction": np.moveaxis(arrays["diff3d"], 0, -1)} | {
        name: arrays[name] for name in ("xcoords", "ycoords", "probeGuess", "objectGuess")
    }
    np.savez(tmp_path / "older.npz", allow_pickle=False, **older)
    scan, known = pt.read_scans(tmp_path / "older.npz")[0], pt.read_scans(Release("0.1.0").folder / "scan.npz")[0]
    np.testing.assert_array_equal(np.asarray(scan.counts), np.asarray(known.counts))
    np.testing.assert_array_equal(scan.positions_px, known.positions_px)
    torch.save({"model.autoencoder.encoder.blocks.0.conv1.weight": torch.ones(4, 1, 3, 3)}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"weights\.pt: is not a checkpoint of ptycho_torch") as told:
        load_network(tmp_path / "weights.pt")
    assert "\n" not in str(told.value)
    (tmp_path / "wts.h5.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(BundleError, match=r"lacks manifest\.dill"):
        open_bundle(tmp_path)
