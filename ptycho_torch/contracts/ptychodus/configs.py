"""The client's configuration: five plain classes with the 91 fields that Ptychodus sends, and what becomes of each.

This is the one table of these fields: translation, settings file, documentation and tests read it. The classes are
mutable, since the client reassigns fields, picklable, since it sends them to a child process, and unchecked until
`translate`. Defaults are what Ptychodus 1.7.0 sends when nothing was changed. Importing this costs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

from ptycho_torch.config.conditions import above, given, one_of
from ptycho_torch.contracts.ptychodus.convert import (
    CHANNELS_PER_FILTER_SCALE,
    KEEP,
    Conversion,
    choice,
    number,
    switch,
    whole,
)
from ptycho_torch.contracts.ptychodus.field import idle, refused, rows_of, used

_CHANNELS = 4
_GROUPED = above("C", 1)
_BY_DISTANCE = one_of("neighbor_function", "Min_dist", "4_quadrant")
_QUADRANTS = one_of("neighbor_function", "4_quadrant")
_SUPERVISED, _UNSUPERVISED = one_of("mode", "Supervised"), one_of("mode", "Unsupervised")
_BOUNDS = Conversion(
    "two shares of the scan, the lower one first,",
    lambda bounds: isinstance(bounds, tuple | list) and len(bounds) == 2 and 0 <= bounds[0] < bounds[1] <= 1,
    lambda bounds: (float(bounds[0]), float(bounds[1])),
)
_DEVICE = Conversion(
    "cuda or cpu",
    lambda name: name in ("cpu", "auto", "gpu") or str(name).startswith("cuda"),
    lambda name: "cuda" if name == "gpu" else name,
)
_CHOICE = choice({"Nearest": "nearest", "Min_dist": "within", "4_quadrant": "quadrants"})
_ACTIVATION = choice({"silu": "silu", "swish": "silu", "sigmoid": "sigmoid", "softplus": "softplus"}, any_case=True)
_PENALTY = choice({None: "none", "Total_Variation": "total_variation", "Mean_Deviation": "mean_deviation"})

# what is said of several fields
_CANVAS = "the canvas follows from the positions, whole to the last patch"
_NORMALISED = "the network normalises every pattern by itself, so that no scale of its input reaches the result"
_CHANNELS_SAY = "a group has as many patterns as the data's channels say"
_LABEL = "kept in the run folder's training_config.json and in the checkpoint"
_STAGED = "acts only with staged fine-tuning, which is refused"
_ONE_FRAMEWORK = "Lightning is the only one"
_NOT_SENT = "(the number of channels)"


def _channels(fields: Any) -> Any:  # noqa: ANN401 - the client's own value
    return fields.C


def _grid(fields: Any) -> tuple[int, int]:  # noqa: ANN401
    return isqrt(fields.C), isqrt(fields.C)


# a table with a field in two or three lines
# fmt: off
@dataclass
class DataConfig:
    """How patterns are read, grouped and normalised."""

    N: int = used(128, "the size comes from the patterns; where it differs, a warning says so", setting="model_size")
    C: int = used(_CHANNELS, "patterns in a group whose overlaps are merged", setting="num_channels",
        to={"training.group_size": whole(1, 256)})
    K: int = used(6, "a group is drawn from so many nearest neighbours", setting="num_nearest_neighbors_for_lookup",
        to={"training.neighbours": whole(0)}, acts_when=_GROUPED & one_of("neighbor_function", "Nearest", "Min_dist"))
    K_quadrant: int = used(30, "with 4_quadrant, a group is drawn from the quadrants of so many nearest neighbours",
        setting="num_nearest_neighbors_for_quadrant_lookup", to={"training.neighbours": whole(0)}, acts_when=_QUADRANTS)
    n_subsample: int = used(7, "groups drawn around every pattern; an epoch still sees each pattern once on average",
        setting="coordinate_subsampling_factor", to={"training.groups_per_pattern": whole(1, 64)}, acts_when=_GROUPED)
    grid_size: tuple[int, int] = idle((2, 2),
        "groups are not laid on a grid, and are as large as the channels say; one that is not square is refused",
        setting="grid_size_y, grid_size_x", usual=_grid)
    neighbor_function: str = used("Nearest",
        "Nearest, Min_dist (in the range of distances) or 4_quadrant; the nearest where too few are in it",
        setting="neighbor_lookup_method", to={"training.neighbour_choice": _CHOICE}, acts_when=_GROUPED)
    min_neighbor_distance: float = used(0.0, "with Min_dist and 4_quadrant, nearer patterns do not join a group",
        to={"training.least_distance_px": number()}, acts_when=_BY_DISTANCE)
    max_neighbor_distance: float = used(3.0, "with Min_dist and 4_quadrant, farther patterns do not join a group",
        to={"training.greatest_distance_px": number()}, acts_when=_BY_DISTANCE)
    scan_pattern: str = used("Isotropic", "with 4_quadrant, Rectangular measures distances in steps of each axis",
        to={"training.by_axis": choice({"Isotropic": False, "Rectangular": True})}, acts_when=_QUADRANTS)
    normalize: str = idle("Batch", _NORMALISED, setting="data_normalization_mode")
    probe_scale: float = idle(4.0, "probes are scaled to the measured photons, whatever their units were")
    probe_normalize: bool = refused(True,
        "photons in probe and patterns must agree, so that the probe is always scaled to the measured photons",
        setting="normalize_probe")
    probe_ramp_removal: bool = used(False, "the starting probe loses its mean phase ramp before the probe is refined",
        to={"level_probe": switch(on=True, off=False)})
    data_scaling: str = idle("Parseval", _NORMALISED, setting="data_scaling_method")
    phase_subtraction: bool = used(True, "Supervised: labels lose their mean phase", setting="subtract_mean_phase",
        to={"training.level_labels": switch(on=True, off=False)}, acts_when=_SUPERVISED)
    x_bounds: tuple[float, float] = used((0.1, 0.9),
        "share of the scan's width that training sees; a reconstruction always covers the whole scan",
        setting="x_lower_bound, x_upper_bound", to={"x_bounds": _BOUNDS})
    y_bounds: tuple[float, float] = used((0.1, 0.9),
        "share of the scan's height that training sees; a reconstruction always covers the whole scan",
        setting="y_lower_bound, y_upper_bound", to={"y_bounds": _BOUNDS})
    # not sent by Ptychodus; the configuration bridge reads them
    nphotons: float = 1e5
    subsample_seed: int | None = None


@dataclass
class ModelConfig:
    """What the network looks like and what it is trained for."""

    mode: str = used("Unsupervised",
        "Unsupervised learns from the patterns alone, Supervised from patches cut out of objectGuess",
        setting="(the reconstructor's name)",
        to={"training.target": choice({"Unsupervised": "patterns", "Supervised": "object"})})
    object_big: bool = used(True, "off: every patch is fitted by itself, overlaps are not merged",
        to={"training.unmerged_weight": switch(KEEP, off=1.0)})
    probe_big: bool = used(True, "off: a patch is empty space outside of the middle half of its field",
        to={"model.field": switch("whole", off="centre")})
    loss_function: str = used("Poisson",
        "Poisson or MAE (of amplitudes); MAE also where use_negative_log_likelihood_loss is off",
        to={"training.loss": choice({"Poisson": "poisson", "MAE": "amplitude_mae"})},
        acts_when=_UNSUPERVISED & one_of("nll", True))
    amp_activation: str = used("silu",
        "silu or sigmoid, shifted so that an untrained network shows empty space; also swish and softplus",
        setting="amplitude_activation_function", to={"model.amplitude": _ACTIVATION})
    cbam_encoder: bool = used(True, "channel and spatial attention after each encoder level",
        to={"model.encoder_attention": switch("cbam")})
    cbam_bottleneck: bool = used(False, "channel and spatial attention at the lowest level",
        to={"model.bottleneck_attention": switch("cbam")})
    cbam_decoder: bool = used(False, "channel and spatial attention after each decoder level",
        to={"model.decoder_attention": switch("cbam")})
    eca_encoder: bool = used(False,
        "efficient channel attention after each encoder level; instead of CBAM, not beside it",
        to={"model.encoder_attention": switch("eca")})
    eca_decoder: bool = used(False, "efficient channel attention after each decoder level; one kind only",
        to={"model.decoder_attention": switch("eca")})
    spatial_decoder: bool = used(False, "spatial attention after each decoder level; one kind only",
        to={"model.decoder_attention": switch("spatial")})
    decoder_spatial_kernel: int = used(7, "side of the spatial attention's kernel in the decoder, odd",
        to={"model.attention_kernel_px": Conversion("an odd number from 3 to 15", range(3, 16, 2).__contains__)},
        acts_when=one_of("spatial_decoder", True))
    use_shared_decoder: bool = used(False, "on: amplitude and phase share one decoder",
        to={"model.decoders": switch("shared", off="separate")})
    decoder_last_amp_channels: int = idle(_CHANNELS, "each pattern has its own patch, whatever the size of its group",
        setting=_NOT_SENT, usual=_channels)
    decoder_last_c_outer_fraction: float = idle(0.125,
        "the decoder has no outer part of its own: all of its channels see the whole field")
    n_filters_scale: int = used(2, "twelve channels at half resolution for each unit", setting="num_filters_scale",
        to={"model.width": whole(1, 20, times=CHANNELS_PER_FILTER_SCALE)})
    batch_norm: bool = used(False, "batch normalisation instead of normalised groups of channels",
        setting="use_batch_normalization", to={"model.normalisation": switch("batch", off="group")})
    edge_pad: int = idle(10, f"no patch is padded: {_CANVAS}")
    intensity_scale_trainable: bool = idle(False,
        "the overall intensity is solved in closed form from the measured photons, nothing is left to train")
    intensity_scale: float = idle(10000.0, "the overall scale is taken from the measured photons instead")
    max_position_jitter: int = idle(10, f"nothing is reserved for it: {_CANVAS}")
    num_datasets: int = idle(1, "as many scans as the folder holds files")
    C_model: int = idle(_CHANNELS, _CHANNELS_SAY, setting=_NOT_SENT, usual=_channels)
    C_forward: int = idle(_CHANNELS, _CHANNELS_SAY, setting=_NOT_SENT, usual=_channels)
    offset: int = idle(6, "groups follow from the measured positions, no regular lattice is assumed")
    probe_mask: Any = refused(None, "the probe is refined from the patterns, and a mask would not hold",
        setting="(always empty)")
    amp_loss: str | None = used(None,
        "Total_Variation or Mean_Deviation of the patches' amplitude is added to the loss",
        setting="auxiliary_amplitude_loss", to={"training.amplitude_penalty": _PENALTY})
    phase_loss: str | None = used(None, "Total_Variation or Mean_Deviation of the patches' phase is added to the loss",
        setting="auxiliary_phase_loss", to={"training.phase_penalty": _PENALTY})
    amp_loss_coeff: float = used(1.0, "weight of the auxiliary amplitude loss",
        setting="auxiliary_amplitude_loss_coeff", to={"training.amplitude_penalty_weight": number()},
        acts_when=given("amp_loss"))
    phase_loss_coeff: float = used(1.0, "weight of the auxiliary phase loss", setting="auxiliary_phase_loss_coeff",
        to={"training.phase_penalty_weight": number()}, acts_when=given("phase_loss"))
    probe_reference_coeff: float = refused(0.0,
        "the probe is not a part of the network: it is refined before training and again after it",
        setting="probe_reference_loss_coeff")
    amplitude_variance_loss: bool = used(False, "the variance of the patches' amplitude is added to the loss")
    amplitude_variance_coeff: float = used(0.01, "weight of the amplitude variance loss",
        to={"training.amplitude_variance_weight": number()}, acts_when=one_of("amplitude_variance_loss", True))


@dataclass
class TrainingConfig:
    """How long, how fast and where the network is trained."""

    epochs: int = used(50, "passes over the patterns, each of which is seen once on average",
        to={"training.epochs": whole(1)})
    batch_size: int = used(16, "groups in a step", to={"training.batch_size": whole(1)})
    learning_rate: float = used(1e-3, "highest step size of AdamW",
        to={"training.learning_rate": number(above_zero=True)})
    n_devices: int = idle(1, "one device trains, in the client's own child process")
    num_workers: int = idle(4, "patterns are looked up in memory, workers would only copy them",
        setting="num_dataloader_workers")
    accum_steps: int = used(1, "batches whose gradients make one step", setting="gradient_accumulation_steps",
        to={"training.accumulate": whole(1)})
    epochs_fine_tune: int = used(0, "epochs after the others, at a smaller step size", setting="epochs_finetune",
        to={"training.fine_tune_epochs": whole(0)})
    fine_tune_gamma: float = used(0.1, "share of the step size that fine-tuning uses", setting="finetune_gamma",
        to={"training.fine_tune_rate": number(above_zero=True)}, acts_when=above("epochs_fine_tune", 0))
    gradient_clip_val: float | None = used(None, "highest norm of the gradient; 0 for none",
        to={"training.gradient_clip": Conversion("a number or None", lambda value: True, lambda value: value or None)})
    nll: bool = used(True, "off: mean absolute error of amplitudes instead of Poisson",
        setting="use_negative_log_likelihood_loss", to={"training.loss": switch(KEEP, off="amplitude_mae")},
        acts_when=_UNSUPERVISED)
    device: str = used("cuda", "cuda or cpu; cuda trains on the CPU, with a warning, where there is no GPU",
        to={"device": _DEVICE})
    strategy: str = idle("ddp_spawn",
        "one device trains in the client's own process, so that there is nothing to distribute",
        setting="distributed_strategy")
    framework: str = refused("Lightning", _ONE_FRAMEWORK, setting="(always Lightning)")
    orchestrator: str = refused("Lightning", _ONE_FRAMEWORK, setting="(always Lightning)")
    scheduler: str = used("Default",
        "Default keeps the step size, Exponential and Cosine lower it to the least ratio at the last step",
        setting="learning_rate_scheduler",
        to={"training.schedule": choice({"Default": "constant", "Exponential": "exponential", "Cosine": "cosine"})})
    warmup_epochs: int = used(0, "epochs over which the step size rises", setting="learning_rate_warmup_epochs",
        to={"warmup_epochs": whole(0)})
    min_lr_ratio: float = used(0.1, "share of the step size that Exponential and Cosine end with",
        setting="minimum_learning_rate_ratio", to={"training.last_rate": number(above_zero=True)},
        acts_when=one_of("scheduler", "Exponential", "Cosine"))
    notes: str = used("", _LABEL)
    model_name: str = used("PtychoPINNv2", _LABEL)
    enable_staged_finetuning: bool = refused(False,
        "the network has no separate phase head to release in stages; epochs_finetune lowers the step size instead")
    finetune_stage1_epochs: int = idle(7, _STAGED)
    finetune_stage2_epochs: int = idle(7, _STAGED)
    finetune_stage3_epochs: int = idle(5, _STAGED)
    finetune_stage1_lr_decoder: float = idle(0.1, _STAGED)
    finetune_stage2_lr_encoder_top: float = idle(0.01, _STAGED)
    finetune_stage2_lr_decoder: float = idle(0.05, _STAGED)
    finetune_stage2_lr_phase_head: float = idle(0.1, _STAGED)
    finetune_stage3_lr_encoder_bottom: float = idle(0.005, _STAGED)
    finetune_stage3_lr_encoder_top: float = idle(0.01, _STAGED)
    finetune_stage3_lr_decoder: float = idle(0.02, _STAGED)
    finetune_stage3_lr_phase_head: float = idle(0.05, _STAGED)
    finetune_skip_stage3: bool = idle(True, _STAGED)
    finetune_early_stop_patience: int = idle(3, _STAGED)
    finetune_val_split: float = used(0.05,
        "share of the groups that training does not see and that choose the best checkpoint, up to one half",
        to={"training.validation_share": number(0.5)})
    # not sent by Ptychodus; the configuration bridge reads them
    output_dir: str | None = None


@dataclass
class InferenceConfig:
    """How a scan is reconstructed."""

    batch_size: int = used(1000, "patterns that the network sees at once, as far as memory is bounded",
        to={"inference.batch_size": whole(1)})
    middle_trim: int = idle(32, "patches are weighted by the light that they had, not trimmed")
    experiment_number: int = idle(0, "the scan that is reconstructed brings its own probe")
    patch_weighting: str = used("probe",
        "probe: overlapping patches count by their light; uniform: alike wherever they had any",
        setting="patch_weighting_method", to={"inference.weighting": choice({"probe": "light", "uniform": "uniform"})})
    pad_eval: bool = idle(True, f"nothing is padded: {_CANVAS}")
    window: int = idle(20, f"nothing is cut off: {_CANVAS}")


# fmt: on
@dataclass
class DatagenConfig:
    """Data generation; Ptychodus makes one without arguments and nothing reads it."""


# the sections of the client's settings, in the order in which it passes their configurations
SECTIONS = {"data": DataConfig, "model": ModelConfig, "training": TrainingConfig, "inference": InferenceConfig}
FIELDS = rows_of(*SECTIONS.values())
