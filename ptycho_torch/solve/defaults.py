"""Defaults of the solvers from dose and overlap of a scan: method, damping, weight of the total variation.

The numbers were read off simulated scans of three kinds of object at five doses and seven distances between positions
(`tests/benchmarks/solver_grid.py`). A model's probes here are wrapped, (mode, h, w), in √photons.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.solve.scan_model import ScanModel

_ILLUMINATED = 0.05
_DAMPING, _DAMPING_RANGE = 1.3, (0.02, 0.3)
_WARM_UP_DAMPING = 0.29
_VARIATION = 0.18
_FEW_PHOTONS = 3.5e5
# where patterns overlap more, there are so many measurements of each pixel that noise does not limit the modes
_MUCH_OVERLAP = 3.0
_PROBE_PHOTONS = 1e4
_BACKGROUND = 0.005


def measure_overlap(model: ScanModel, probe: Tensor) -> float:
    """Measure the mean illumination of the illuminated area, relative to the brightest pixel under one pattern."""
    illumination = model.total_illumination(probe)
    return float(illumination[_find_illuminated(illumination)].mean() / sum_intensities(probe).max())


def find_method(model: ScanModel, probe: Tensor) -> Literal["least_squares", "poisson"]:
    """Find the solver for a scan.

    Poisson if noise limits the result, as the noise of a background does on dim detector pixels, and that of the other
    modes on a dim mode; least squares if long-range phase does, which converges more slowly on sparse scans, or if
    photons are so many that probe and geometry limit the fit.
    """
    scan = model.scan
    if scan.photons_per_pattern - scan.sample_photons_per_pattern > _BACKGROUND * scan.photons_per_pattern:
        return "poisson"
    overlap = measure_overlap(model, probe)
    dim_modes = len(probe) if overlap < _MUCH_OVERLAP else 1
    few = _FEW_PHOTONS * dim_modes**2 * min(1.0, overlap) ** 0.5
    return "poisson" if scan.sample_photons_per_pattern < few else "least_squares"


def find_damping(model: ScanModel, probe: Tensor, *, before_likelihood: bool = False) -> float:
    """Find the damping β of least squares; it is weaker before the Poisson solver, which removes the noise again.

    It grows with √overlap / ∛photons, where photons are those on the brightest pixel of the object during one pattern.
    """
    dimness = measure_overlap(model, probe) ** 0.5 / float(sum_intensities(probe).max()) ** (1 / 3)
    if before_likelihood:
        return min(1.0, _WARM_UP_DAMPING * dimness ** (2 / 3))
    low, high = _DAMPING_RANGE
    return min(high, max(low, _DAMPING * dimness))


def find_probe_share(model: ScanModel) -> float:
    """Find the factor of probe steps before the Poisson solver: at few photons such steps follow mostly noise."""
    return min(1.0, model.scan.sample_photons_per_pattern / _PROBE_PHOTONS)


def find_variation(model: ScanModel, probe: Tensor) -> float:
    """Find the weight of the total variation, relative to the mean deviance of a pixel.

    It grows with the unknowns per measurement: illuminated pixels of the object per detector pixel.
    """
    unknowns = float(_find_illuminated(model.total_illumination(probe)).sum()) / model.scan.counts.size
    return _VARIATION * model.scan.sample_photons_per_pattern ** (1 / 3) * unknowns**0.5


def _find_illuminated(illumination: Tensor) -> Tensor:
    return illumination > _ILLUMINATED * illumination.max()
