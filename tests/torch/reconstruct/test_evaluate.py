from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy_physics import patterns, residual

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.scores import evaluate

CPU = torch.device("cpu")


def test_truth_explains_its_own_data_down_to_the_noise(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    assert small_scan.probe is not None
    found = evaluate(small_scan, small_scan.truth, small_scan.probe, device=CPU)
    expected = patterns(
        small_scan.truth.pixels.astype(complex), small_scan.probe.astype(complex), small_scan.positions_px
    )
    assert found["R"] == pytest.approx(residual(expected, small_scan.counts.astype(float)), rel=1e-3)
    assert found["R"] == pytest.approx(found["R_floor"], rel=0.05)
    assert found["complex_error"] < 1e-3
    for name in ("complex_correlation", "phase_correlation", "amplitude_correlation"):
        assert found[name] == pytest.approx(1, abs=1e-5)


def test_scale_and_frame_of_the_object_do_not_matter(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    assert small_scan.probe is not None
    wanted = evaluate(small_scan, small_scan.truth, small_scan.probe, device=CPU)
    part = Canvas(0.3j * small_scan.truth.pixels[1:, 2:], (1.0, 2.0))
    found = evaluate(small_scan, part, small_scan.probe, device=CPU)
    assert found["R"] == pytest.approx(wanted["R"], rel=1e-3)
    assert found["complex_error"] < 1e-3


def test_empty_space_and_moved_objects_are_worse(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    assert small_scan.probe is not None
    for wrong in (Canvas(np.ones((64, 64), np.complex64)), Canvas(small_scan.truth.pixels, (1.0, 0.0))):
        found = evaluate(small_scan, wrong, small_scan.probe, device=CPU)
        assert found["R"] > 2 * found["R_floor"]
        assert found["complex_error"] > 0.1


def test_measured_data_has_no_truth_to_compare_with(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    assert small_scan.probe is not None
    found = evaluate(replace(small_scan, truth=None), small_scan.truth, small_scan.probe, device=CPU)
    assert set(found) == {"R", "R_floor"}
