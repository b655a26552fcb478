"""The schema: every setting of the project, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ptycho_torch.config.conditions import above, below, includes, one_of, without
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.errors import ConfigError

Attention = Literal["none", "cbam", "eca", "spatial"]
Normalisation = Literal["group", "batch"]
Penalty = Literal["none", "total_variation", "mean_deviation"]
TRACKERS = ("csv", "tensorboard", "mlflow", "wandb")

# the largest that torch accepts
_LARGEST_SEED = 2**63 - 1
_MOST_EPOCHS = 1_000_000

# conditions that several settings share
_POISSON = one_of("method", "poisson", undecided="auto")
_HELD_OUT = above("held_out", 0)
_AMPLITUDE_PHASE = one_of("output", "amplitude_phase")
_GROUPED = above("group_size", 1)
_BY_DISTANCE = one_of("neighbour_choice", "within", "quadrants") & _GROUPED
_SEARCH = one_of("sampler", "random", "tpe")
_BY_PIXEL = ("cbam", "spatial")
_UNET = one_of("network", "unet")
_RESIDUAL = one_of("network", "spectral", "transformer")
# what ModelSettings leaves to the kind of network
_WIDTHS = {"unet": 24, "spectral": 48, "transformer": 128}
_STAGES = {"unet": 1, "spectral": 2, "transformer": 2}


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
    seed: int = setting(0, at_least=0, at_most=_LARGEST_SEED, help="seed of object, path and noise")


@dataclass(frozen=True, kw_only=True)
class RefineSettings(Settings):
    """How the solver reconstructs, alone or as the polish after a network."""

    method: Literal["auto", "least_squares", "poisson"] = setting(
        "auto",
        help="solver; auto uses poisson below 350,000 photons per pattern, fewer where patterns overlap little",
    )
    epochs: int = setting(
        30, at_least=1, at_most=_MOST_EPOCHS, help="passes over all patterns; fewer if held-out pixels tell to stop"
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
        at_most=_MOST_EPOCHS,
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
    batches: int = setting(16, at_least=1, help="random mini-batches per epoch")
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
    seed: int = setting(0, at_least=0, at_most=_LARGEST_SEED, help="seed of the mini-batches")


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The network that maps a pattern to an object patch."""

    network: Literal["unet", "spectral", "transformer"] = setting(
        "unet",
        help="kind of network: encoder and decoder, spectral and local residual blocks, or a vision transformer",
    )
    width: int | None = setting(
        None,
        at_least=4,
        at_most=1024,
        help="channels of the features, for unet at half resolution, from where they double at each level; "
        f"by default {', '.join(f'{width} for {network}' for network, width in _WIDTHS.items())}",
    )
    depth: int = setting(
        3, at_least=1, at_most=6, acts_when=_UNET, help="levels of resolution, each half of the one above"
    )
    input: Literal["auto", "pattern", "update", "both"] = setting(
        "auto",
        help="what the network sees: the pattern, the solver's update of vacuum by this pattern, or both; "
        "auto: the pattern for unet, the update for the others",
    )
    stages: int | None = setting(
        None,
        at_least=1,
        at_most=16,
        help="networks one after another; each after the first sees the patch so far and the solver's update of it by "
        f"its pattern; by default {', '.join(f'{stages} for {network}' for network, stages in _STAGES.items())}",
    )
    blocks: int = setting(2, at_least=1, at_most=64, acts_when=_RESIDUAL, help="residual blocks of each stage")
    fold_px: int | None = setting(
        None,
        unit="px",
        at_least=1,
        at_most=64,
        acts_when=_RESIDUAL,
        help="side of the squares of pixels that make one feature, or one token of a transformer; "
        "by default 4 for spectral, 8 for transformer",
    )
    spectral_modes: int | None = setting(
        None,
        at_least=1,
        at_most=256,
        acts_when=one_of("network", "spectral"),
        help="highest frequency of spectral convolutions, in periods per image; by default 8, fewer for small images",
    )
    heads: int = setting(
        4, at_least=1, at_most=64, acts_when=one_of("network", "transformer"), help="heads of the attention"
    )
    output: Literal["amplitude_phase", "real_imag"] = setting("amplitude_phase", help="meaning of the two channels")
    amplitude: Literal["softplus", "sigmoid", "silu"] = setting(
        "softplus", acts_when=_AMPLITUDE_PHASE, help="activation of the amplitude"
    )
    phase: Literal["linear", "pi_tanh"] = setting("linear", acts_when=_AMPLITUDE_PHASE, help="activation of the phase")
    field: Literal["whole", "centre"] = setting(
        "whole", help="part of a patch that the network fills; centre leaves vacuum outside the middle half"
    )
    decoders: Literal["shared", "separate"] = setting(
        "shared", acts_when=_UNET, help="one decoder for both channels, or one for each"
    )
    normalisation: Normalisation = setting(
        "group", acts_when=one_of("network", "unet", "spectral"), help="normalisation of features"
    )
    encoder_attention: Attention = setting("none", acts_when=_UNET, help="attention after each level of the encoder")
    bottleneck_attention: Attention = setting("none", acts_when=_UNET, help="attention at the lowest resolution")
    decoder_attention: Attention = setting("none", acts_when=_UNET, help="attention after each level of the decoder")
    attention_kernel_px: Literal[3, 5, 7, 9, 11, 13, 15] = setting(
        7,
        unit="px",
        acts_when=one_of("decoder_attention", *_BY_PIXEL) & _UNET,
        help="side of the convolution of spatial attention in the decoder",
    )

    @property
    def features(self) -> int:
        """The width, or that of the network by default."""
        return self.width or _WIDTHS[self.network]

    @property
    def networks(self) -> int:
        """The stages, or those of the network by default."""
        return self.stages or _STAGES[self.network]

    @property
    def seen(self) -> str:
        """What the network sees: `pattern`, `update` or `both`."""
        usual = "pattern" if self.network == "unet" else "update"
        return usual if self.input == "auto" else self.input


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How a network is trained."""

    epochs: int = setting(
        10, at_least=1, at_most=_MOST_EPOCHS, acts_when=without("steps"), help="passes over the training patterns"
    )
    steps: int | None = setting(None, at_least=1, at_most=1_000_000_000, help="optimiser steps, instead of epochs")
    batch_size: int = setting(2, at_least=1, help="groups per batch")
    group_size: int = setting(16, at_least=1, at_most=256, help="neighbouring patterns per group")
    neighbour_choice: Literal["nearest", "within", "quadrants"] = setting(
        "nearest",
        acts_when=_GROUPED,
        help="where a group's patterns come from: the nearest, a range of distances, or all four quadrants",
    )
    neighbours: int | None = setting(
        None,
        at_least=1,
        acts_when=one_of("neighbour_choice", "nearest", "quadrants") & _GROUPED,
        help="number of nearest patterns to draw each group from; by default the group is the nearest ones",
    )
    groups_per_pattern: int = setting(1, at_least=1, at_most=64, help="groups drawn around each pattern")
    groups_per_epoch: int | None = setting(
        None, at_least=1, help="groups per epoch; by default enough to use each pattern once on average"
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
    learning_rate: float = setting(1e-3, above=0, at_most=1, help="highest learning rate of AdamW")
    warmup_steps: int = setting(20, at_least=0, help="steps over which the learning rate rises")
    schedule: Literal["cosine", "constant", "exponential"] = setting("cosine", help="course of the learning rate then")
    last_rate: float = setting(
        0.01,
        above=0,
        at_most=1,
        acts_when=one_of("schedule", "cosine", "exponential"),
        help="learning rate at the last step, as a share of the highest",
    )
    fine_tune_epochs: int = setting(0, at_least=0, help="epochs of fine-tuning after the schedule")
    fine_tune_rate: float = setting(
        0.1,
        above=0,
        at_most=1,
        acts_when=above("fine_tune_epochs", 0),
        help="learning rate of fine-tuning, as a share of the highest",
    )
    accumulate: int = setting(1, at_least=1, help="batches per optimiser step (gradient accumulation)")
    gradient_clip: float | None = setting(1.0, above=0, help="bound on the gradient's norm; none for no bound")
    target: Literal["patterns", "object"] = setting(
        "patterns", help="what to learn from: the patterns alone, or the true object if the scans contain it"
    )
    level_labels: bool = setting(
        True, acts_when=one_of("target", "object"), help="remove the mean phase of each patch of the true object"
    )
    loss: Literal["poisson", "amplitude_mae", "anscombe"] = setting(
        "anscombe", acts_when=one_of("target", "patterns"), help="likelihood of the counts"
    )
    unmerged_weight: float = setting(
        0.15, at_least=0, at_most=1, help="share of the loss taken from patches before they are merged"
    )
    total_variation: float = setting(0.0, at_least=0, help="weight of the patches' total variation")
    amplitude_penalty: Penalty = setting("none", help="penalty on the amplitude of patches")
    amplitude_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("amplitude_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the amplitude",
    )
    phase_penalty: Penalty = setting("none", help="penalty on the phase of patches")
    phase_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("phase_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the phase",
    )
    amplitude_variance_weight: float = setting(0.0, at_least=0, help="weight of the amplitude's variance in patches")
    bootstrap_epochs: int = setting(20, at_least=0, help="epochs of the solver that find the probe before training")
    validation_share: float = setting(0.05, at_least=0, at_most=0.5, help="share of the groups used for validation")
    seed: int = setting(0, at_least=0, at_most=_LARGEST_SEED, help="seed of weights, groups and their order")
    max_minutes: float | None = setting(
        None, unit="min", above=0, at_most=1e6, help="wall time after which training stops with a warning"
    )


@dataclass(frozen=True, kw_only=True)
class TrackingSettings(Settings):
    """Where the losses and pictures of a training are logged."""

    tracker: str = setting(
        "csv",
        words=TRACKERS,
        help="where losses are logged: csv, tensorboard, mlflow, wandb, or several joined by +; "
        "the CSV file is always written",
    )
    picture_every_epochs: int | None = setting(
        None,
        at_least=0,
        at_most=_MOST_EPOCHS,
        help="epochs between pictures of the reconstruction, 0 for none; "
        "by default about ten pictures, or none if the tracker is csv",
    )
    project: str = setting(
        "ptycho_torch", acts_when=includes("tracker", "mlflow", "wandb"), help="experiment of MLflow, project of W&B"
    )
    mlflow_uri: str | None = setting(
        None,
        acts_when=includes("tracker", "mlflow"),
        help="server or database of MLflow; by default MLFLOW_TRACKING_URI, or mlflow.db beside the output folder",
    )
    wandb_online: bool = setting(
        False,
        acts_when=includes("tracker", "wandb"),
        help="send the run to the server of W&B; otherwise it is written to files for `wandb sync`",
    )


@dataclass(frozen=True, kw_only=True)
class TrainerSettings(Settings):
    """On what hardware a network is trained, and how the hardware is used."""

    accelerator: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="kind of device; auto is a GPU if the machine has one, or what the device option names"
    )
    devices: int | None = setting(
        None,
        at_least=1,
        at_most=1024,
        help="processes on each machine, each with a GPU of its own or on the processor; "
        "by default as many as torchrun started, otherwise 1",
    )
    nodes: int = setting(
        1, at_least=1, at_most=100_000, help="machines; several are started by torchrun or by a scheduler"
    )
    strategy: Literal["auto", "ddp"] = setting(
        "auto", help="how processes share a training; auto is ddp for several of them, and plain training for one"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = setting(
        "32-true", help="precision of the network's layers; wave propagation and likelihood are always 32 bit"
    )
    compile: bool = setting(False, help="compile the network with torch.compile, which takes a minute at the start")
    gradient_checkpointing: bool = setting(
        False, help="compute the network's layers again for the gradient instead of keeping them, which saves memory"
    )
    find_batch_size: bool = setting(
        False, help="train with the largest batches that fit into memory, by doubling the batch size"
    )
    checkpoint_steps: int | None = setting(
        None, at_least=1, help="optimiser steps between checkpoints, in addition to those after each validation"
    )
    checkpoint_minutes: float | None = setting(
        None,
        unit="min",
        above=0,
        at_most=1e6,
        help="wall time between checkpoints, in addition to those after each validation",
    )
    workers: int = setting(0, at_least=0, at_most=1024, help="processes that prepare batches for each training process")


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(Settings):
    """How a trained network reconstructs a scan."""

    batch_size: int = setting(64, at_least=1, help="patterns per batch")
    weighting: Literal["light", "uniform"] = setting(
        "light", help="weights of overlapping patches: their illumination, or equal wherever they are illuminated"
    )
    polish: bool = setting(True, help="polish the network's object with the solver")
    control: bool = setting(
        True,
        acts_when=one_of("polish", True),
        help="also run the solver from a flat object, which is the result if the network's object is no better",
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """How to read a file of measured data; what it does not specify is detected and logged."""

    units: Literal["auto", "counts", "amplitude"] = setting(
        "auto", help="units of the patterns; auto: integers above 50 are counts, anything else amplitudes"
    )
    zero_frequency: Literal["auto", "centre", "corner"] = setting(
        "auto", help="where the direct beam lies; auto compares the two places"
    )
    transpose: bool = setting(False, help="exchange rows and columns of the patterns")
    flip_rows: bool = setting(False, help="reverse the rows of the patterns (after transpose)")
    flip_columns: bool = setting(False, help="reverse the columns of the patterns (after transpose)")
    swap_positions: bool = setting(False, help="exchange row and column of the positions")
    photons: float | None = setting(
        None, unit="photons", above=0, at_most=1e12, help="mean photons per pattern, if amplitudes are normalised"
    )
    gain: float = setting(1.0, above=0, help="values of the detector for each photon")
    saturation: float | None = setting(None, above=0, help="value from which on a detector pixel is saturated, and bad")
    patterns: str | None = setting(None, help="name of the patterns in the file, such as entry/data")
    positions: str | None = setting(
        None,
        help="name of the positions (row, column) in the file, or ROWS,COLUMNS, two names; also FILE or FILE:NAME, "
        "in another file (NPY, NPZ, MAT, HDF5, TXT, CSV)",
    )
    mask: str | None = setting(
        None, help="name of the mask in the file, True on bad pixels, or FILE or FILE:NAME (also an image)"
    )
    dark: str | None = setting(None, help="values of the detector without light, to subtract: NAME, FILE or FILE:NAME")
    flat: str | None = setting(None, help="relative sensitivity of the pixels, to divide by: NAME, FILE or FILE:NAME")
    background: str | None = setting(
        None, help="mean values that do not come from the sample, added to the model: NAME, FILE or FILE:NAME"
    )
    position_unit: Literal["auto", "px", "m", "mm", "um", "nm", "step"] = setting(
        "auto", help="unit of the positions; auto: that of the format, or the one that makes usual steps"
    )
    position_scale: float = setting(1.0, above=0, help="factor for the positions")
    position_rotation_deg: float = setting(
        0.0, unit="deg", at_least=-360, at_most=360, help="angle by which positions are turned from rows to columns"
    )
    flip_position_rows: bool = setting(False, help="reverse the rows of the positions")
    flip_position_columns: bool = setting(False, help="reverse the columns of the positions")
    raster_columns: int | None = setting(
        None, at_least=1, help="positions in a row of a raster, which replaces the positions of the file"
    )
    step_m: float | None = setting(None, unit="m", above=0, at_most=1, help="distance of neighbours in a raster")
    step_px: float | None = setting(None, unit="px", above=0, help="the same in object pixels, instead of step_m")
    energy_ev: float | None = setting(None, unit="eV", above=0, help="energy of the photons")
    electron_energy_ev: float | None = setting(None, unit="eV", above=0, help="energy of the electrons")
    wavelength_m: float | None = setting(None, unit="m", above=0, at_most=1, help="wavelength, instead of an energy")
    distance_m: float | None = setting(None, unit="m", above=0, help="distance from the sample to the detector")
    detector_pixel_m: float | None = setting(None, unit="m", above=0, at_most=1, help="side of a detector pixel")
    detector_pixel_mrad: float | None = setting(
        None,
        unit="mrad",
        above=0,
        help="angle of a detector pixel, instead of distance_m and detector_pixel_m",
    )
    pixel_m: float | None = setting(
        None, unit="m", above=0, at_most=1, help="side of an object pixel, as far as nothing else specifies it"
    )
    centre_row_px: float | None = setting(None, unit="px", at_least=0, help="row of the direct beam in the patterns")
    centre_column_px: float | None = setting(None, unit="px", at_least=0, help="column of the direct beam")
    crop_px: int | None = setting(None, unit="px", at_least=16, help="side of the part of the patterns to use")
    pad_px: int | None = setting(
        None, unit="px", at_least=16, at_most=8192, help="side to which patterns are padded by unmeasured pixels"
    )
    bin: int = setting(1, at_least=1, at_most=64, help="detector pixels along each axis to add up to one")


@dataclass(frozen=True, kw_only=True)
class SweepSettings(Settings):
    """How to search through several configurations."""

    sampler: Literal["grid", "random", "tpe"] = setting(
        "grid",
        help="what chooses the configurations: every combination of the values, random ones, or the sampler of Optuna "
        "that learns from finished runs",
    )
    trials: int = setting(
        20,
        at_least=1,
        at_most=1_000_000,
        acts_when=_SEARCH,
        help="configurations to try, those of a resumed search included",
    )
    metric: str | None = setting(
        None,
        acts_when=_SEARCH,
        help="figure of the run record to optimise, such as network.R; by default that of the stage",
    )
    direction: Literal["minimize", "maximize"] = setting(
        "minimize", acts_when=_SEARCH, help="whether the best figure is the lowest or the highest"
    )
    seed: int = setting(0, at_least=0, at_most=2**32 - 1, acts_when=_SEARCH, help="seed of the sampler")
    resume: bool = setting(False, help="go on with the search in the output folder")


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings(Settings):
    """The simulated scans that a network is trained on before it sees measured ones."""

    scans: int = setting(8, at_least=1, at_most=100_000, help="number of simulated scans, each with a seed of its own")
    objects: Literal["mixed", "one"] = setting(
        "mixed", help="samples: all kinds in turn, or only the one that the simulation names"
    )


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All settings of a reconstruction."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make an experiment from nested plain values; sections left out keep their defaults.

        Raises:
            ConfigError: a section or a setting is unknown or unusable.
        """
        known: dict[str, Any] = {section.name: section.default_factory for section in dataclasses.fields(cls)}
        for name, section in values.items():
            if name not in known:
                raise ConfigError(f"unknown section {name!r}; the sections are {', '.join(known)}")
            if not isinstance(section, Mapping):
                raise ConfigError(f"section {name!r} is {section!r}; it must be a mapping of settings")
        return cls(**{name: known[name].from_dict(section) for name, section in values.items()})

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Convert the settings to nested plain values."""
        return dataclasses.asdict(self)
