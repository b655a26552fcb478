"""What the light of a scan asks of the solvers: damping, weight of the total variation, and which solver to take.

The numbers were read off simulated scans of three kinds of object at five doses and seven distances between positions
(`tests/benchmarks/solver_grid.py`). A model's probes here are wrapped, (mode, h, w), in √photons.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ptycho_torch.physics.propagate import intensity
from ptycho_torch.solve.scan_model import ScanModel

_LIT_SHARE = 0.05
_DAMPING, _DAMPING_RANGE = 1.3, (0.02, 0.3)
_WARM_UP_DAMPING = 0.29
_VARIATION = 0.18
_FEW_PHOTONS = 3.5e5
_PROBE_PHOTONS = 1e4


def overlap(model: ScanModel, probe: Tensor) -> float:
    """Mean light of the lit area, in units of what falls on the brightest pixel during one pattern."""
    light = model.illumination(probe, model.patterns)
    return float(light[_lit(light)].mean() / intensity(probe).max())


def usual_method(model: ScanModel, probe: Tensor) -> Literal["least_squares", "poisson"]:
    """The solver for the light of a scan.

    Poisson where noise decides; least squares where the travel of long-range phase does, which sparse scans need more,
    and where photons are so many that the probe and the geometry limit the fit.
    """
    few = model.photons_per_pattern < _FEW_PHOTONS * min(1.0, overlap(model, probe)) ** 0.5
    return "poisson" if few else "least_squares"


def usual_damping(model: ScanModel, probe: Tensor, *, before_likelihood: bool = False) -> float:
    """The damping β of least squares; less before a likelihood, which takes the noise away again.

    It grows with √overlap / ∛photons, where photons are those on the brightest pixel of the object during one pattern.
    """
    dimness = overlap(model, probe) ** 0.5 / float(intensity(probe).max()) ** (1 / 3)
    if before_likelihood:
        return _WARM_UP_DAMPING * dimness ** (2 / 3)
    low, high = _DAMPING_RANGE
    return min(high, max(low, _DAMPING * dimness))


def warm_up_probe_share(model: ScanModel) -> float:
    """The share of the probe's usual step before a likelihood: what few photons say of the probe is mostly noise."""
    return min(1.0, model.photons_per_pattern / _PROBE_PHOTONS)


def usual_variation(model: ScanModel, probe: Tensor) -> float:
    """The weight of the total variation beside the mean deviance of a pixel.

    It grows with the unknowns per measurement, which are lit pixels of the object per detector pixel.
    """
    unknowns = float(_lit(model.illumination(probe, model.patterns)).sum()) / model.scan.counts.size
    return _VARIATION * model.photons_per_pattern ** (1 / 3) * unknowns**0.5


def _lit(light: Tensor) -> Tensor:
    return light > _LIT_SHARE * light.max()
