"""Signals that reach a training of several processes on one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_options import SHORT

from ptycho_torch.cli.main import main
from ptycho_torch.config import SimulationSettings
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.simulate.scan import simulate_scan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("number", "to_group"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["as-a-scheduler", "as-a-terminal"]
)
def test_all_processes_end_after_a_step_that_is_saved(
    tmp_path: Path, number: signal.Signals, *, to_group: bool
) -> None:
    write_scan(simulate_scan(SimulationSettings(object_px=64, patch_px=16, step_px=5)), tmp_path / "scan.npz")
    folder = tmp_path / "out"
    words = ["train", f"--data={tmp_path / 'scan.npz'}", f"--output_dir={folder}", *SHORT]
    command = [sys.executable, "-m", "ptycho_torch", *words, "--devices=2", "--steps=100000", "--checkpoint_steps=5"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (folder / "checkpoints" / "previous.ckpt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    # --quiet
    assert "GPU available" not in said
    step = load_network(folder / "checkpoints" / "last.ckpt").steps
    assert f"training was ended by {number.name} after step {step}" in said
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    assert main([*words, f"--steps={step + 2}", "--resume"]) == 0
    assert load_network(folder / "checkpoints" / "last.ckpt").steps == step + 2
