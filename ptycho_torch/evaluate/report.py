"""The figures of a final report, each with its unit and what it means; the same for the page and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ptycho_torch.data.coverage import PROBE_SHARE, Coverage
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.frc import RingCorrelation

_LARGE = 1e9

Value = float | int | str | None


@dataclass(frozen=True)
class Entry:
    """A figure.

    Attributes:
        key: its name in JSON, with its unit.
        label: its name for readers.
        value: None if it is unknown.
        unit: printed after the value; empty if it has none.
        meaning: what it means, one or two sentences.
    """

    key: str
    label: str
    value: Value
    unit: str = ""
    meaning: str = ""

    @property
    def text(self) -> str:
        """The value with its unit."""
        if self.value is None:
            return "unknown"
        if isinstance(self.value, str):
            return self.value
        if self.unit == "%":
            return f"{self.value:.1%}".replace("%", " %")
        # four figures, without an exponent as long as that is easy to read
        rounded = self.value if isinstance(self.value, int) else float(f"{self.value:.4g}")
        number = f"{rounded:,.0f}".replace(",", " ") if 1000 <= rounded < _LARGE else f"{rounded:g}"
        return f"{number} {self.unit}".strip()


def describe_scan(scan: Scan, coverage: Coverage) -> list[Entry]:
    """Size and dose of a scan."""
    rows, columns = coverage.extent_px
    side = scan.patch_px
    return [
        Entry("patterns", "patterns", len(scan), "", f"diffraction patterns of {side} × {side} px"),
        Entry("patch_px", "side of a pattern", side, "px"),
        Entry("bad_pixels", "bad pixels", int(np.count_nonzero(~scan.good_pixels)), "", "of a pattern, left out"),
        Entry("photons_per_pattern", "dose", scan.photons_per_pattern, "photons per pattern", "mean, on good pixels"),
        Entry("pixel_nm", "object pixel", _to_nm(1.0, scan.pixel_m), "nm"),
        Entry("extent_rows_px", "extent of the positions, rows", rows, "px", _in_nm(rows, scan.pixel_m)),
        Entry("extent_columns_px", "extent of the positions, columns", columns, "px", _in_nm(columns, scan.pixel_m)),
    ]


def describe_coverage(scan: Scan, coverage: Coverage) -> list[Entry]:
    """Probe size, step, overlaps, oversampling, views and fluence."""
    pixel_m, diameter = scan.pixel_m, coverage.probe_diameter_px
    mean_px = _measure_mean_step(scan)
    per_area = None if pixel_m is None else coverage.photons_per_pixel / (pixel_m * 1e6) ** 2
    what = f"of the circle as large as the smallest area with {PROBE_SHARE:.0%} of the probe's photons"
    oversampling = coverage.scan_oversampling if coverage.step_px else None
    return [
        Entry("probe_diameter_px", "probe size", diameter, "px", f"diameter {what}"),
        Entry("probe_diameter_nm", "probe size", _to_nm(diameter, pixel_m), "nm"),
        Entry("mean_step_px", "mean step", mean_px, "px", "mean distance of a position to its nearest neighbour"),
        Entry("mean_step_nm", "mean step", _to_nm(mean_px, pixel_m), "nm"),
        Entry("median_step_px", "median step", coverage.step_px, "px", "from which the overlaps follow"),
        Entry("linear_overlap", "linear overlap", coverage.linear_overlap, "%", "1 − step / probe size"),
        Entry(
            "area_overlap",
            "area overlap",
            coverage.area_overlap,
            "%",
            "share of the disc of the probe that its neighbour covers; reconstructions need about 60 % or more",
        ),
        Entry(
            "probe_oversampling",
            "oversampling by the detector",
            coverage.probe_oversampling,
            "×",
            "field of view / probe size; below 2 one pattern does not resolve its speckles",
        ),
        Entry(
            "scan_oversampling",
            "oversampling by the scan",
            oversampling,
            "×",
            "field of view / step; at least 1 (T. Edo et al., Phys. Rev. A 87, 053850, 2013)",
        ),
        Entry("views_per_pixel", "views per pixel", coverage.views_per_pixel, "", "patterns that see an object pixel"),
        Entry("photons_per_pixel", "fluence", coverage.photons_per_pixel, "photons / px", "mean over the scanned area"),
        Entry("photons_per_um2", "fluence", per_area, "photons / µm²"),
    ]


def describe_fit(figures: Mapping[str, float]) -> list[Entry]:
    """How the result explains the patterns, and what of the difference is photon noise."""
    value, floor = figures["R"], figures["R_floor"]
    excess = (value / floor) ** 2 if floor else None
    share = max(0.0, 1 - (floor / value) ** 2) if value else 0.0
    return [
        Entry("R", "R", value, "", "√(Σ(√λ − √n)² / Σn) of modelled counts λ and measured counts n"),
        Entry(
            "R_floor",
            "R of photon noise alone",
            floor,
            "",
            "the Poisson floor: what a perfect reconstruction would have at this dose; it falls as 1 / √photons",
        ),
        Entry(
            "photon_error",
            "photon error, (R / floor)²",
            excess,
            "",
            "1: nothing but photon noise is left; below 1: noise has been fitted; 4: twice as far from the patterns "
            "as photon noise is",
        ),
        Entry("not_photon_noise", "difference that is not photon noise", share, "%", "1 − (floor / R)²"),
        Entry(
            "unexplained_share",
            "unexplained differences between patterns",
            figures.get("unexplained_share"),
            "%",
            "of those that the sample causes; good runs leave less than 5 %",
        ),
    ]


def describe_resolution(correlation: RingCorrelation, pixel_m: float | None) -> list[Entry]:
    """Resolution by the Fourier ring correlation."""
    crossing = correlation.crossing
    never = crossing >= 1
    limit = "the correlation never falls below the threshold, so the pixel limits the resolution" if never else ""
    half_nm = _to_nm(1 / crossing, pixel_m) if crossing > 0 else None
    return [
        Entry(
            "frc_half_bit_nyquist",
            "FRC falls below the ½-bit threshold at",
            crossing,
            "of Nyquist",
            limit or "M. van Heel, M. Schatz, J. Struct. Biol. 151, 250 (2005)",
        ),
        Entry("resolution_half_period_nm", "resolution, half period", half_nm, "nm", "object pixel / that fraction"),
        Entry("resolution_period_nm", "resolution, full period", half_nm and 2 * half_nm, "nm"),
    ]


def describe_truth(figures: Mapping[str, float]) -> list[Entry]:
    """How far the object is from the true one."""
    labels = {
        "complex_error": ("complex error", "‖O − s·Ô‖ / ‖O‖ over the scanned area after the best complex factor s"),
        "phase_correlation": ("correlation of the phases", "1 is perfect; offset and ramp are removed"),
        "amplitude_correlation": ("correlation of the amplitudes", "1 is perfect"),
    }
    return [Entry(key, label, figures.get(key), "", meaning) for key, (label, meaning) in labels.items()]


def _measure_mean_step(scan: Scan) -> float:
    distinct = np.unique(scan.positions_px, axis=0)
    if len(distinct) < 2:
        return 0.0
    distances, _ = cKDTree(distinct).query(distinct, k=2)
    return float(np.asarray(distances)[:, 1].mean())


def _to_nm(length_px: float, pixel_m: float | None) -> float | None:
    return None if pixel_m is None else length_px * pixel_m * 1e9


def _in_nm(length_px: float, pixel_m: float | None) -> str:
    return "" if pixel_m is None else f"{length_px * pixel_m * 1e9:.5g} nm"
