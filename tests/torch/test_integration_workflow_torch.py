"""Train, save, load and infer from one data file, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "fixtures" / "pytorch_integration"


@pytest.mark.integration
class TestPyTorchIntegrationWorkflow(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.training = Path(self.folder.name) / "training"
        self.inference = Path(self.folder.name) / "inference"

    def run_module(self, module: str, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_full_workflow(self) -> None:
        data = f"--data={DATA / 'ptycho' / 'scan.npz'}"
        probe = f"--probe={DATA / 'probes' / 'scan.npz'}"
        where = f"--output_dir={self.training}"
        self.run_module("ptycho_torch.train", data, probe, where, "--max_epochs=1", "--device=cpu", "--disable_mlflow")
        checkpoint = self.training / "checkpoints" / "last.ckpt"
        self.assertTrue(checkpoint.exists())
        where = f"--output_dir={self.inference}"
        self.run_module("ptycho_torch.inference", f"--checkpoint={checkpoint}", data, where, "--device=cpu")
        for name in ("recon_amp.png", "recon_phase.png"):
            self.assertTrue((self.inference / name).exists())
            self.assertGreater((self.inference / name).stat().st_size, 1024)


if __name__ == "__main__":
    unittest.main()
