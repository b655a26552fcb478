"""`ptycho-torch preflight`: what a broken training is refused for, by key and reason, before anything is written."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.data.scan import Scan

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(small_scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Check a training of 49 patterns of 32 px with some options; returns the exit code and the report."""
    monkeypatch.chdir(tmp_path)
    pt.write_scan(small_scan, tmp_path / "scan.npz")

    def run_preflight(*options: str) -> tuple[int, dict[str, Any]]:
        code = 2
        usual = ["--data", "scan.npz", "--depth", "2", "--width", "4", "--device", "cpu", "--quiet"]
        with contextlib.suppress(SystemExit):
            code = main(["preflight", *usual, *options, "--json"])
        printed = capsys.readouterr().out
        assert printed.startswith("{"), "preflight prints no report"
        [report] = json.loads(printed)["trainings"]
        return code, report

    return run_preflight


def find_refusals(report: dict[str, Any]) -> dict[str, str]:
    return {finding["key"]: finding["text"] for finding in report["findings"] if finding["status"] == "refused"}


def test_a_sound_training_passes_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    code, report = run("--output_dir", "run")
    assert find_refusals(report) == {}
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]
    assert report["needs"]["parameters"] > 1000
    assert report["needs"]["memory_bytes"] > 16 * report["needs"]["parameters"]


@pytest.mark.parametrize(
    ("options", "key", "reason"),
    [
        (["--depth", "6"], "model.depth", "32 px cannot be halved that often"),
        (["--group_size", "60"], "training.group_size", "49 patterns"),
        (["--devices", "64"], "trainer.devices", "an epoch has only 2 groups"),
        (["--gradient_checkpointing", "--normalisation", "batch"], "trainer.gradient_checkpointing", "use group"),
        (["--data", "missing.npz"], "data", "does not exist"),
        (["--data", "damaged.npz"], "data", "is not a readable NPZ file"),
        (["--data", "no_probe.npz"], "probe", "there is no probe"),
        (["--probe", "wide.npy"], "probe", r"must have shape \(mode, 32, 32\)"),
        (["--data", "no_object.npz", "--target", "object"], "training.target", "has no object to train on"),
        (["--output_dir", "used"], "output_dir", "is not empty"),
        (["--output_dir", "scan.npz/run"], "output_dir", "is a file"),
        (["--precision", "16-mixed"], "trainer.precision", "processors do not compute with"),
        (["--device", "cuda"], "device", "no CUDA device is visible"),
        (["--batch_size", "100000", "--groups_per_pattern", "64", "--groups_per_epoch", "9000", "--width", "256"],
         "training.batch_size", "GiB of memory"),
    ],
)  # fmt: skip
def test_a_broken_training_is_refused_by_key(
    options: list[str], key: str, reason: str, run: Run, small_scan: Scan, tmp_path: Path
) -> None:
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "scan.npz").read_bytes()[:5000])
    pt.write_scan(replace(small_scan, probe=None), tmp_path / "no_probe.npz")
    pt.write_scan(replace(small_scan, truth=None), tmp_path / "no_object.npz")
    np.save(tmp_path / "wide.npy", np.ones((48, 48), np.complex64))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    code, report = run(*options)
    refusals = find_refusals(report)
    assert code == 2
    assert list(refusals) == [key]
    assert re.search(reason, refusals[key])
    assert "\n" not in refusals[key]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_settings_to_check_can_be_printed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--depth", "2", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["depth"] == 2
    with pytest.raises(SystemExit):
        main(["preflight", "--data", "scan.npz", "--no_preflight"])
