"""The schema: every setting of the project, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import above, below, one_of, without
from ptycho_torch.config.fields import Settings, setting

# what torch takes
LARGEST_SEED = 2**63 - 1
MOST_EPOCHS = 1_000_000

# conditions that several settings share
_POISSON = one_of("method", "poisson", undecided="auto")
_AMPLITUDE_PHASE = one_of("output", "amplitude_phase")
_GROUPED = above("group_size", 1)
_BY_DISTANCE = one_of("neighbour_choice", "within", "quadrants") & _GROUPED
_BY_PLACE = ("cbam", "spatial")


@dataclass(frozen=True, kw_only=True)
class SimulationSettings(Settings):
    """What to simulate a scan from."""

    object: Literal["siemens", "lines", "dead_leaves"] = setting("dead_leaves", help="kind of specimen")
    object_px: int = setting(320, unit="px", at_least=32, at_most=8192, help="side of the object")
    patch_px: int = setting(64, unit="px", at_least=16, at_most=1024, help="side of the patterns")
    probe: Literal["zone_plate", "gaussian"] = setting("zone_plate", help="kind of illumination")
    probe_diameter_px: float = setting(20.0, unit="px", at_least=2, help="width of the illumination")
    path: Literal["raster", "spiral"] = setting("raster", help="scan path: jittered raster or Fermat spiral")
    step_px: float = setting(8.0, unit="px", above=0, help="distance between neighbouring positions")
    photons: float = setting(1e6, unit="photons", above=0, at_most=1e12, help="mean photons of a pattern")
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of object, path and noise")


@dataclass(frozen=True, kw_only=True)
class RefineSettings(Settings):
    """How the physics solver reconstructs, alone or as the polish after a network."""

    method: Literal["auto", "least_squares", "poisson"] = setting(
        "auto", help="solver; auto takes poisson below 350,000 photons a pattern, fewer where patterns overlap little"
    )
    epochs: int = setting(30, at_least=1, at_most=MOST_EPOCHS, help="passes over all patterns")
    batches: int = setting(16, at_least=1, help="random mini-batches of an epoch")
    probe_start: float = setting(
        0.1, at_least=0, at_most=1, help="share of the epochs after which the probe is refined too; 1 keeps it fixed"
    )
    probe_modes: int = setting(1, at_least=1, at_most=32, help="incoherent probe modes to refine")
    regularisation: float | None = setting(
        None,
        above=0,
        at_most=1,
        help="damping of weakly lit object pixels, relative to the brightest; "
        "without one from dose and overlap, between 0.02 and 0.3",
    )
    probe_rate: float = setting(
        1.0, above=0, at_most=1, acts_when=below("probe_start", 1), help="step of the probe update by least squares"
    )
    learning_rate: float = setting(0.05, above=0, at_most=1, acts_when=_POISSON, help="step of the object update")
    total_variation: float | None = setting(
        None,
        at_least=0,
        acts_when=_POISSON,
        help="weight of total variation; without one from dose and overlap",
    )
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of the mini-batches")


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The network that turns a pattern into an object patch."""

    network: Literal["unet"] = setting("unet", help="kind of network")
    width: int = setting(24, at_least=4, at_most=256, help="channels at half resolution; they double at each level")
    depth: int = setting(3, at_least=1, at_most=6, help="levels of resolution, each half the one above")
    output: Literal["amplitude_phase", "real_imag"] = setting("amplitude_phase", help="what the two channels mean")
    amplitude: Literal["softplus", "sigmoid", "silu"] = setting(
        "softplus", acts_when=_AMPLITUDE_PHASE, help="activation of the amplitude"
    )
    phase: Literal["linear", "pi_tanh"] = setting("linear", acts_when=_AMPLITUDE_PHASE, help="activation of the phase")
    field: Literal["whole", "centre"] = setting(
        "whole", help="what the network fills of a patch; centre leaves empty space outside of its middle half"
    )
    decoders: Literal["shared", "separate"] = setting(
        "shared", help="one decoder for the two channels, or one for each"
    )
    normalisation: Literal["group", "batch"] = setting("group", help="how features are normalised")
    encoder_attention: Literal["none", "cbam", "eca", "spatial"] = setting(
        "none", help="attention after each level on the way down"
    )
    bottleneck_attention: Literal["none", "cbam", "eca", "spatial"] = setting(
        "none", help="attention at the lowest resolution"
    )
    decoder_attention: Literal["none", "cbam", "eca", "spatial"] = setting(
        "none", help="attention after each level on the way up"
    )
    attention_kernel_px: Literal[3, 5, 7, 9, 11, 13, 15] = setting(
        7,
        unit="px",
        acts_when=one_of("encoder_attention", *_BY_PLACE)
        | one_of("bottleneck_attention", *_BY_PLACE)
        | one_of("decoder_attention", *_BY_PLACE),
        help="side of the convolution of attention by place",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How a network is trained."""

    epochs: int = setting(
        10, at_least=1, at_most=MOST_EPOCHS, acts_when=without("steps"), help="passes over the training patterns"
    )
    steps: int | None = setting(
        None, at_least=1, at_most=1_000_000_000, help="stop after so many optimiser steps, whatever the epoch"
    )
    batch_size: int = setting(2, at_least=1, help="groups of patterns in a step")
    group_size: int = setting(16, at_least=1, at_most=256, help="neighbouring patterns in a group (its channels)")
    neighbour_choice: Literal["nearest", "within", "quadrants"] = setting(
        "nearest",
        acts_when=_GROUPED,
        help="where a group's patterns come from: the nearest, a range of distances, or all four quadrants",
    )
    neighbours: int | None = setting(
        None,
        at_least=1,
        acts_when=one_of("neighbour_choice", "nearest", "quadrants") & _GROUPED,
        help="draw each group from so many nearest patterns; without it the nearest are taken",
    )
    groups_per_pattern: int = setting(1, at_least=1, at_most=64, help="groups drawn around every pattern")
    groups_per_epoch: int | None = setting(
        None, at_least=1, help="groups that an epoch draws; without it as many as show each pattern once on average"
    )
    least_distance_px: float = setting(
        0.0, unit="px", at_least=0, acts_when=_BY_DISTANCE, help="nearer patterns do not join a group"
    )
    greatest_distance_px: float | None = setting(
        None, unit="px", above=0, acts_when=_BY_DISTANCE, help="farther patterns do not join a group"
    )
    by_axis: bool = setting(
        False, acts_when=_GROUPED, help="measure distances in steps of each axis, for scans with two step lengths"
    )
    learning_rate: float = setting(1e-3, above=0, at_most=1, help="highest step size of AdamW")
    warmup_steps: int = setting(20, at_least=0, help="steps over which the step size rises")
    schedule: Literal["cosine", "constant", "exponential"] = setting(
        "cosine", help="how the step size falls after that"
    )
    last_rate: float = setting(
        0.01,
        above=0,
        at_most=1,
        acts_when=one_of("schedule", "cosine", "exponential"),
        help="share of the highest step size that is reached at the last step",
    )
    fine_tune_epochs: int = setting(0, at_least=0, help="epochs after the last one at a small, constant step size")
    fine_tune_rate: float = setting(
        0.1,
        above=0,
        at_most=1,
        acts_when=above("fine_tune_epochs", 0),
        help="that step size, as a share of the highest",
    )
    accumulate: int = setting(1, at_least=1, help="batches whose gradients are added up for a step")
    gradient_clip: float | None = setting(1.0, above=0, help="highest norm of the gradient; none leaves it as it is")
    target: Literal["patterns", "object"] = setting(
        "patterns", help="what to learn from: the patterns alone, or the object where the scans know it"
    )
    level_labels: bool = setting(
        True, acts_when=one_of("target", "object"), help="remove the mean phase of each piece of the object"
    )
    loss: Literal["poisson", "amplitude_mae", "anscombe"] = setting(
        "anscombe", acts_when=one_of("target", "patterns"), help="likelihood of the counts"
    )
    unmerged_weight: float = setting(
        0.15, at_least=0, at_most=1, help="share of the loss taken from single patches before overlaps are merged"
    )
    total_variation: float = setting(0.0, at_least=0, help="weight of the patches' total variation")
    amplitude_penalty: Literal["none", "total_variation", "mean_deviation"] = setting(
        "none", help="what is held against the amplitude of patches"
    )
    amplitude_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("amplitude_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the amplitude",
    )
    phase_penalty: Literal["none", "total_variation", "mean_deviation"] = setting(
        "none", help="what is held against the phase of patches"
    )
    phase_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("phase_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the phase",
    )
    amplitude_variance_weight: float = setting(
        0.0, at_least=0, help="weight of the variance of the amplitude within patches"
    )
    bootstrap_epochs: int = setting(20, at_least=0, help="epochs of refinement that find the probe before training")
    validation_share: float = setting(0.05, at_least=0, at_most=0.5, help="share of the groups kept for validation")
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of weights, groups and order")
    max_minutes: float | None = setting(
        None,
        unit="min",
        above=0,
        at_most=1e6,
        help="safety: stop training after so long, whatever the step, and say so",
    )


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(Settings):
    """How a trained network reconstructs a scan."""

    batch_size: int = setting(64, at_least=1, help="patterns that the network sees at once")
    weighting: Literal["light", "uniform"] = setting(
        "light", help="how overlapping patches are averaged: by the light that each had, or alike wherever it had any"
    )
    polish: bool = setting(True, help="finish the network's object with the physics solver")
    control: bool = setting(
        True,
        acts_when=one_of("polish", True),
        help="also solve from empty space: shows what the network adds, and is the result where that is nothing",
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """How to read a file of measured data; what a file does not say is detected and logged."""

    units: Literal["auto", "counts", "amplitude"] = setting(
        "auto", help="what the patterns hold; auto: whole numbers above 50 are counts, anything else amplitudes"
    )
    zero_frequency: Literal["auto", "centre", "corner"] = setting(
        "auto", help="where the direct beam lies; auto compares the two places"
    )
    transpose: bool = setting(False, help="exchange rows and columns of the patterns")
    flip_rows: bool = setting(False, help="reverse the rows of the patterns (after transpose)")
    flip_columns: bool = setting(False, help="reverse the columns of the patterns (after transpose)")
    swap_positions: bool = setting(False, help="exchange row and column of the positions")
    photons: float | None = setting(
        None, unit="photons", above=0, at_most=1e12, help="mean photons of a pattern, where amplitudes are normalised"
    )
    pixel_m: float | None = setting(
        None, unit="m", above=0, at_most=1, help="side of an object pixel, stored with the result"
    )
