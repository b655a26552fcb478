"""Opening the stored files of releases: commands in their folders, predictions compared, warnings counted."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.formats.npz import load_arrays
from ptycho_torch.models.checkpoint import TrainedNetwork

CHECKPOINT = Path("trained/checkpoints/last.ckpt")


def call(folder: Path, *words: str) -> int:
    """Run a command in a folder; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main([*words, "--quiet"])


def check_prediction(trained: TrainedNetwork, folder: Path) -> None:
    """Check that a network predicts the patches of a release's own inference."""
    scan = pt.read_scans(folder / "scan.npz")[0]
    found = pt.reconstruct_scan(trained, scan, inference=pt.InferenceSettings(polish=False), device="cpu")
    expected = load_arrays(folder / "inferred" / "prediction.npz")
    np.testing.assert_array_equal(found.sample_patterns, expected["patterns"])
    np.testing.assert_allclose(found.sample, expected["patches"], atol=1e-4)


def count_warnings(caplog: pytest.LogCaptureFixture, *words: str) -> int:
    """How many warnings contain all words."""
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return sum(all(word in text for word in words) for text in texts)


def forget_warnings() -> None:
    """Let files be warned about again that other tests have opened."""
    from ptycho_torch.migrations import chain  # noqa: PLC0415 - the tests that call this are collected without it

    chain._told.clear()
