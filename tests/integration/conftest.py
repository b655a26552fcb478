"""What the tests of whole workflows share: small simulated scans and their files, and a network trained on one of them.

Everything is made on this machine from seeds. What takes long is made once for all tests and must not be changed:
copy a folder before writing to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import ptycho_torch as pt
from ptycho_torch.config import (
    Experiment,
    InferenceSettings,
    ModelSettings,
    RefineSettings,
    SimulationSettings,
    TrainingSettings,
)
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.simulate.scan import simulate_scan

FOLDER = Path(__file__).parent
# a test that takes longer hangs
TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one of a whole workflow, and limit its time unless it has its own limit."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker("integration")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The processor, or the first GPU if `nox -s gpu` lets tests find it."""
    return torch.device("cuda" if "PTYCHO_TORCH_GPU" in os.environ and torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def tiny_simulation() -> SimulationSettings:
    """49 patterns of 32 px with 10⁶ photons each."""
    return SimulationSettings(object_px=64, patch_px=32, probe="gaussian", probe_diameter_px=8, step_px=4, seed=3)


@pytest.fixture(scope="session")
def tiny_experiment() -> Experiment:
    """A training of 2 epochs of 5 optimiser steps, and short reconstructions, in a few seconds."""
    return Experiment(
        model=ModelSettings(width=4, depth=1),
        training=TrainingSettings(
            epochs=2, group_size=4, batch_size=2, bootstrap_epochs=2, warmup_steps=2, validation_share=0.2
        ),
        inference=InferenceSettings(batch_size=16),
        refine=RefineSettings(epochs=2),
    )


@pytest.fixture(scope="session")
def make_scan(tiny_simulation: SimulationSettings) -> Callable[..., Scan]:
    """Simulate the tiny scan with other settings, once for the same ones; the scan is read-only."""

    @cache
    def simulated(**changes: Any) -> Scan:
        return simulate_scan(SimulationSettings.from_dict(tiny_simulation.to_dict() | changes))

    return simulated


@pytest.fixture(scope="session")
def tiny_scan(make_scan: Callable[..., Scan]) -> Scan:
    return make_scan()


@pytest.fixture(scope="session")
def scan_files(make_scan: Callable[..., Scan], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of three scans of different samples with patterns of one size; the first is the tiny scan."""
    folder = tmp_path_factory.mktemp("scans")
    files = [folder / f"scan_{number}.npz" for number in range(3)]
    for number, file in enumerate(files):
        write_scan(make_scan(seed=3 + number), file)
    return files


@pytest.fixture(scope="session")
def scan_file(scan_files: list[Path]) -> Path:
    """The file of the tiny scan."""
    return scan_files[0]


@pytest.fixture(scope="session")
def trained_folder(tiny_scan: Scan, tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of training on the tiny scan: checkpoints, bundle, index, losses, record."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    pt.train_network([tiny_scan], folder, tiny_experiment, device="cpu", track=False)
    return folder


@pytest.fixture(scope="session")
def trained_checkpoint(trained_folder: Path) -> Path:
    return trained_folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="session")
def trained_network(trained_checkpoint: Path) -> TrainedNetwork:
    return load_network(trained_checkpoint)


@pytest.fixture
def integration_tmp_dir(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is removed after the test, also if it failed."""
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `ptycho-torch` with these words in a process of its own, with keywords of `subprocess.run`."""

    def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ptycho_torch", *map(str, words)]
        return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": TIMEOUT_S} | options)

    return run
