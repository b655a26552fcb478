"""Train, save, load and infer from one data file, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from workflow import run_module

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
    training, inference = folder / "training", folder / "inference"
    checkpoint = training / "checkpoints" / "last.ckpt"
    data: list[str | Path] = ["--data", data_file]
    train = [*data, "--probe", DATA / "probes" / "scan.npz", "--output_dir", training, "--max_epochs", "1"]
    infer = [*data, "--checkpoint", checkpoint, "--output_dir", inference]
    for module, arguments in (("ptycho_torch.train", [*train, "--disable_mlflow"]), ("ptycho_torch.inference", infer)):
        done = run_module(module, [*arguments, "--device", "cpu"], folder)
        assert done.returncode == 0, f"{module} failed\n{done.stdout}\n{done.stderr}"
    return SimpleNamespace(
        training_output_dir=training,
        inference_output_dir=inference,
        checkpoint=checkpoint,
        recon_amp=inference / "recon_amp.png",
        recon_phase=inference / "recon_phase.png",
    )


@pytest.mark.integration
@pytest.mark.usefixtures("cuda_cpu_env")
def test_run_pytorch_train_save_load_infer(tmp_path: Path, data_file: Path) -> None:
    """[WF-6.1]"""
    paths = _run_pytorch_workflow(tmp_path, data_file)
    assert paths.checkpoint.exists()
    for picture in (paths.recon_amp, paths.recon_phase):
        assert picture.exists()
        assert picture.stat().st_size > 1024
