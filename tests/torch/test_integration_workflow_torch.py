"""Train, save, load and infer from one data file, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

DATA = Path(__file__).parents[1] / "fixtures" / "pytorch_integration"


@pytest.fixture
def cuda_cpu_env() -> Iterator[None]:
    """Hide every GPU from the child processes; the caller's environment comes back afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture
def data_file() -> Path:
    """Patterns and positions of a small simulated scan; its probe lies beside it."""
    path = DATA / "ptycho" / "scan.npz"
    assert path.is_file()
    return path


def _run_pytorch_workflow(folder: Path, data_file: Path) -> SimpleNamespace:
    """Train and infer in two processes; returns the paths of what they should have written."""
    raise NotImplementedError("PyTorch pytest harness not implemented (Phase C1 stub)")


@pytest.mark.integration
@pytest.mark.usefixtures("cuda_cpu_env")
def test_run_pytorch_train_save_load_infer(tmp_path: Path, data_file: Path) -> None:
    paths = _run_pytorch_workflow(tmp_path, data_file)
    assert paths.checkpoint.exists()
    for picture in (paths.recon_amp, paths.recon_phase):
        assert picture.exists()
        assert picture.stat().st_size > 1024
