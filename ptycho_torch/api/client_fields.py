"""The one table of the client's fields: what each of the 91 is called in its settings and what it does here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

Verdict = Literal["honoured", "refused", "warned"]
Section = Literal["data", "model", "training", "inference"]

CONFIG_CLASSES: dict[Section, str] = {
    "data": "DataConfig",
    "model": "ModelConfig",
    "training": "TrainingConfig",
    "inference": "InferenceConfig",
}


@dataclass(frozen=True)
class ClientField:
    """One field of the client's configuration.

    Attributes:
        section: which of the four configurations it belongs to.
        name: its name there.
        setting: its name in the client's settings file, section `PtychoPINNTorch<Section>` unless it says another;
            a sentence in brackets where the client has no setting for it.
        verdict: `honoured`: it changes what is done; `refused`: values other than the default end in an error;
            `warned`: it cannot matter here, and a value other than the default is named in a warning.
        effect: what it does here, or why it does nothing or cannot be had.
        example: a value that shows the verdict; without one a bool is turned and a number raised.
        beside: other fields that must be set for it to act, as `section__name` and value.
    """

    section: Section
    name: str
    setting: str
    verdict: Verdict
    effect: str
    example: Any = None
    beside: tuple[tuple[str, Any], ...] = ()


def _of(section: Section) -> Callable[..., ClientField]:
    return partial(ClientField, section)


_data, _model, _training, _inference = _of("data"), _of("model"), _of("training"), _of("inference")
_QUADRANTS = (("data__neighbor_function", "4_quadrant"),)
_DISTANCES = (("data__neighbor_function", "Min_dist"),)
_NORMALISED = "the network normalises every pattern by itself, so that no scale of its input reaches the result"
_CANVAS = "the canvas follows from the positions, whole to the last patch"
_STAGED = "acts only with staged fine-tuning, which is refused"
_STAGES = (
    "finetune_stage1_epochs",
    "finetune_stage2_epochs",
    "finetune_stage3_epochs",
    "finetune_stage1_lr_decoder",
    "finetune_stage2_lr_encoder_top",
    "finetune_stage2_lr_decoder",
    "finetune_stage2_lr_phase_head",
    "finetune_stage3_lr_encoder_bottom",
    "finetune_stage3_lr_encoder_top",
    "finetune_stage3_lr_decoder",
    "finetune_stage3_lr_phase_head",
    "finetune_skip_stage3",
    "finetune_early_stop_patience",
)

FIELDS: tuple[ClientField, ...] = (
    _data("N", "model_size", "honoured", "the size comes from the patterns; where it differs, a warning says so"),
    _data("C", "num_channels", "honoured", "patterns in a group whose overlaps are merged"),
    _data("K", "num_nearest_neighbors_for_lookup", "honoured", "a group is drawn from so many nearest neighbours"),
    _data(
        "K_quadrant",
        "num_nearest_neighbors_for_quadrant_lookup",
        "honoured",
        "with 4_quadrant, a group is drawn from the quadrants of so many nearest neighbours",
        beside=_QUADRANTS,
    ),
    _data(
        "n_subsample",
        "coordinate_subsampling_factor",
        "honoured",
        "groups drawn around every pattern; an epoch still sees each pattern once on average",
    ),
    _data(
        "grid_size",
        "grid_size_y, grid_size_x",
        "warned",
        "groups are not laid on a grid, and are as large as the channels say; one that is not square is refused",
        example=(3, 3),
    ),
    _data(
        "neighbor_function",
        "neighbor_lookup_method",
        "honoured",
        "Nearest, Min_dist (in the range of distances) or 4_quadrant; the nearest where too few are in it",
        example="4_quadrant",
    ),
    _data(
        "min_neighbor_distance",
        "min_neighbor_distance",
        "honoured",
        "with Min_dist and 4_quadrant, nearer patterns do not join a group",
        beside=_DISTANCES,
    ),
    _data(
        "max_neighbor_distance",
        "max_neighbor_distance",
        "honoured",
        "with Min_dist and 4_quadrant, farther patterns do not join a group",
        beside=_DISTANCES,
    ),
    _data(
        "scan_pattern",
        "scan_pattern",
        "honoured",
        "with 4_quadrant, Rectangular measures distances in steps of each axis",
        example="Rectangular",
        beside=_QUADRANTS,
    ),
    _data(
        "normalize",
        "data_normalization_mode",
        "warned",
        _NORMALISED,
        example="Group",
    ),
    _data(
        "probe_scale", "probe_scale", "warned", "probes are scaled to the measured photons, whatever their units were"
    ),
    _data(
        "probe_normalize",
        "normalize_probe",
        "refused",
        "photons in probe and patterns must agree, so that the probe is always scaled to the measured photons",
    ),
    _data(
        "probe_ramp_removal",
        "probe_ramp_removal",
        "honoured",
        "the starting probe loses its mean phase ramp before the probe is refined",
    ),
    _data(
        "data_scaling",
        "data_scaling_method",
        "warned",
        _NORMALISED,
        example="Max",
    ),
    _data(
        "phase_subtraction",
        "subtract_mean_phase",
        "honoured",
        "Supervised: labels lose their mean phase",
        beside=(("model__mode", "Supervised"),),
    ),
    _data(
        "x_bounds",
        "x_lower_bound, x_upper_bound",
        "honoured",
        "share of the scan's width that training sees; a reconstruction always covers the whole scan",
        example=(0.0, 1.0),
    ),
    _data(
        "y_bounds",
        "y_lower_bound, y_upper_bound",
        "honoured",
        "share of the scan's height that training sees; a reconstruction always covers the whole scan",
        example=(0.0, 1.0),
    ),
    _model(
        "mode",
        "(the reconstructor's name)",
        "honoured",
        "Unsupervised learns from the patterns alone, Supervised from patches cut out of objectGuess",
    ),
    _model("object_big", "object_big", "honoured", "off: every patch is fitted by itself, overlaps are not merged"),
    _model("probe_big", "probe_big", "honoured", "off: a patch is empty space outside of the middle half of its field"),
    _model(
        "loss_function",
        "loss_function",
        "honoured",
        "Poisson or MAE (of amplitudes); MAE also where use_negative_log_likelihood_loss is off",
        example="MAE",
    ),
    _model(
        "amp_activation",
        "amplitude_activation_function",
        "honoured",
        "silu or sigmoid, shifted so that an untrained network shows empty space; also swish and softplus",
        example="sigmoid",
    ),
    _model("cbam_encoder", "cbam_encoder", "honoured", "channel and spatial attention after each encoder level"),
    _model("cbam_bottleneck", "cbam_bottleneck", "honoured", "channel and spatial attention at the lowest level"),
    _model("cbam_decoder", "cbam_decoder", "honoured", "channel and spatial attention after each decoder level"),
    _model(
        "eca_encoder",
        "eca_encoder",
        "honoured",
        "efficient channel attention after each encoder level; instead of CBAM, not beside it",
        beside=(("model__cbam_encoder", False),),
    ),
    _model(
        "eca_decoder", "eca_decoder", "honoured", "efficient channel attention after each decoder level; one kind only"
    ),
    _model(
        "spatial_decoder", "spatial_decoder", "honoured", "spatial attention after each decoder level; one kind only"
    ),
    _model(
        "decoder_spatial_kernel",
        "decoder_spatial_kernel",
        "honoured",
        "side of the spatial attention's kernel in the decoder, odd",
        example=9,
        beside=(("model__spatial_decoder", True),),
    ),
    _model("use_shared_decoder", "use_shared_decoder", "honoured", "on: amplitude and phase share one decoder"),
    _model(
        "decoder_last_amp_channels",
        "(the number of channels)",
        "warned",
        "each pattern has its own patch, whatever the size of its group",
    ),
    _model(
        "decoder_last_c_outer_fraction",
        "decoder_last_c_outer_fraction",
        "warned",
        "the decoder has no outer part of its own: all of its channels see the whole field",
    ),
    _model("n_filters_scale", "num_filters_scale", "honoured", "twelve channels at half resolution for each unit"),
    _model(
        "batch_norm",
        "use_batch_normalization",
        "honoured",
        "batch normalisation instead of normalised groups of channels",
    ),
    _model("edge_pad", "edge_pad", "warned", f"no patch is padded: {_CANVAS}"),
    _model(
        "intensity_scale_trainable",
        "intensity_scale_trainable",
        "warned",
        "the overall intensity is solved in closed form from the measured photons, nothing is left to train",
    ),
    _model(
        "intensity_scale", "intensity_scale", "warned", "the overall scale is taken from the measured photons instead"
    ),
    _model("max_position_jitter", "max_position_jitter", "warned", f"nothing is reserved for it: {_CANVAS}"),
    _model("num_datasets", "num_datasets", "warned", "as many scans as the folder holds files"),
    _model("C_model", "(the number of channels)", "warned", "a group has as many patterns as the data's channels say"),
    _model(
        "C_forward", "(the number of channels)", "warned", "a group has as many patterns as the data's channels say"
    ),
    _model("offset", "offset", "warned", "groups follow from the measured positions, no regular lattice is assumed"),
    _model(
        "probe_mask",
        "(always empty)",
        "refused",
        "the probe is refined from the patterns, and a mask would not hold",
        example=((True, False), (False, True)),
    ),
    _model(
        "amp_loss",
        "auxiliary_amplitude_loss",
        "honoured",
        "Total_Variation or Mean_Deviation of the patches' amplitude is added to the loss",
        example="Total_Variation",
    ),
    _model(
        "phase_loss",
        "auxiliary_phase_loss",
        "honoured",
        "Total_Variation or Mean_Deviation of the patches' phase is added to the loss",
        example="Mean_Deviation",
    ),
    _model(
        "amp_loss_coeff",
        "auxiliary_amplitude_loss_coeff",
        "honoured",
        "weight of the auxiliary amplitude loss",
        beside=(("model__amp_loss", "Total_Variation"),),
    ),
    _model(
        "phase_loss_coeff",
        "auxiliary_phase_loss_coeff",
        "honoured",
        "weight of the auxiliary phase loss",
        beside=(("model__phase_loss", "Total_Variation"),),
    ),
    _model(
        "probe_reference_coeff",
        "probe_reference_loss_coeff",
        "refused",
        "the probe is not a part of the network: it is refined before training and again after it",
    ),
    _model(
        "amplitude_variance_loss",
        "amplitude_variance_loss",
        "honoured",
        "the variance of the patches' amplitude is added to the loss",
    ),
    _model(
        "amplitude_variance_coeff",
        "amplitude_variance_coeff",
        "honoured",
        "weight of the amplitude variance loss",
        beside=(("model__amplitude_variance_loss", True),),
    ),
    _training("epochs", "epochs", "honoured", "passes over the patterns, each of which is seen once on average"),
    _training("batch_size", "batch_size", "honoured", "groups in a step"),
    _training("learning_rate", "learning_rate", "honoured", "highest step size of AdamW"),
    _training(
        "n_devices",
        "n_devices",
        "warned",
        "one device trains, in the client's own child process",
    ),
    _training(
        "num_workers",
        "num_dataloader_workers",
        "warned",
        "patterns are looked up in memory, workers would only copy them",
    ),
    _training("accum_steps", "gradient_accumulation_steps", "honoured", "batches whose gradients make one step"),
    _training("epochs_fine_tune", "epochs_finetune", "honoured", "epochs after the others, at a smaller step size"),
    _training(
        "fine_tune_gamma",
        "finetune_gamma",
        "honoured",
        "share of the step size that fine-tuning uses",
        beside=(("training__epochs_fine_tune", 2),),
    ),
    _training(
        "gradient_clip_val", "gradient_clip_val", "honoured", "highest norm of the gradient; 0 for none", example=2.0
    ),
    _training(
        "nll",
        "use_negative_log_likelihood_loss",
        "honoured",
        "off: mean absolute error of amplitudes instead of Poisson",
    ),
    _training(
        "device",
        "device",
        "honoured",
        "cuda or cpu; cuda trains on the CPU, with a warning, where there is no GPU",
    ),
    _training(
        "strategy",
        "distributed_strategy",
        "warned",
        "one device trains in the client's own process, so that there is nothing to distribute",
        example="auto",
    ),
    _training("framework", "(always Lightning)", "refused", "Lightning is the only one", example="Default"),
    _training("orchestrator", "(always Lightning)", "refused", "Lightning is the only one", example="Mlflow"),
    _training(
        "scheduler",
        "learning_rate_scheduler",
        "honoured",
        "Default keeps the step size, Exponential and Cosine lower it to the least ratio at the last step",
        example="Cosine",
    ),
    _training("warmup_epochs", "learning_rate_warmup_epochs", "honoured", "epochs over which the step size rises"),
    _training(
        "min_lr_ratio",
        "minimum_learning_rate_ratio",
        "honoured",
        "share of the step size that Exponential and Cosine end with",
        example=0.2,
        beside=(("training__scheduler", "Cosine"),),
    ),
    _training("notes", "notes", "honoured", "kept in the run folder's training_config.json and in the checkpoint"),
    _training(
        "model_name", "model_name", "honoured", "kept in the run folder's training_config.json and in the checkpoint"
    ),
    _training(
        "enable_staged_finetuning",
        "enable_staged_finetuning",
        "refused",
        "the network has no separate phase head to release in stages; epochs_finetune lowers the step size instead",
    ),
    *(_training(name, name, "warned", _STAGED) for name in _STAGES),
    _training(
        "finetune_val_split",
        "finetune_val_split",
        "honoured",
        "share of the groups that training does not see and that choose the best checkpoint, up to one half",
        example=0.2,
    ),
    _inference(
        "batch_size", "batch_size", "honoured", "patterns that the network sees at once, as far as memory is bounded"
    ),
    _inference("middle_trim", "middle_trim", "warned", "patches are weighted by the light that they had, not trimmed"),
    _inference(
        "experiment_number", "experiment_number", "warned", "the scan that is reconstructed brings its own probe"
    ),
    _inference(
        "patch_weighting",
        "patch_weighting_method",
        "honoured",
        "probe: overlapping patches count by their light; uniform: alike wherever they had any",
        example="uniform",
    ),
    _inference("pad_eval", "pad_eval", "warned", f"nothing is padded: {_CANVAS}"),
    _inference("window", "window", "warned", f"nothing is cut off: {_CANVAS}"),
)
