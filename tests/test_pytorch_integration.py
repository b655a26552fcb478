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
from workflow_physics import Measured, correlate

from ptycho_torch.config import Experiment
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.networks.build import build_network

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
        measured = Measured.read(FIXTURE / "ptycho" / "scan.npz")
        self._check_what_was_learnt(measured, run.training_output_dir, run.checkpoint, run.inference_output_dir)
        self._check_objects(measured, run.checkpoint, run.inference_output_dir)
        assert not [path for path in tmp_path.rglob("*") if "mlruns" in path.name or path.suffix == ".db"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["inference", "probes", "ptycho", "training"]
        assert dict(os.environ) == environment

    @staticmethod
    def _check_training(folder: Path, checkpoint: Path) -> tuple[int, int]:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
        assert stored["global_step"] >= 1
        moments = stored["optimizer_states"][0]["state"].values()
        assert {int(moment["step"]) for moment in moments} == {stored["global_step"]}
        loaded = load_network(checkpoint).generator.state_dict()
        for name, weights in loaded.items():
            torch.testing.assert_close(weights, stored["state_dict"][f"generator.{name}"], rtol=0, atol=0)
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

    @staticmethod
    def _check_what_was_learnt(measured: Measured, training: Path, checkpoint: Path, inference: Path) -> None:
        """The groups are neighbours, a step of training helps, and the checkpoint is the network that was used."""
        with np.load(training / "index_state.npz") as index:
            np.testing.assert_allclose(index["positions_px_0"], measured.positions_px)
            groups = index["training_0"]
        assert all(measured.is_group(group, np.unique(groups)) for group in groups)
        trained = load_network(checkpoint)
        probe = trained.probes[0]
        assert trained.photons[0] == pytest.approx(measured.counts.sum(axis=(1, 2)).mean(), rel=1e-4)
        assert np.square(np.abs(probe)).sum() == pytest.approx(trained.photons[0], rel=0.05)
        untrained = measured.predict(build_network(trained.experiment, measured.side), probe)
        learnt = measured.predict(trained.generator, probe)
        before, after = (measured.residual_of_patches(patches, probe) for patches in (untrained, learnt))
        assert after < before - 1e-4, "a step of training does not explain the patterns better"
        with np.load(inference / "prediction.npz") as prediction:
            patches, patterns = prediction["patches"], prediction["patterns"]
        np.testing.assert_allclose(patches, learnt[patterns], atol=1e-4)
        with np.load(inference / "network_object.npz") as stored:
            canvas, origin = stored["object"].astype(np.complex128), stored["origin_px"]
        wanted, weight = measured.stitch(learnt, canvas, origin, np.square(np.abs(probe)).sum(axis=0))
        lit = weight > 0.1 * weight.max()
        difference = np.linalg.norm((canvas - wanted)[lit]) / np.linalg.norm((wanted - wanted[lit].mean())[lit])
        assert difference < 0.2, "the network's object is not made of what it makes of the patterns"

    @staticmethod
    def _check_objects(measured: Measured, checkpoint: Path, folder: Path) -> None:
        """The reference finds the residuals of the stored objects, near that of noise, and the patches in place."""
        metrics = json.loads((folder / "metrics.json").read_text())
        polished = measured.residual_of_object(folder / "object.npz", np.load(folder / "probe.npy"))
        assert polished == pytest.approx(metrics["network_polish"]["R"], rel=0.01)
        assert polished < 1.02 * metrics["network_polish"]["R_floor"]
        assert metrics["flat_polish"]["R"] == pytest.approx(polished, rel=0.02)
        assert metrics["flat_polish"]["R"] != metrics["network_polish"]["R"], "both started from the same object"
        probe = load_network(checkpoint).probes[0]
        predicted = measured.residual_of_object(folder / "network_object.npz", probe)
        assert predicted == pytest.approx(metrics["network"]["R"], rel=0.05)
        with np.load(folder / "network_object.npz") as stored, np.load(folder / "prediction.npz") as prediction:
            canvas, origin, patches = stored["object"], stored["origin_px"], prediction["patches"]
            patterns = prediction["patterns"]
        illumination = np.square(np.abs(probe.astype(np.complex128))).sum(axis=0)
        alike = [
            correlate(patch, measured.cut(canvas, origin, pattern)[0], illumination)
            for pattern, patch in zip(patterns.ravel(), patches.reshape(-1, measured.side, measured.side), strict=True)
        ]
        assert np.mean(alike) > 0.3, "the patches are not where the object has them"
