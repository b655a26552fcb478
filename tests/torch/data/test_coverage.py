"""Sizes and overlaps of a scan, compared with discs, of which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.data.coverage import measure_coverage
from ptycho_torch.data.scan import Scan

SIDE, DIAMETER = 64, 24.0


def make_scan(step_px: float, columns: int = 6) -> Scan:
    offset = np.arange(SIDE) - SIDE // 2
    disc = (np.hypot(offset[:, None], offset) < DIAMETER / 2).astype(np.complex64)
    positions = step_px * np.stack(np.divmod(np.arange(columns**2), columns), axis=1).astype(float)
    return Scan(np.full((columns**2, SIDE, SIDE), 2.0, np.float32), positions, disc[None], pixel_m=10e-9)


def test_a_disc_has_its_diameter_and_overlaps_as_discs_do() -> None:
    scan = make_scan(8)
    found = measure_coverage(scan, scan.require_probe())
    assert found.probe_diameter_px == pytest.approx(DIAMETER, rel=0.03)
    assert found.step_px == pytest.approx(8)
    assert found.linear_overlap == pytest.approx(1 - 8 / DIAMETER, abs=0.02)
    offset = (np.arange(4000) - 2000) / 1500 * DIAMETER
    discs = [np.hypot(offset[:, None], offset - shift) < DIAMETER / 2 for shift in (0, 8)]
    assert found.area_overlap == pytest.approx((discs[0] & discs[1]).sum() / discs[0].sum(), abs=0.02)
    assert found.probe_oversampling == pytest.approx(SIDE / DIAMETER, rel=0.03)
    assert found.scan_oversampling == pytest.approx(SIDE / 8)
    assert found.to_dict()["probe_diameter_m"] == pytest.approx(DIAMETER * 10e-9, rel=0.03)


def test_photons_are_conserved_and_views_count_patterns() -> None:
    scan = make_scan(8)
    found = measure_coverage(scan, scan.require_probe())
    assert found.fluence.sum() == pytest.approx(scan.counts.sum(), rel=1e-5)
    # a pixel is seen from every position within the radius of the disc; the rim of one pixel may count or not
    height, width = found.views.shape
    rows, columns = np.meshgrid(np.arange(height) - SIDE // 2, np.arange(width) - SIDE // 2, indexing="ij")
    distance = np.hypot(rows[..., None] - scan.positions_px[:, 0], columns[..., None] - scan.positions_px[:, 1])
    radius = DIAMETER / 2
    assert ((distance < radius - 1.5).sum(-1) <= found.views).all()
    assert (found.views <= (distance < radius + 1.5).sum(-1)).all()
    assert found.views[0, 0] == 0
    assert 1 < found.views_per_pixel < found.views.max()


def test_neighbours_that_are_apart_have_no_overlap() -> None:
    scan = make_scan(40, 3)
    found = measure_coverage(scan, scan.require_probe())
    assert found.linear_overlap == found.area_overlap == 0
    assert found.views.max() == 1


def test_a_single_position_has_no_step() -> None:
    scan = make_scan(8, 1)
    found = measure_coverage(scan, scan.require_probe())
    assert found.step_px == 0
    assert found.to_dict()["scan_oversampling"] is None
