"""Reconstructions that are interrupted or killed keep what they have found, and go on from it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ptycho_torch.cli.main import main
from ptycho_torch.config import SimulationSettings
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan

EPOCHS = 100
SETTINGS = ("--method=least_squares", f"--epochs={EPOCHS}", "--batches=4", "--patience=1000")
MACHINE = ("--device=cpu", "--threads=1", "--quiet")
STATE = "state.ckpt"


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SimulationSettings(
        object="dead_leaves", object_px=64, patch_px=32, probe="gaussian", probe_diameter_px=8, step_px=4, photons=1e6
    )
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    write_scan(simulate_scan(settings), path)
    return path


@pytest.fixture(scope="module")
def whole(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(["refine", f"--data={scan_path}", f"--output_dir={folder}", *SETTINGS, *MACHINE]) in (0, 3)
    return folder


def end_early(folder: Path, number: signal.Signals, *words: str) -> tuple[int, str]:
    """Start a command, send it a signal when it has saved its state; returns exit code and standard error."""
    command = [sys.executable, "-m", "ptycho_torch", *words, f"--output_dir={folder}", *MACHINE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while not (folder / STATE).exists():
            assert process.poll() is None, "the run ended before its state was saved"
            time.sleep(0.01)
        process.send_signal(number)
        error = process.communicate(timeout=60)[1]
    return process.returncode, error


@pytest.fixture(scope="module")
def kill(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """A function that leaves in a folder what a killed run has left."""
    template = tmp_path_factory.mktemp("killed") / "out"

    def leave(folder: Path) -> None:
        if not template.exists():
            code, _ = end_early(template, signal.SIGKILL, "refine", f"--data={scan_path}", *SETTINGS)
            assert code == -signal.SIGKILL
        assert (template / STATE).exists(), "the run ended before its state was saved"
        shutil.copytree(template, folder)

    return leave


def resume(folder: Path, scan_path: Path, *words: str) -> int:
    """Resume a run; returns the exit code."""
    try:
        words = (f"--data={scan_path}", *SETTINGS, *words, f"--output_dir={folder}", *MACHINE, "--resume")
        return main(["refine", *words])
    except SystemExit as end:
        return int(end.code or 0)


def read(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def assert_same(folder: Path, wanted: Path) -> None:
    for name in ("object.npz", "probe.npy"):
        found, other = (np.load(place / name) for place in (folder, wanted))
        for key in other.files if name.endswith("npz") else [slice(None)]:
            assert np.array_equal(found[key], other[key], equal_nan=True), f"{name} differs"
    metrics = [{**read(place, "metrics.json"), "seconds": 0} for place in (folder, wanted)]
    assert metrics[0] == metrics[1]
    assert {path.name for path in folder.iterdir()} - {"run-1.json"} == {path.name for path in wanted.iterdir()}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_its_best_result_and_goes_on(
    scan_path: Path, whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "out"
    found, error = end_early(folder, number, "refine", f"--data={scan_path}", *SETTINGS)
    assert found == code
    assert "Traceback" not in error
    assert read(folder, "run.json")["status"] == "interrupted"
    metrics = read(folder, "metrics.json")
    assert metrics["interrupted"] == number.name
    epochs = len(metrics["R_by_epoch"])
    assert 1 <= epochs < EPOCHS
    assert metrics["remarks"] == [f"interrupted by {number.name} after epoch {epochs} of {EPOCHS}"]
    assert metrics["R"] <= 1.05 * metrics["R_by_epoch"][-1], "the result is not that of the last epoch"
    with np.load(folder / "object.npz") as stored:
        assert str(stored["interrupted"]) == number.name
        assert np.isfinite(stored["object"]).all()
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert resume(folder, scan_path) in (0, 3), "it did not go on"
    assert_same(folder, whole)


def test_a_killed_run_goes_on_to_the_same_result(
    scan_path: Path, whole: Path, tmp_path: Path, kill: Callable[[Path], None]
) -> None:
    folder = tmp_path / "out"
    kill(folder)
    assert read(folder, "run.json")["status"] == "running"
    (folder / ".object.npz.0.part").touch()  # as if it had been killed while it wrote
    assert resume(folder, scan_path) in (0, 3), "it did not go on"
    assert_same(folder, whole)
    before = read(folder, "run.json")
    assert resume(folder, scan_path) in (0, 3)
    assert read(folder, "run.json") == before, "a finished run was run again"


class Code:
    """Runs a command when it is unpickled without restrictions."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("mistake", ["setting", "scan", "truncated", "changed", "code"])
def test_a_state_that_does_not_belong_to_the_run_is_refused(
    scan_path: Path, tmp_path: Path, kill: Callable[[Path], None], capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    folder, other, reason = tmp_path / "out", scan_path, "is not a readable state of a run"
    words: tuple[str, ...] = ()
    kill(folder)
    state = folder / STATE
    content = state.read_bytes()
    if mistake == "setting":
        words, reason = ("--probe_modes=2",), "--probe_modes was 1 and is 2"
    elif mistake == "scan":
        other, reason = tmp_path / "other.npz", "the scan was"
        write_scan(simulate_scan(SimulationSettings(object_px=64, patch_px=32, step_px=4, photons=1e5)), other)
    elif mistake == "truncated":
        state.write_bytes(content[: len(content) // 2])
    elif mistake == "changed":
        half = len(content) // 2
        start, middle, end = content[:half], content[half : half + 64], content[half + 64 :]
        state.write_bytes(start + bytes(255 - value for value in middle) + end)
    else:
        torch.save({"kind": Code(f"touch {tmp_path / 'run'}")}, state)
        reason = "it is not read"
    (folder / ".lock").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert resume(folder, other, *words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert reason in message
    assert not (tmp_path / "run").exists()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_picture_shows_the_run_while_it_is_under_way(scan_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = (f"--data={scan_path}", "--epochs=4", f"--output_dir={folder}", *MACHINE)
    try:
        code = main(["refine", *words, "--live=3"])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code in (0, 3), "there are no pictures of a run"
    with Image.open(folder / "live.png") as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 100
