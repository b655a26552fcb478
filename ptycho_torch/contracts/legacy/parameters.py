"""The legacy parameters, a flat mapping in a module-wide dictionary (CONFIG-001): written here, never read.

Three small sections contain the canonical names that legacy code and its clients share. Each parameter is declared
once: its flat key, the client's field that it comes from, and what it becomes in an experiment or why it does not act.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields, replace
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from ptycho_torch.config.conditions import Condition, given
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.contracts.ptychodus.configs import FIELDS, DataConfig
from ptycho_torch.contracts.ptychodus.field import CARRY, KEEP, Conversion, Meaning, choose_from, switch

cfg: dict[str, Any] = {}

_LEGACY_PHOTONS = 1e9
_OUTPUT_DIR = Path("training_outputs")
_SQUARE = Conversion(
    "square, such as (2, 2), or replaced by the override gridsize",
    lambda grid: isinstance(grid, tuple | list) and len(grid) == 2 and grid[0] == grid[1],
    lambda grid: grid[0],
)
_IS_GIVEN = Conversion(
    "an array or None",
    lambda mask: mask is None or isinstance(mask, bool) or hasattr(mask, "shape"),
    lambda mask: mask is not None and mask is not False,
)
_PHOTONS = Conversion(
    "the mean photons per pattern: this is the client's default, whereas legacy code assumes "
    f"{_LEGACY_PHOTONS:g}; set DataConfig.nphotons or pass overrides={{'nphotons': ...}}",
    lambda photons: photons != DataConfig.nphotons,
)
_FOLDER = Conversion(ours=lambda folder: _OUTPUT_DIR if folder is None else folder)
# legacy groups are square grids; legacy code reads groups of any other size as single patterns
_GROUP = Conversion(
    ours=lambda side: side**2,
    theirs=lambda size, default: isqrt(size) if isqrt(size) ** 2 == size else default,
)
_SEED = Conversion(ours=lambda seed: seed or 0, theirs=lambda seed, default: seed or default)
_ACTIVATIONS = ("swish", "sigmoid", "softplus", "relu")
_OBJECT_ALONE = "the object is compared with its labels only if model_type is supervised"


_FIELDS = {row.label: row.meaning for row in FIELDS}


def declare(
    default: Any,  # noqa: ANN401 - as `setting` does
    key: str,
    help: str,
    to: str = "",
    by: Conversion = CARRY,
    *,
    source: str = "",
    adapt: Conversion | None = None,
    refused: str = "",
    no_effect: str = "",
    acts_when: Condition | None = None,
    **limits: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Declare one canonical parameter.

    Args:
        default: its value if none is given; `dataclasses.MISSING` if one must be.
        key: its flat key.
        help: what it is.
        to: the setting that it becomes in an experiment, if it is not carried over from a field that says so.
        by: its conversion to that setting.
        source: the client's field that it comes from, as `Class.name`; if empty, it comes from an override.
        adapt: converts the client's value to the canonical one; None carries it over.
        refused: why only the default works in an experiment.
        no_effect: why it has no effect in an experiment.
        acts_when: what other parameters must be for it to act.
        limits: unit and range, as in `setting`.
    """
    if source in _FIELDS and adapt is None:
        meaning = replace(_FIELDS[source], acts_when=None)
    else:
        verdict: Literal["used", "refused", "no effect"] = (
            "refused" if refused else "no effect" if no_effect else "used"
        )
        meaning = Meaning(verdict, refused or no_effect or help, to=to, by=by, acts_when=acts_when)
    metadata = {**setting(default, help=help, **limits).metadata, "key": key, "source": source, "adapt": adapt}
    return dataclasses.field(default=default, metadata={**metadata, "meaning": meaning})


# a table: one parameter in two or three lines
# fmt: off
@dataclass(frozen=True, kw_only=True)
class LegacyModel(Settings):
    """Network and optics in the canonical names."""

    N: Literal[64, 128, 256] = declare(64, "N", "side of the patterns", source="DataConfig.N", unit="px")
    gridsize: int = declare(1, "gridsize", "side g of the g × g patterns of a group", "training.group_size", _GROUP,
        source="DataConfig.grid_size", adapt=_SQUARE, at_least=1)
    n_filters_scale: int = declare(2, "n_filters_scale", "factor of the network's channels",
        source="ModelConfig.n_filters_scale", at_least=1)
    model_type: Literal["pinn", "supervised"] = declare("pinn", "model_type",
        "learn from the patterns, or from known objects", "training.target",
        choose_from({"pinn": "patterns", "supervised": "object"}), source="ModelConfig.mode",
        adapt=choose_from({"Unsupervised": "pinn", "Supervised": "supervised"}))
    amp_activation: Literal["sigmoid", "swish", "softplus", "relu"] = declare("sigmoid", "amp_activation",
        "activation of the amplitude", "model.amplitude",
        choose_from({"swish": "silu", "sigmoid": "sigmoid", "softplus": "softplus"}),
        source="ModelConfig.amp_activation",
        adapt=choose_from({"silu": "swish"} | {name: name for name in _ACTIVATIONS}, any_case=True))
    object_big: bool = declare(True, "object.big", "object larger than a patch", source="ModelConfig.object_big")
    probe_big: bool = declare(True, "probe.big", "let the probe fill the whole patch", source="ModelConfig.probe_big")
    probe_mask: bool = declare(False, "probe.mask", "confine the probe by a mask", source="ModelConfig.probe_mask",
        adapt=_IS_GIVEN, refused="the refinement of the probe would undo a mask")
    pad_object: bool = declare(True, "pad_object", "pad the object around the patch",
        no_effect="the canvas follows from the positions")
    probe_scale: float = declare(4.0, "probe_scale", "factor that normalises the probe",
        source="DataConfig.probe_scale", above=0)
    gaussian_smoothing_sigma: float = declare(0.0, "gaussian_smoothing_sigma", "width of the object's smoothing",
        refused="patches are not smoothed; a penalty on their variation replaces it", unit="px", at_least=0)


@dataclass(frozen=True, kw_only=True)
class LegacyTask(Settings):
    """What training and inference have in common.

    The client's n_subsample counts neighbours, not patterns: the canonical one does not come from it.
    """

    model: LegacyModel = setting(LegacyModel(), help="the model to train or to use")
    test_data_file: Path | None = declare(None, "test_data_file_path", "scan to test on, or to reconstruct")
    n_groups: int | None = declare(None, "n_groups", "groups to draw; None: one per pattern",
        "training.groups_per_epoch", at_least=1)
    n_subsample: int | None = declare(None, "n_subsample", "patterns to keep before grouping; None: all", at_least=1)
    subsample_seed: int | None = declare(None, "subsample_seed", "seed of all random draws; None: 0", "training.seed",
        _SEED, source="DataConfig.subsample_seed", at_least=0)
    neighbor_count: int = declare(4, "neighbor_count", "neighbours to draw a group from", source="DataConfig.K",
        at_least=1)


@dataclass(frozen=True, kw_only=True)
class LegacyTraining(LegacyTask):
    """Training in the canonical names."""

    train_data_file: Path = declare(MISSING, "train_data_file_path", "scan to train on")
    batch_size: int = declare(16, "batch_size", "groups per batch", source="TrainingConfig.batch_size", at_least=1)
    nepochs: int = declare(50, "nepochs", "passes over the training groups", source="TrainingConfig.epochs", at_least=1)
    mae_weight: float = declare(0.0, "mae_weight", "weight of the amplitudes' mean absolute error", at_least=0)
    nll_weight: float = declare(1.0, "nll_weight", "weight of the counts' negative log-likelihood",
        source="TrainingConfig.nll", adapt=switch(1.0, off=0.0), at_least=0)
    realspace_mae_weight: float = declare(0.0, "realspace_mae_weight", "weight of the object's mean absolute error",
        refused=_OBJECT_ALONE, at_least=0)
    realspace_weight: float = declare(0.0, "realspace_weight", "weight of the object's loss", refused=_OBJECT_ALONE,
        at_least=0)
    nphotons: float = declare(_LEGACY_PHOTONS, "nphotons", "mean photons per pattern", source="DataConfig.nphotons",
        adapt=_PHOTONS, unit="photons", above=0)
    positions_provided: bool = declare(True, "positions.provided", "the scan contains its positions",
        refused="positions come with the scan")
    probe_trainable: bool = declare(False, "probe.trainable", "refine the probe", "training.bootstrap_epochs",
        switch(KEEP, off=0))
    intensity_scale_trainable: bool = declare(True, "intensity_scale.trainable",
        "refine the scale between counts and network", source="ModelConfig.intensity_scale_trainable")
    output_dir: Path = declare(_OUTPUT_DIR, "output_prefix", "folder of the results",
        source="TrainingConfig.output_dir", adapt=_FOLDER)
    sequential_sampling: bool = declare(False, "sequential_sampling", "take the first patterns instead of random ones",
        acts_when=given("n_subsample"))


@dataclass(frozen=True, kw_only=True)
class LegacyInference(LegacyTask):
    """Inference in the canonical names."""

    model_path: Path = declare(MISSING, "model_path", "folder of the model's wts.h5.zip")
    output_dir: Path = declare(Path("inference_outputs"), "output_prefix", "folder of the results")
    debug: bool = declare(False, "debug", "keep what helps to find a fault")


# fmt: on
LegacySection = LegacyModel | LegacyTask
PARAMETERS: dict[str, Field[Any]] = {
    field.name: field
    for section in (LegacyInference, LegacyModel, LegacyTraining)
    for field in fields(section)
    if "key" in field.metadata
}


# flat key and default of the parameters that name a file or folder
_FILES = {
    field.metadata["key"]: None if field.default in (MISSING, None) else str(field.default)
    for section in (LegacyInference, LegacyTraining)
    for field in fields(section)
    if "key" in field.metadata and section.find_types()[field.name].base is Path
}


def flatten(section: LegacySection) -> dict[str, Any]:
    """The legacy parameters of a section, including those of its model."""
    model = flatten(section.model) if isinstance(section, LegacyTask) else {}
    return model | use_keys({field.name: getattr(section, field.name) for field in fields(section)})


def use_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by canonical name as plain values by flat key; paths become strings, names without a key are left out."""
    return {
        PARAMETERS[name].metadata["key"]: str(value) if isinstance(value, str | Path) else value
        for name, value in values.items()
        if name in PARAMETERS
    }


def forget_files(params: Mapping[str, Any]) -> dict[str, Any]:
    """Flat parameters with the defaults of all that name a file or folder, None where there is no default."""
    return dict(params) | {key: value for key, value in _FILES.items() if key in params}


def update_legacy_dict(cfg: MutableMapping[str, Any], section: LegacySection) -> None:
    """Write the legacy parameters of a section into a dictionary, this module's `cfg` or any other.

    Every key of the section is written, None included: an unset parameter must not keep an earlier value. Other keys
    are left alone.
    """
    cfg.update(flatten(section))


def snapshot() -> dict[str, Any]:
    """A copy of `cfg`, for a caller that must restore it."""
    return dict(cfg)


def restore(saved: Mapping[str, Any]) -> None:
    """Replace the contents of `cfg`; the dictionary itself remains the same object."""
    cfg.clear()
    cfg.update(saved)


@contextmanager
def restore_unless_failed(saved: Mapping[str, Any]) -> Iterator[None]:
    """Replace the contents of `cfg`, and undo that if the body fails."""
    before = snapshot()
    restore(saved)
    try:
        yield
    except BaseException:
        restore(before)
        raise
