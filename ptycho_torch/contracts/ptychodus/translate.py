"""From the client's configurations to an experiment of this package; what `client_fields` promises is done here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptycho_torch.config import Experiment, InferenceSettings, ModelSettings, TrainingSettings
from ptycho_torch.contracts.legacy.parameters import CHANNELS_PER_FILTER_SCALE
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.fields import CONFIG_CLASSES, FIELDS, ClientField
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

Bounds = tuple[float, float]

_KERNELS = range(3, 16, 2)
_DEFAULTS = {"data": DataConfig(), "model": ModelConfig(), "training": TrainingConfig(), "inference": InferenceConfig()}


@dataclass(frozen=True)
class ClientExperiment:
    """What the client asks for.

    Attributes:
        experiment: all settings of this package.
        x_bounds: share of the scan's width that training sees.
        y_bounds: share of the scan's height that training sees.
        level_probe: remove the starting probe's mean phase ramp.
        device: where to train: `cuda`, `cuda:N`, `cpu` or `auto`.
        warmup_epochs: epochs over which the step size rises.
    """

    experiment: Experiment
    x_bounds: Bounds
    y_bounds: Bounds
    level_probe: bool
    device: str
    warmup_epochs: int


def translate(
    data: DataConfig, model: ModelConfig, training: TrainingConfig, inference: InferenceConfig
) -> ClientExperiment:
    """Read the client's configurations; fields that cannot matter are named in a warning, each once.

    Raises:
        ConfigError: a field has a value that cannot be had.
    """
    configs = {"data": data, "model": model, "training": training, "inference": inference}
    _check_grid(data)
    for field in FIELDS:
        _check_verdict(field, configs[field.section], data.C)
    _warn_unused(data, model, training)
    experiment = Experiment(
        model=_model_settings(data, model),
        training=_training_settings(data, model, training),
        inference=_inference_settings(inference),
    )
    return ClientExperiment(
        experiment=experiment,
        x_bounds=_bounds("DataConfig.x_bounds", data.x_bounds),
        y_bounds=_bounds("DataConfig.y_bounds", data.y_bounds),
        level_probe=bool(data.probe_ramp_removal),
        device=_device(training.device),
        warmup_epochs=_whole("TrainingConfig.warmup_epochs", training.warmup_epochs, 0),
    )


def _check_verdict(field: ClientField, config: Any, channels: int) -> None:  # noqa: ANN401 - one of the four classes
    value, default = getattr(config, field.name), getattr(_DEFAULTS[field.section], field.name)
    if field.name in ("C_model", "C_forward", "decoder_last_amp_channels"):
        default = channels
    elif field.name == "grid_size" and value[0] * value[1] == channels:
        default = value
    elif field.name == "grid_size":
        default = None
    if value is default or (not hasattr(value, "shape") and value == default):
        return
    label = f"{CONFIG_CLASSES[field.section]}.{field.name}"
    if field.verdict == "refused":
        shown = f"{value!r}" if not hasattr(value, "shape") else f"an array of shape {tuple(value.shape)}"
        raise ConfigError(f"{label} is {shown}; only {default!r} works: {field.effect}")
    if field.verdict == "warned":
        _log.warning("%s is %r and changes nothing: %s", label, value, field.effect)


def _warn_unused(data: DataConfig, model: ModelConfig, training: TrainingConfig) -> None:
    """Name what was set and needs another setting to act."""
    plain, nearest = _DEFAULTS["data"], data.neighbor_function == "Nearest"
    quadrants, supervised = data.neighbor_function == "4_quadrant", model.mode == "Supervised"
    alone = data.C == 1
    unused = (
        (alone, data, plain, ("K", "n_subsample", "neighbor_function"), "more than one channel"),
        (quadrants, data, plain, ("K",), "another neighbor_function"),
        (not supervised, data, plain, ("phase_subtraction",), "mode Supervised"),
        (supervised, model, _DEFAULTS["model"], ("loss_function",), "mode Unsupervised"),
        (supervised, training, _DEFAULTS["training"], ("nll",), "mode Unsupervised"),
        (nearest, data, plain, ("min_neighbor_distance", "max_neighbor_distance"), "Min_dist or 4_quadrant"),
        (not quadrants, data, plain, ("K_quadrant", "scan_pattern"), "neighbor_function 4_quadrant"),
        (model.amp_loss is None, model, _DEFAULTS["model"], ("amp_loss_coeff",), "amp_loss"),
        (model.phase_loss is None, model, _DEFAULTS["model"], ("phase_loss_coeff",), "phase_loss"),
        (not model.amplitude_variance_loss, model, _DEFAULTS["model"], ("amplitude_variance_coeff",), "its loss"),
        (not model.spatial_decoder, model, _DEFAULTS["model"], ("decoder_spatial_kernel",), "spatial_decoder"),
        (training.scheduler == "Default", training, _DEFAULTS["training"], ("min_lr_ratio",), "another scheduler"),
        (not training.epochs_fine_tune, training, _DEFAULTS["training"], ("fine_tune_gamma",), "epochs_fine_tune"),
    )
    for idle, config, default, names, needs in unused:
        for name in names:
            if idle and getattr(config, name) != getattr(default, name):
                label, value = f"{type(default).__name__}.{name}", getattr(config, name)
                _log.warning("%s is %r and acts only with %s", label, value, needs)


def _check_grid(data: DataConfig) -> None:
    grid = tuple(data.grid_size)
    if len(grid) != 2 or grid[0] != grid[1] or grid[0] < 1:
        raise ConfigError(f"DataConfig.grid_size is {grid}; a square grid such as (2, 2) is needed")


def _model_settings(data: DataConfig, model: ModelConfig) -> ModelSettings:
    if model.batch_norm and (data.normalize, data.data_scaling) != ("Batch", "Parseval"):
        raise ConfigError(
            f"DataConfig.normalize and data_scaling are {data.normalize!r}, {data.data_scaling!r}; beside batch_norm "
            "only 'Batch' and 'Parseval' work: other scales of the patterns would reach the result"
        )
    return ModelSettings(
        width=CHANNELS_PER_FILTER_SCALE * _whole("ModelConfig.n_filters_scale", model.n_filters_scale, 1, 20),
        amplitude=_choice(
            "ModelConfig.amp_activation",
            str(model.amp_activation).lower(),
            {"silu": "silu", "swish": "silu", "sigmoid": "sigmoid", "softplus": "softplus"},
            shown=model.amp_activation,
        ),
        encoder_attention=_attention(cbam_encoder=model.cbam_encoder, eca_encoder=model.eca_encoder),
        bottleneck_attention=_attention(cbam_bottleneck=model.cbam_bottleneck),
        decoder_attention=_attention(
            cbam_decoder=model.cbam_decoder, eca_decoder=model.eca_decoder, spatial_decoder=model.spatial_decoder
        ),
        attention_kernel_px=_kernel(model) if model.spatial_decoder else 7,
        normalisation="batch" if model.batch_norm else "group",
        decoders="shared" if model.use_shared_decoder else "separate",
        field="whole" if model.probe_big else "centre",
    )


def _training_settings(data: DataConfig, model: ModelConfig, training: TrainingConfig) -> TrainingSettings:
    return TrainingSettings(
        target=_choice("ModelConfig.mode", model.mode, {"Unsupervised": "patterns", "Supervised": "object"}),
        level_labels=bool(data.phase_subtraction) or model.mode != "Supervised",
        validation_share=_number("TrainingConfig.finetune_val_split", training.finetune_val_split, 0.5),
        **_groups(data),
        **_steps(training),
        **_losses(model, training),
    )


def _groups(data: DataConfig) -> dict[str, Any]:
    size = _whole("DataConfig.C", data.C, 1, 256)
    if _whole("DataConfig.K", data.K, 0) < size - 1:
        _log.warning("DataConfig.K is %d; a group of %d needs %d neighbours, which counts", data.K, size, size - 1)
    choices = {"Nearest": "nearest", "Min_dist": "within", "4_quadrant": "quadrants"}
    choice = _choice("DataConfig.neighbor_function", data.neighbor_function, choices)
    patterns = {"Isotropic": False, "Rectangular": True}
    uneven = _choice("DataConfig.scan_pattern", data.scan_pattern, patterns)
    ranged = choice != "nearest"
    return {
        "group_size": size,
        "neighbour_choice": choice,
        "neighbours": max(
            _whole("DataConfig.K_quadrant", data.K_quadrant, 0) if choice == "quadrants" else data.K, size - 1, 1
        ),
        "groups_per_pattern": _whole("DataConfig.n_subsample", data.n_subsample, 1, 64),
        "least_distance_px": _number("DataConfig.min_neighbor_distance", data.min_neighbor_distance) if ranged else 0.0,
        "greatest_distance_px": _farthest(data) if ranged else None,
        "by_axis": uneven and choice == "quadrants",
    }


def _steps(training: TrainingConfig) -> dict[str, Any]:
    schedules = {"Default": "constant", "Exponential": "exponential", "Cosine": "cosine"}
    schedule = _choice("TrainingConfig.scheduler", training.scheduler, schedules)
    fine_tune_epochs = _whole("TrainingConfig.epochs_fine_tune", training.epochs_fine_tune, 0)
    steps = {
        "epochs": _whole("TrainingConfig.epochs", training.epochs, 1),
        "batch_size": _whole("TrainingConfig.batch_size", training.batch_size, 1),
        "learning_rate": _positive("TrainingConfig.learning_rate", training.learning_rate),
        "schedule": schedule,
        "warmup_steps": 0,
        "accumulate": _whole("TrainingConfig.accum_steps", training.accum_steps, 1),
        "fine_tune_epochs": fine_tune_epochs,
        "gradient_clip": training.gradient_clip_val or None,
    }
    if schedule != "constant":
        steps["last_rate"] = _positive("TrainingConfig.min_lr_ratio", training.min_lr_ratio)
    if fine_tune_epochs:
        steps["fine_tune_rate"] = _positive("TrainingConfig.fine_tune_gamma", training.fine_tune_gamma)
    return steps


def _losses(model: ModelConfig, training: TrainingConfig) -> dict[str, Any]:
    likelihoods = {"Poisson": "poisson" if training.nll else "amplitude_mae", "MAE": "amplitude_mae"}
    penalties = {None: "none", "Total_Variation": "total_variation", "Mean_Deviation": "mean_deviation"}
    variance = _number("ModelConfig.amplitude_variance_coeff", model.amplitude_variance_coeff)
    return {
        "loss": _choice("ModelConfig.loss_function", model.loss_function, likelihoods),
        "unmerged_weight": TrainingSettings().unmerged_weight if model.object_big else 1.0,
        "amplitude_penalty": _choice("ModelConfig.amp_loss", model.amp_loss, penalties),
        "phase_penalty": _choice("ModelConfig.phase_loss", model.phase_loss, penalties),
        "amplitude_penalty_weight": _number("ModelConfig.amp_loss_coeff", model.amp_loss_coeff),
        "phase_penalty_weight": _number("ModelConfig.phase_loss_coeff", model.phase_loss_coeff),
        "amplitude_variance_weight": variance if model.amplitude_variance_loss else 0.0,
    }


def _inference_settings(inference: InferenceConfig) -> InferenceSettings:
    return InferenceSettings(
        batch_size=_whole("InferenceConfig.batch_size", inference.batch_size, 1),
        weighting=_choice(
            "InferenceConfig.patch_weighting", inference.patch_weighting, {"probe": "light", "uniform": "uniform"}
        ),
    )


def _attention(**wanted: bool) -> Any:  # noqa: ANN401 - checked by the settings
    chosen = [name for name, on in wanted.items() if on]
    if len(chosen) > 1:
        raise ConfigError(
            f"ModelConfig.{' and '.join(chosen)} are both on; one kind of attention fits in that place, switch one off"
        )
    return chosen[0].split("_")[0] if chosen else "none"


def _kernel(model: ModelConfig) -> Any:  # noqa: ANN401 - checked by the settings
    kernel = _whole("ModelConfig.decoder_spatial_kernel", model.decoder_spatial_kernel, 1)
    if kernel not in _KERNELS:
        raise ConfigError(f"ModelConfig.decoder_spatial_kernel is {kernel}; an odd number from 3 to 15 is needed")
    return kernel


def _farthest(data: DataConfig) -> float:
    least, most = data.min_neighbor_distance, data.max_neighbor_distance
    if not most > least:
        raise ConfigError(f"DataConfig.max_neighbor_distance is {most!r}; more than the least, {least!r}, is needed")
    return float(most)


def _device(name: str) -> str:
    if name not in ("cpu", "auto", "gpu") and not str(name).startswith("cuda"):
        raise ConfigError(f"TrainingConfig.device is {name!r}; cuda or cpu is needed")
    return "cuda" if name == "gpu" else name


def _bounds(label: str, bounds: Bounds) -> Bounds:
    low, high = (float(bound) for bound in bounds)
    if not 0 <= low < high <= 1:
        raise ConfigError(f"{label} is {(low, high)}; two shares of the scan are needed, the lower one first")
    return low, high


def _choice(label: str, value: Any, known: Mapping[Any, Any], shown: Any = None) -> Any:  # noqa: ANN401 - checked by the settings
    if value not in known:
        words = " or ".join(str(name) for name in known)
        raise ConfigError(f"{label} is {(value if shown is None else shown)!r}; {words} is needed")
    return known[value]


def _whole(label: str, value: Any, least: int, most: int | None = None) -> int:  # noqa: ANN401
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        limits = f"from {least}" + ("" if most is None else f" to {most}")
        raise ConfigError(f"{label} is {value!r}; a whole number {limits} is needed")
    return value


def _number(label: str, value: Any, most: float = float("inf")) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        limits = "from 0" + ("" if most == float("inf") else f" to {most:g}")
        raise ConfigError(f"{label} is {value!r}; a number {limits} is needed")
    return float(value)


def _positive(label: str, value: Any) -> float:  # noqa: ANN401
    if _number(label, value) == 0:
        raise ConfigError(f"{label} is {value!r}; more than 0 is needed")
    return float(value)
