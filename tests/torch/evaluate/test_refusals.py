"""Results that are no result of the scan, or explain nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_results import WRITERS, StoredObject

from ptycho_torch.cli.main import main


def test_a_true_object_that_covers_little_of_the_result_is_refused(
    stored: StoredObject, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "truth.npy", stored.pixels[:16, :16])
    words = ["--result", str(WRITERS["ptycho_torch"](stored, folder)), "--data", "scan.npz", "--truth", "truth.npy"]
    assert main(["evaluate", *words, "--output_dir", "judged", "--quiet"]) == 2
    assert "covers less than half" in capsys.readouterr().err
    assert not Path("judged").exists()


def test_a_result_that_explains_nothing_has_failed(stored: StoredObject, folder: Path) -> None:
    empty = replace(stored, pixels=np.ones_like(stored.pixels))
    words = ["--result", str(WRITERS["ptycho_torch"](empty, folder)), "--data", "scan.npz", "--quiet"]
    assert main(["evaluate", *words, "--output_dir", "judged"]) == 3
    assert json.loads(Path("judged/report.json").read_text())["verdict"] == "failed"
