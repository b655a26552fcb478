"""Train and infer in processes of their own, as a user at a shell would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FIXTURE = Path(__file__).parents[1] / "fixtures" / "pytorch_integration"
EPOCHS, BATCH_SIZE = 1, 4


@dataclass(frozen=True)
class WorkflowRun:
    """What one train - save - load - infer cycle left behind.

    Attributes:
        train: the finished training process.
        infer: the finished inference process.
        training_output_dir: folder of the training run.
        inference_output_dir: folder of the inference run.
        checkpoint: where the last checkpoint should be.
    """

    train: subprocess.CompletedProcess[str]
    infer: subprocess.CompletedProcess[str]
    training_output_dir: Path
    inference_output_dir: Path
    checkpoint: Path


def run_module(module: str, arguments: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` on the CPU in a folder; both streams are captured."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_workflow(folder: Path, ptycho_dir: Path, probe_dir: Path) -> WorkflowRun:
    """Train for one epoch, then reconstruct from the checkpoint in a new process."""
    training, inference = folder / "training", folder / "inference"
    checkpoint = training / "checkpoints" / "last.ckpt"
    train_arguments: list[str | Path] = ["--ptycho_dir", ptycho_dir, "--probe_dir", probe_dir, "--output_dir", training]
    train_arguments += [
        "--max_epochs",
        str(EPOCHS),
        "--batch_size",
        str(BATCH_SIZE),
        "--device",
        "cpu",
        "--disable_mlflow",
    ]
    train = run_module("ptycho_torch.train", train_arguments, folder)
    assert train.returncode == 0, f"training failed\n{train.stdout}\n{train.stderr}"
    infer = run_module(
        "ptycho_torch.inference",
        ["--checkpoint", checkpoint, "--data_dir", ptycho_dir, "--output_dir", inference],
        folder,
    )
    assert infer.returncode == 0, f"inference failed\n{infer.stdout}\n{infer.stderr}"
    return WorkflowRun(train, infer, training, inference, checkpoint)
