"""The settings of simulated scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.config.limits import LARGEST_SEED


@dataclass(frozen=True, kw_only=True)
class SimulationSettings(Settings):
    """How to simulate a scan."""

    object: Literal["siemens", "lines", "dead_leaves"] = setting("dead_leaves", help="kind of sample")
    object_px: int = setting(320, unit="px", at_least=32, at_most=8192, help="side of the object")
    patch_px: int = setting(64, unit="px", at_least=16, at_most=1024, help="side of the patterns")
    probe: Literal["zone_plate", "gaussian"] = setting("zone_plate", help="kind of probe")
    probe_diameter_px: float = setting(20.0, unit="px", at_least=2, help="diameter of the probe")
    path: Literal["raster", "spiral"] = setting("raster", help="scan path: jittered raster or Fermat spiral")
    step_px: float = setting(8.0, unit="px", above=0, help="distance between neighbouring positions")
    photons: float = setting(1e6, unit="photons", above=0, at_most=1e12, help="mean photons per pattern")
    background_counts: float = setting(
        0.0,
        unit="photons",
        at_least=0,
        at_most=1e9,
        help="mean photons beside those of the sample in each detector pixel; known to training and solvers",
    )
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of object, path and noise")
