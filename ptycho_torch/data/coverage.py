"""Coverage: how wide the probe is, how far apart the positions are, and what each object pixel has seen of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.placement import measure_step
from ptycho_torch.data.scan import Scan

# the probe is the smallest set of pixels that contains this share of its photons
PROBE_SHARE = 0.9
# of the greatest number of photons on an object pixel; dimmer pixels do not belong to the scanned area
_ILLUMINATED = 0.05
# pixels of a flat probe differ by rounding
_EQUAL = 1e-6


@dataclass(frozen=True, eq=False)
class Coverage:
    """Size, step and overlap of a scan.

    Attributes:
        patch_px: side of the patterns, and of the field of view of the probe in object pixels.
        probe_diameter_px: diameter of the circle that is as large as the smallest set of pixels with 90 % of the
            photons of the probe.
        step_px: median distance of neighbouring positions; 0 for a single position.
        extent_px: rows and columns that the positions span.
        fluence: (height, width) photons on each object pixel over the whole scan, on the canvas of the scan.
        views: (height, width) number of patterns whose probe, as defined above, contains the pixel.
        pixel_m: side of an object pixel, or None if it is unknown.
    """

    patch_px: int
    probe_diameter_px: float
    step_px: float
    extent_px: tuple[float, float]
    fluence: NDArray[np.float32]
    views: NDArray[np.int32]
    pixel_m: float | None = None

    @property
    def linear_overlap(self) -> float:
        """Share of the probe's diameter that neighbours have in common, 1 − step / diameter; 0 if they are apart."""
        return max(0.0, 1 - self.step_px / self.probe_diameter_px)

    @property
    def area_overlap(self) -> float:
        """Share of the area of a disc of the probe's diameter that a neighbour's disc covers."""
        ratio = min(1.0, self.step_px / self.probe_diameter_px)
        return 2 / math.pi * (math.acos(ratio) - ratio * math.sqrt(1 - ratio**2))

    @property
    def probe_oversampling(self) -> float:
        """Side of the field of view over the probe's diameter; below 2 one pattern does not resolve its speckles."""
        return self.patch_px / self.probe_diameter_px

    @property
    def scan_oversampling(self) -> float:
        """Side of the field of view over the step, at least 1 (T. Edo et al., Phys. Rev. A 87, 053850 (2013))."""
        return self.patch_px / self.step_px if self.step_px else math.inf

    @cached_property
    def area(self) -> NDArray[np.bool_]:
        """(height, width) the scanned area: pixels with more than 5 % of the photons of the brightest one."""
        return self.fluence > _ILLUMINATED * self.fluence.max()

    @property
    def views_per_pixel(self) -> float:
        """Mean number of patterns that see a pixel of the scanned area."""
        return float(self.views[self.area].mean())

    @property
    def photons_per_pixel(self) -> float:
        """Mean photons on a pixel of the scanned area, over the whole scan."""
        return float(self.fluence[self.area].mean())

    def to_dict(self) -> dict[str, float | None]:
        """Convert the numbers to plain values, lengths also in metres if the object pixel is known."""
        lengths = {"probe_diameter": self.probe_diameter_px, "step": self.step_px}
        lengths |= {"extent_rows": self.extent_px[0], "extent_columns": self.extent_px[1]}
        pixel_m = self.pixel_m
        return {
            "pixel_m": pixel_m,
            **{f"{name}_px": length for name, length in lengths.items()},
            **({} if pixel_m is None else {f"{name}_m": length * pixel_m for name, length in lengths.items()}),
            "linear_overlap": self.linear_overlap,
            "area_overlap": self.area_overlap,
            "probe_oversampling": self.probe_oversampling,
            "scan_oversampling": self.scan_oversampling if self.step_px else None,
            "views_per_pixel": self.views_per_pixel,
            "photons_per_pixel": self.photons_per_pixel,
        }


def measure_coverage(scan: Scan, probe: NDArray[np.complex64]) -> Coverage:
    """Measure size, step and overlap of a scan under a probe.

    Args:
        scan: positions and dose.
        probe: (mode, h, w) in any unit; it is scaled to the photons of the scan.
    """
    spot = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
    spot *= scan.sample_photons_per_pattern / spot.sum()
    inside = find_core(spot)
    frame, side = Frame(scan.positions_px, scan.patch_px), scan.patch_px
    fluence, views = np.zeros(frame.shape_px), np.zeros(frame.shape_px, np.int32)
    for row, column in frame.corners_px.tolist():
        part = np.s_[row : row + side, column : column + side]
        fluence[part] += spot
        views[part] += inside
    rows, columns = np.ptp(scan.positions_px, axis=0).tolist()
    return Coverage(
        patch_px=side,
        probe_diameter_px=measure_diameter(spot),
        step_px=measure_step(scan.positions_px),
        extent_px=(rows, columns),
        fluence=fluence.astype(np.float32),
        views=views,
        pixel_m=scan.pixel_m,
    )


def find_core(spot: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Find the smallest set of pixels that contains 90 % of the photons of an intensity (h, w), and all as bright."""
    values = np.sort(spot, axis=None)[::-1]
    total = np.cumsum(values)
    least = values[min(int(np.searchsorted(total, PROBE_SHARE * total[-1])), len(values) - 1)]
    return spot >= least * (1 - _EQUAL)


def measure_diameter(spot: NDArray[np.floating]) -> float:
    """Diameter in pixels of the circle that is as large as the core of an intensity (h, w)."""
    return 2 * math.sqrt(np.count_nonzero(find_core(spot)) / math.pi)
