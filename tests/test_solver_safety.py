"""Least squares at ordinary overlap; a reconstruction that went wrong says so by its verdict and its exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ptycho_torch as pt
from ptycho_torch.cli.main import main

SPARSE = pt.SimulationSettings(object="dead_leaves", object_px=160, step_px=12, photons=1e6)
KNOWN_PROBE = pt.RefineSettings(method="least_squares", probe_start=1.0)


@pytest.fixture(scope="module")
def scan() -> pt.Scan:
    return pt.simulate_scan(SPARSE)


def refine(scan: pt.Scan, folder: Path, *options: str) -> tuple[int, dict[str, object]]:
    """The exit code of `refine` and the figures that it leaves."""
    pt.write_scan(scan, folder / "scan.npz")
    code = main(
        ["refine", "--data", str(folder / "scan.npz"), "--output_dir", str(folder / "out"), "--quiet", *options]
    )
    return code, json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("step_px", [10, 12, 14])
def test_a_known_probe_is_solved_at_ordinary_overlap(step_px: float) -> None:
    scan = pt.simulate_scan(pt.SimulationSettings(step_px=step_px, photons=1e6))
    found = pt.refine_scan(scan, KNOWN_PROBE)
    best = np.minimum.accumulate(found.solution.errors)
    assert (np.array(found.solution.errors) <= 1.2 * best).all(), "an epoch made it much worse: least squares diverged"
    assert found.metrics["complex_error"] < 0.12, "least squares diverged"


def test_a_good_run_says_so(scan: pt.Scan, tmp_path: Path) -> None:
    code, figures = refine(scan, tmp_path)
    assert str(figures.get("verdict", "is missing")).startswith("good"), "no verdict"
    assert code == 0


@pytest.mark.parametrize("mistake", ["scaled", "mirrored", "exchanged"])
def test_positions_that_do_not_belong_to_the_patterns_are_noticed(mistake: str, scan: pt.Scan, tmp_path: Path) -> None:
    middle = scan.positions_px.mean(axis=0)
    relative = scan.positions_px - middle
    wrong = {"scaled": 0.5 * relative, "mirrored": relative * [-1, 1], "exchanged": relative[:, ::-1] * [1, -1]}
    code, figures = refine(replace(scan, positions_px=middle + wrong[mistake], truth=None), tmp_path)
    verdict = str(figures.get("verdict", "is missing"))
    assert verdict.startswith(("doubtful because", "failed because")), "no verdict"
    assert (code == 3) == verdict.startswith("failed")
