"""The client's configuration: five plain classes with the 91 fields that Ptychodus sends, and what becomes of each.

This is the one table of these fields: translation, settings file, documentation and tests read it. The classes are
mutable, since the client reassigns fields, picklable, since it sends them to a child process, and unchecked until
`translate`. Defaults are what Ptychodus 1.7.0 sends if nothing was changed. Importing this does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt
from operator import attrgetter
from typing import Any

from ptycho_torch.config.conditions import above, given, one_of
from ptycho_torch.contracts.ptychodus.field import (
    KEEP,
    Conversion,
    choose_from,
    ignore,
    list_rows,
    refuse,
    switch,
    use,
)

# channels of a network whose n_filters_scale is 1
_CHANNELS_PER_FILTER_SCALE = 12
_GROUPED = above("C", 1)
_BY_DISTANCE = one_of("neighbor_function", "Min_dist", "4_quadrant")
_QUADRANTS = one_of("neighbor_function", "4_quadrant")
_SUPERVISED, _UNSUPERVISED = one_of("mode", "Supervised"), one_of("mode", "Unsupervised")
_BOUNDS = Conversion(
    "two fractions of the scan, the lower one first",
    lambda bounds: isinstance(bounds, tuple | list) and len(bounds) == 2 and 0 <= bounds[0] < bounds[1] <= 1,
    lambda bounds: (float(bounds[0]), float(bounds[1])),
)
_DEVICE = Conversion(
    "cuda or cpu",
    lambda name: name in ("cpu", "auto", "gpu") or str(name).startswith("cuda"),
    lambda name: "cuda" if name == "gpu" else name,
)
_CHOICE = choose_from({"Nearest": "nearest", "Min_dist": "within", "4_quadrant": "quadrants"})
_ACTIVATION = choose_from(
    {"silu": "silu", "swish": "silu", "sigmoid": "sigmoid", "softplus": "softplus"}, any_case=True
)
_PENALTY = choose_from({None: "none", "Total_Variation": "total_variation", "Mean_Deviation": "mean_deviation"})
_COUNT = Conversion("an integer from 0", lambda count: type(count) is int and count >= 0)
_NEIGHBOURS = replace(_COUNT, ours=lambda count: count or 1)
_WIDTH = Conversion(
    "an integer from 1 to 21",
    lambda scale: type(scale) is int and 1 <= scale <= 21,
    lambda scale: _CHANNELS_PER_FILTER_SCALE * scale,
    lambda width, default: default if width is None else max(1, round(width / _CHANNELS_PER_FILTER_SCALE)),
)
_SCHEDULE = choose_from({"Default": "constant", "Exponential": "exponential", "Cosine": "cosine"})

# reasons that several fields share
_CANVAS = "the canvas follows from the positions and covers every patch"
_NORMALISED = "the network normalises each pattern, so that no scale of its input affects the result"
_GROUP_SIZE = "the number of patterns per group is that of the data's channels"
_LABEL = "kept in the run folder's training_config.json and in the checkpoint"
_STAGED = "applies only to staged fine-tuning, which is refused"
_ONE_FRAMEWORK = "Lightning is the only framework"
_NOT_SENT = "(the number of channels)"
_channels = attrgetter("C")


# a table: one field in two or three lines
# fmt: off
@dataclass
class DataConfig:
    """How patterns are read, grouped and normalised."""

    N: int = use(128, "the size comes from the patterns; if it differs, a warning says so", setting="model_size")
    C: int = use(4, "patterns per group; their overlaps are merged", "training.group_size", setting="num_channels")
    K: int = use(6, "nearest neighbours from which a group is drawn", "training.neighbours", _NEIGHBOURS,
        setting="num_nearest_neighbors_for_lookup",
        acts_when=_GROUPED & one_of("neighbor_function", "Nearest", "Min_dist"))
    K_quadrant: int = use(30, "with 4_quadrant, number of nearest neighbours from whose quadrants a group is drawn",
        "training.neighbours", _NEIGHBOURS, setting="num_nearest_neighbors_for_quadrant_lookup", acts_when=_QUADRANTS)
    n_subsample: int = use(7, "groups drawn around each pattern; an epoch still shows each pattern once on average",
        "training.groups_per_pattern", setting="coordinate_subsampling_factor", acts_when=_GROUPED)
    grid_size: tuple[int, int] = ignore((2, 2),
        "groups do not lie on a grid, their size is the number of channels; a grid that is not square is refused",
        setting="grid_size_y, grid_size_x", usual=lambda fields: (isqrt(fields.C), isqrt(fields.C)))
    neighbor_function: str = use("Nearest",
        "Nearest, Min_dist (within the distances) or 4_quadrant; the nearest if too few are within",
        "training.neighbour_choice", _CHOICE, setting="neighbor_lookup_method", acts_when=_GROUPED)
    min_neighbor_distance: float = use(0.0, "with Min_dist and 4_quadrant, nearer patterns do not join a group",
        "training.least_distance_px", acts_when=_BY_DISTANCE)
    max_neighbor_distance: float = use(3.0, "with Min_dist and 4_quadrant, farther patterns do not join a group",
        "training.greatest_distance_px", acts_when=_BY_DISTANCE)
    scan_pattern: str = use("Isotropic", "with 4_quadrant, Rectangular measures distances in steps of each axis",
        "training.by_axis", choose_from({"Isotropic": False, "Rectangular": True}), acts_when=_QUADRANTS)
    normalize: str = ignore("Batch", _NORMALISED, setting="data_normalization_mode")
    probe_scale: float = ignore(4.0, "probes are scaled to the measured photons, whatever their units")
    probe_normalize: bool = refuse(True, "the probe is always scaled to the measured photons, with which it must agree",
        setting="normalize_probe")
    probe_ramp_removal: bool = use(False, "the mean phase ramp is removed from the initial probe before it is refined",
        "level_probe", switch(on=True, off=False))
    data_scaling: str = ignore("Parseval", _NORMALISED, setting="data_scaling_method")
    phase_subtraction: bool = use(True, "Supervised: the mean phase is removed from each label",
        "training.level_labels", switch(on=True, off=False), setting="subtract_mean_phase", acts_when=_SUPERVISED)
    x_bounds: tuple[float, float] = use((0.1, 0.9),
        "part of the scan's width used for training; a reconstruction covers all of it", "x_bounds", _BOUNDS,
        setting="x_lower_bound, x_upper_bound")
    y_bounds: tuple[float, float] = use((0.1, 0.9),
        "part of the scan's height used for training; a reconstruction covers all of it", "y_bounds", _BOUNDS,
        setting="y_lower_bound, y_upper_bound")
    # not sent by Ptychodus; the configuration bridge reads them
    nphotons: float = 1e5
    subsample_seed: int | None = None


@dataclass
class ModelConfig:
    """What the network looks like and what it is trained for."""

    mode: str = use("Unsupervised", "Unsupervised learns from the patterns, Supervised from objectGuess",
        "training.target", choose_from({"Unsupervised": "patterns", "Supervised": "object"}),
        setting="(the reconstructor's name)")
    object_big: bool = use(True, "off: overlaps are not merged", "training.unmerged_weight", switch(KEEP, off=1.0))
    probe_big: bool = use(True, "off: vacuum outside a patch's centre", "model.field", switch("whole", off="centre"))
    loss_function: str = use("Poisson",
        "Poisson or MAE (of amplitudes); MAE also if use_negative_log_likelihood_loss is off", "training.loss",
        choose_from({"Poisson": "poisson", "MAE": "amplitude_mae"}), acts_when=_UNSUPERVISED & one_of("nll", True))
    amp_activation: str = use("silu",
        "silu (swish), sigmoid or softplus, shifted so that an untrained network returns vacuum", "model.amplitude",
        _ACTIVATION, setting="amplitude_activation_function")
    cbam_encoder: bool = use(True, "CBAM, channel and spatial attention, after each encoder level",
        "model.encoder_attention", switch("cbam"))
    cbam_bottleneck: bool = use(False, "CBAM at the lowest level", "model.bottleneck_attention", switch("cbam"))
    cbam_decoder: bool = use(False, "CBAM after each decoder level", "model.decoder_attention", switch("cbam"))
    eca_encoder: bool = use(False, "ECA, efficient channel attention, after each encoder level, instead of CBAM",
        "model.encoder_attention", switch("eca"))
    eca_decoder: bool = use(False, "ECA after each decoder level; one kind", "model.decoder_attention", switch("eca"))
    spatial_decoder: bool = use(False, "spatial attention after each decoder level; one kind",
        "model.decoder_attention", switch("spatial"))
    decoder_spatial_kernel: int = use(7, "side of the spatial attention's kernel in the decoder, odd",
        "model.attention_kernel_px", acts_when=one_of("spatial_decoder", True))
    use_shared_decoder: bool = use(False, "on: amplitude and phase share one decoder", "model.decoders",
        switch("shared", off="separate"))
    decoder_last_amp_channels: int = ignore(4, "each pattern has its own patch, whatever the size of its group",
        setting=_NOT_SENT, usual=_channels)
    decoder_last_c_outer_fraction: float = ignore(0.125,
        "the decoder has no separate outer part: all of its channels cover the whole field")
    n_filters_scale: int = use(2, "12 channels at half resolution per unit", "model.width", _WIDTH,
        setting="num_filters_scale")
    batch_norm: bool = use(False, "batch normalisation instead of group normalisation", "model.normalisation",
        switch("batch", off="group"), setting="use_batch_normalization")
    edge_pad: int = ignore(10, f"no patch is padded: {_CANVAS}")
    intensity_scale_trainable: bool = ignore(False,
        "the overall intensity follows in closed form from the measured photons; nothing is left to train")
    intensity_scale: float = ignore(10000.0, "the overall scale follows from the measured photons instead")
    max_position_jitter: int = ignore(10, f"no margin is reserved for it: {_CANVAS}")
    num_datasets: int = ignore(1, "the number of scans is that of the files in the folder")
    C_model: int = ignore(4, _GROUP_SIZE, setting=_NOT_SENT, usual=_channels)
    C_forward: int = ignore(4, _GROUP_SIZE, setting=_NOT_SENT, usual=_channels)
    offset: int = ignore(6, "groups follow from the measured positions, no regular lattice is assumed")
    probe_mask: Any = refuse(None, "the refinement of the probe would undo a mask", setting="(always empty)")
    amp_loss: str | None = use(None, "Total_Variation or Mean_Deviation of the patches' amplitude is added to the loss",
        "training.amplitude_penalty", _PENALTY, setting="auxiliary_amplitude_loss")
    phase_loss: str | None = use(None, "Total_Variation or Mean_Deviation of the patches' phase is added to the loss",
        "training.phase_penalty", _PENALTY, setting="auxiliary_phase_loss")
    amp_loss_coeff: float = use(1.0, "weight of the auxiliary amplitude loss", "training.amplitude_penalty_weight",
        setting="auxiliary_amplitude_loss_coeff", acts_when=given("amp_loss"))
    phase_loss_coeff: float = use(1.0, "weight of the auxiliary phase loss", "training.phase_penalty_weight",
        setting="auxiliary_phase_loss_coeff", acts_when=given("phase_loss"))
    probe_reference_coeff: float = refuse(0.0, "the probe is refined before and after training, not by the network",
        setting="probe_reference_loss_coeff")
    amplitude_variance_loss: bool = use(False, "the variance of the patches' amplitude is added to the loss")
    amplitude_variance_coeff: float = use(0.01, "weight of the amplitude variance loss",
        "training.amplitude_variance_weight", acts_when=one_of("amplitude_variance_loss", True))


@dataclass
class TrainingConfig:
    """How long, how fast and where the network is trained."""

    epochs: int = use(50, "passes over the patterns; each shows every pattern once on average", "training.epochs")
    batch_size: int = use(16, "groups per batch", "training.batch_size")
    learning_rate: float = use(1e-3, "highest learning rate of AdamW", "training.learning_rate")
    n_devices: int = ignore(1, "training uses one device, in the client's own child process")
    num_workers: int = ignore(4, "patterns are in memory; workers would copy them", setting="num_dataloader_workers")
    accum_steps: int = use(1, "batches per optimiser step (gradient accumulation)", "training.accumulate",
        setting="gradient_accumulation_steps")
    epochs_fine_tune: int = use(0, "epochs of fine-tuning after the others, at a smaller learning rate",
        "training.fine_tune_epochs", setting="epochs_finetune")
    fine_tune_gamma: float = use(0.1, "learning rate of fine-tuning, as a fraction of the highest",
        "training.fine_tune_rate", setting="finetune_gamma", acts_when=above("epochs_fine_tune", 0))
    gradient_clip_val: float | None = use(None, "highest norm of the gradient; 0 for no limit",
        "training.gradient_clip", Conversion(ours=lambda value: value or None))
    nll: bool = use(True, "off: mean absolute error of amplitudes instead of Poisson", "training.loss",
        switch(KEEP, off="amplitude_mae"), setting="use_negative_log_likelihood_loss", acts_when=_UNSUPERVISED)
    device: str = use("cuda", "cuda or cpu; cuda without a GPU trains on the CPU, with a warning", "device", _DEVICE)
    strategy: str = ignore("ddp_spawn", "training uses one device, in the client's own process; nothing is distributed",
        setting="distributed_strategy")
    framework: str = refuse("Lightning", _ONE_FRAMEWORK, setting="(always Lightning)")
    orchestrator: str = refuse("Lightning", _ONE_FRAMEWORK, setting="(always Lightning)")
    scheduler: str = use("Default",
        "Default keeps the learning rate; Exponential and Cosine lower it to the minimum ratio", "training.schedule",
        _SCHEDULE, setting="learning_rate_scheduler")
    warmup_epochs: int = use(0, "epochs over which the learning rate rises", "warmup_epochs", _COUNT,
        setting="learning_rate_warmup_epochs")
    min_lr_ratio: float = use(0.1, "last learning rate of Exponential and Cosine, as a fraction of the highest",
        "training.last_rate", setting="minimum_learning_rate_ratio",
        acts_when=one_of("scheduler", "Exponential", "Cosine"))
    notes: str = use("", _LABEL)
    model_name: str = use("PtychoPINNv2", _LABEL)
    enable_staged_finetuning: bool = refuse(False,
        "the network has no separate phase head to train in stages; epochs_finetune lowers the learning rate instead")
    finetune_stage1_epochs: int = ignore(7, _STAGED)
    finetune_stage2_epochs: int = ignore(7, _STAGED)
    finetune_stage3_epochs: int = ignore(5, _STAGED)
    finetune_stage1_lr_decoder: float = ignore(0.1, _STAGED)
    finetune_stage2_lr_encoder_top: float = ignore(0.01, _STAGED)
    finetune_stage2_lr_decoder: float = ignore(0.05, _STAGED)
    finetune_stage2_lr_phase_head: float = ignore(0.1, _STAGED)
    finetune_stage3_lr_encoder_bottom: float = ignore(0.005, _STAGED)
    finetune_stage3_lr_encoder_top: float = ignore(0.01, _STAGED)
    finetune_stage3_lr_decoder: float = ignore(0.02, _STAGED)
    finetune_stage3_lr_phase_head: float = ignore(0.05, _STAGED)
    finetune_skip_stage3: bool = ignore(True, _STAGED)
    finetune_early_stop_patience: int = ignore(3, _STAGED)
    finetune_val_split: float = use(0.05,
        "fraction of the groups, up to one half, used for validation, which chooses the best checkpoint",
        "training.validation_share")
    # not sent by Ptychodus; the configuration bridge reads it
    output_dir: str | None = None


@dataclass
class InferenceConfig:
    """How a scan is reconstructed."""

    batch_size: int = use(1000, "patterns processed at once, if memory allows", "inference.batch_size")
    middle_trim: int = ignore(32, "patches are weighted by their illumination, not trimmed")
    experiment_number: int = ignore(0, "the scan that is reconstructed brings its own probe")
    patch_weighting: str = use("probe",
        "probe: overlapping patches are weighted by their illumination; uniform: equally wherever they have any",
        "inference.weighting", choose_from({"probe": "light", "uniform": "uniform"}), setting="patch_weighting_method")
    pad_eval: bool = ignore(True, f"nothing is padded: {_CANVAS}")
    window: int = ignore(20, f"nothing is cut off: {_CANVAS}")


# fmt: on
@dataclass
class DatagenConfig:
    """Data generation; Ptychodus makes one without arguments and nothing reads it."""


# the sections of the client's settings, in the order in which it passes their configurations
SECTIONS = {"data": DataConfig, "model": ModelConfig, "training": TrainingConfig, "inference": InferenceConfig}
FIELDS = list_rows(*SECTIONS.values())
