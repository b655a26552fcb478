"""Train, save, load and infer in separate processes on a small scan: the integration plan's guard."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from workflow import BATCH_SIZE, FIXTURE, run_workflow

from ptycho_torch.config import Experiment

TROUBLE = re.compile(r"traceback|error:|exception|warning", re.IGNORECASE)


@pytest.mark.integration
class TestPyTorchFullWorkflow:
    """The whole way from measured patterns to pictures of the object."""

    def test_train_save_load_infer_cycle(self, tmp_path: Path) -> None:
        environment = dict(os.environ)
        for line in (FIXTURE / "SHA256SUMS").read_text().splitlines():
            checksum, name = line.split()
            assert hashlib.sha256((FIXTURE / name).read_bytes()).hexdigest() == checksum, f"the fixture {name} changed"
        for name in ("ptycho", "probes"):
            shutil.copytree(FIXTURE / name, tmp_path / name)

        run = run_workflow(tmp_path, tmp_path / "ptycho", tmp_path / "probes")

        for process in (run.train, run.infer):
            for stream in (process.stdout, process.stderr):
                assert not TROUBLE.search(stream), stream
        configured = self._check_training(run.training_output_dir, run.checkpoint)
        self._check_inference(run.inference_output_dir, configured)
        assert not [path for path in tmp_path.rglob("*") if "mlruns" in path.name or path.suffix == ".db"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["inference", "probes", "ptycho", "training"]
        assert dict(os.environ) == environment

    @staticmethod
    def _check_training(folder: Path, checkpoint: Path) -> tuple[int, int]:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
        assert stored["global_step"] >= 1
        experiment = Experiment.from_dict(stored["ptycho_torch"]["experiment"])
        assert experiment.training.batch_size == BATCH_SIZE
        patch_px, channels = stored["ptycho_torch"]["patch_px"], experiment.training.group_size
        with np.load(folder / "index_state.npz") as index:
            assert index["training_0"].shape[1] == channels
            assert not np.intersect1d(index["training_0"], index["validation_0"]).size
        record = json.loads((folder / "run.json").read_text())
        assert record["status"] == "finished"
        assert [Path(entry["path"]).name for entry in record["inputs"]] == ["scan.npz"]
        return channels, patch_px

    @staticmethod
    def _check_inference(folder: Path, configured: tuple[int, int]) -> None:
        channels, patch_px = configured
        with np.load(folder / "prediction.npz") as prediction:
            patches = prediction["patches"]
        assert patches.shape == (BATCH_SIZE, channels, patch_px, patch_px)
        assert patches.dtype == np.complex64
        assert np.isfinite(patches).all()
        assert np.ptp(np.abs(patches)) > 0
        with np.load(folder / "object.npz") as stored:
            assert stored["object"].dtype == np.complex64
            assert np.isfinite(stored["object"]).all()
            assert stored["origin_px"].shape == (2,)
        for name in ("recon_amp.png", "recon_phase.png"):
            assert (folder / name).stat().st_size > 1024
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["network_polish"]["R"] < metrics["network"]["R"]
