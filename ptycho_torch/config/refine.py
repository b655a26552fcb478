"""The settings of the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import above, below, one_of
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.config.limits import LARGEST_SEED, MOST_EPOCHS

_POISSON = one_of("method", "poisson", undecided="auto")
_HELD_OUT = above("held_out", 0)


@dataclass(frozen=True, kw_only=True)
class RefineSettings(Settings):
    """How the solver reconstructs, alone or as the polish after a network."""

    method: Literal["auto", "least_squares", "poisson"] = setting(
        "auto",
        help="solver; auto uses poisson below 350,000 photons per pattern, fewer where patterns overlap little, more "
        "with several probe modes",
    )
    epochs: int = setting(
        30, at_least=1, at_most=MOST_EPOCHS, help="passes over all patterns; fewer if held-out pixels tell to stop"
    )
    held_out: float = setting(
        0.02,
        at_least=0,
        at_most=0.5,
        help="share of the good detector pixels, chosen at random in each pattern, that are not fitted but tell "
        "whether noise is; 0 for none",
    )
    patience: int = setting(
        8,
        at_least=1,
        at_most=MOST_EPOCHS,
        acts_when=_HELD_OUT,
        help="epochs in a row that may predict held-out pixels worse before the solver stops",
    )
    refine_positions: Literal["given", "affine", "each"] = setting(
        "given",
        acts_when=_HELD_OUT,
        help="refine the scale, rotation and shear of the positions, or each of them too; kept only if held-out pixels "
        "are predicted better",
    )
    position_limit_px: float = setting(
        10.0,
        unit="px",
        above=0,
        at_most=1000,
        acts_when=one_of("refine_positions", "affine", "each") & _HELD_OUT,
        help="longest way that a position may be moved",
    )
    refine_background: Literal["given", "constant", "smooth"] = setting(
        "given",
        acts_when=_HELD_OUT,
        help="find the photons that do not come from the sample, the same in every pixel or smooth over the detector; "
        "kept only if held-out pixels are predicted better",
    )
    detector_centre: bool = setting(
        False,
        acts_when=_HELD_OUT,
        help="find by how many pixels the patterns are displaced on the detector; kept only if held-out pixels are "
        "predicted better",
    )
    batches: int | None = setting(
        None, at_least=1, help="random mini-batches per epoch; by default 16, more from 2,048 patterns on"
    )
    probe_start: float = setting(
        0.1, at_least=0, at_most=1, help="share of the epochs after which the probe is refined too; 1 keeps it fixed"
    )
    probe_guess: Literal["given", "patterns"] = setting(
        "given",
        acts_when=_HELD_OUT,
        help="probe to start from: the given one, or one found from the patterns, which a scan without a probe always "
        "takes; kept only if held-out pixels are predicted better",
    )
    probe_modes: int = setting(1, at_least=1, at_most=32, help="incoherent probe modes to refine")
    regularisation: float | None = setting(
        None,
        above=0,
        at_most=1,
        help="regularisation of weakly illuminated object pixels, relative to the brightest; "
        "by default between 0.02 and 0.3, from dose and overlap",
    )
    probe_rate: float = setting(
        1.0, above=0, at_most=1, acts_when=below("probe_start", 1), help="step size of probe updates by least_squares"
    )
    learning_rate: float = setting(0.05, above=0, at_most=1, acts_when=_POISSON, help="step size of object updates")
    total_variation: float | None = setting(
        None, at_least=0, acts_when=_POISSON, help="weight of the total variation; by default from dose and overlap"
    )
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of the mini-batches")
