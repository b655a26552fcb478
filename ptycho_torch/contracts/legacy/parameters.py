"""The flat parameters that legacy code reads from a module-wide dictionary (CONFIG-001): written here, never read.

Three small sections hold the canonical names that legacy code and its clients share. Each parameter is declared once:
its flat key, the client's field that it comes from, and what it becomes in an experiment or why it does not act.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from ptycho_torch.config.conditions import given
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.contracts.ptychodus.configs import DataConfig
from ptycho_torch.contracts.ptychodus.convert import (
    CHANNELS_PER_FILTER_SCALE,
    KEEP,
    Conversion,
    choice,
    switch,
    whole,
)
from ptycho_torch.contracts.ptychodus.field import Meaning

cfg: dict[str, Any] = {}

_LEGACY_PHOTONS = 1e9
_OUTPUT_DIR = Path("training_outputs")
_SQUARE = Conversion(
    "a square one such as (2, 2), or the override gridsize,",
    lambda grid: isinstance(grid, tuple | list) and len(grid) == 2 and grid[0] == grid[1],
    lambda grid: grid[0],
)
_IS_GIVEN = Conversion(
    "an array or None",
    lambda mask: mask is None or isinstance(mask, bool) or hasattr(mask, "shape"),
    lambda mask: mask is not None and mask is not False,
)
_PHOTONS = Conversion(
    "the mean photons of a pattern: this is the client's default, where legacy code takes "
    f"{_LEGACY_PHOTONS:g} for granted; set DataConfig.nphotons or pass overrides={{'nphotons': ...}}, one of them",
    lambda photons: photons != DataConfig.nphotons,
)
_FOLDER = Conversion("a path", lambda folder: True, lambda folder: _OUTPUT_DIR if folder is None else folder)
# legacy groups are square grids; patterns that are grouped in another way are single ones to it
_GROUP = Conversion(
    "a side",
    lambda side: True,
    lambda side: side**2,
    lambda size, default: isqrt(size) if isqrt(size) ** 2 == size else default,
)
_SEED = Conversion("a seed", lambda seed: True, lambda seed: seed or 0, lambda seed, default: seed or default)
_GROUPS = Conversion("a number of groups", lambda groups: True)
_ACTIVATIONS = ("swish", "sigmoid", "softplus", "relu")
_OBJECT_ALONE = "the object is held against its labels alone, where model_type is supervised"


def parameter(
    default: Any,  # noqa: ANN401 - declares a field, as `setting` does
    key: str,
    help: str,
    *,
    source: str = "",
    by: Conversion | None = None,
    to: Mapping[str, Conversion] | None = None,
    refused: str = "",
    idle: str = "",
    **said: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Declare one canonical parameter.

    Args:
        default: value where nothing else is said; `dataclasses.MISSING` where it must be given.
        key: its flat key.
        help: what it is.
        source: the client's field that it comes from, as `Class.name`; without one it comes from an override.
        by: turns the client's value into the canonical one; without it the value is carried over.
        to: the settings that it becomes in an experiment.
        refused: why only the default works in an experiment.
        idle: why it changes nothing in an experiment.
        said: `acts_when` and what else `setting` takes.
    """
    meaning = Meaning(
        verdict="refused" if refused else "idle" if idle else "used",
        effect=refused or idle or help,
        to=to or {},
        acts_when=said.pop("acts_when", None),
    )
    told = setting(default, help=help, **said).metadata
    return dataclasses.field(
        default=default, metadata={**told, "key": key, "source": source, "by": by, "meaning": meaning}
    )


# a table with a parameter in two or three lines
# fmt: off
@dataclass(frozen=True, kw_only=True)
class LegacyModel(Settings):
    """Network and optics in the canonical names."""

    N: Literal[64, 128, 256] = parameter(64, "N", "side of the patterns", source="DataConfig.N", unit="px")
    gridsize: int = parameter(1, "gridsize", "side g of the g × g patterns of a group", source="DataConfig.grid_size",
        by=_SQUARE, to={"training.group_size": _GROUP}, at_least=1)
    n_filters_scale: int = parameter(2, "n_filters_scale", "factor on the network's channels",
        source="ModelConfig.n_filters_scale", to={"model.width": whole(1, times=CHANNELS_PER_FILTER_SCALE)}, at_least=1)
    model_type: Literal["pinn", "supervised"] = parameter("pinn", "model_type",
        "learn through the physics, or from known objects", source="ModelConfig.mode",
        by=choice({"Unsupervised": "pinn", "Supervised": "supervised"}),
        to={"training.target": choice({"pinn": "patterns", "supervised": "object"})})
    amp_activation: Literal["sigmoid", "swish", "softplus", "relu"] = parameter("sigmoid", "amp_activation",
        "activation of the amplitude", source="ModelConfig.amp_activation",
        by=choice({"silu": "swish"} | {name: name for name in _ACTIVATIONS}, any_case=True),
        to={"model.amplitude": choice({"swish": "silu", "sigmoid": "sigmoid", "softplus": "softplus"})})
    object_big: bool = parameter(True, "object.big", "reconstruct an object larger than a patch",
        source="ModelConfig.object_big", to={"training.unmerged_weight": switch(KEEP, off=1.0)})
    probe_big: bool = parameter(True, "probe.big", "let the probe fill the whole patch", source="ModelConfig.probe_big",
        to={"model.field": switch("whole", off="centre")})
    probe_mask: bool = parameter(False, "probe.mask", "confine the probe by a mask", source="ModelConfig.probe_mask",
        by=_IS_GIVEN, refused="the probe is refined from the patterns, and a mask would not hold")
    pad_object: bool = parameter(True, "pad_object", "pad the object around the patch",
        idle="the canvas follows from the positions")
    probe_scale: float = parameter(4.0, "probe_scale", "factor that normalises the probe",
        source="DataConfig.probe_scale", idle="probes are scaled to the measured photons", above=0)
    gaussian_smoothing_sigma: float = parameter(0.0, "gaussian_smoothing_sigma", "width of the object's smoothing",
        refused="patches are not smoothed; a penalty on their variation is there instead", unit="px", at_least=0)


@dataclass(frozen=True, kw_only=True)
class LegacyTask(Settings):
    """What training and inference have in common.

    The client's n_subsample counts neighbours, not patterns: the canonical one does not come from it.
    """

    model: LegacyModel = setting(LegacyModel(), help="the model to train or to use")
    test_data_file: Path | None = parameter(None, "test_data_file_path", "scan to test on, or to reconstruct")
    n_groups: int | None = parameter(None, "n_groups", "groups to draw; none: one a pattern",
        to={"training.groups_per_epoch": _GROUPS}, at_least=1)
    n_subsample: int | None = parameter(None, "n_subsample", "patterns to keep before grouping; none: all", at_least=1)
    subsample_seed: int | None = parameter(None, "subsample_seed", "seed of every draw; none: 0",
        source="DataConfig.subsample_seed", to={"training.seed": _SEED}, at_least=0)
    neighbor_count: int = parameter(4, "neighbor_count", "neighbours that a group is drawn from", source="DataConfig.K",
        to={"training.neighbours": whole(1)}, at_least=1)


@dataclass(frozen=True, kw_only=True)
class LegacyTraining(LegacyTask):
    """Training in the canonical names."""

    train_data_file: Path = parameter(MISSING, "train_data_file_path", "scan to train on")
    batch_size: int = parameter(16, "batch_size", "groups in a step", source="TrainingConfig.batch_size",
        to={"training.batch_size": whole(1)}, at_least=1)
    nepochs: int = parameter(50, "nepochs", "passes over the training groups", source="TrainingConfig.epochs",
        to={"training.epochs": whole(1)}, at_least=1)
    mae_weight: float = parameter(0.0, "mae_weight", "weight of the amplitudes' mean error", at_least=0)
    nll_weight: float = parameter(1.0, "nll_weight", "weight of the counts' likelihood", source="TrainingConfig.nll",
        by=switch(1.0, off=0.0), at_least=0)
    realspace_mae_weight: float = parameter(0.0, "realspace_mae_weight", "weight of the object's mean error",
        refused=_OBJECT_ALONE, at_least=0)
    realspace_weight: float = parameter(0.0, "realspace_weight", "weight of the object's loss", refused=_OBJECT_ALONE,
        at_least=0)
    nphotons: float = parameter(_LEGACY_PHOTONS, "nphotons", "mean photons of a pattern", source="DataConfig.nphotons",
        by=_PHOTONS, unit="photons", above=0)
    positions_provided: bool = parameter(True, "positions.provided", "the scan tells its positions",
        refused="positions come with the scan")
    probe_trainable: bool = parameter(False, "probe.trainable", "refine the probe",
        to={"training.bootstrap_epochs": switch(KEEP, off=0), "refine.probe_start": switch(KEEP, off=1.0)})
    intensity_scale_trainable: bool = parameter(True, "intensity_scale.trainable",
        "refine the scale between counts and network", source="ModelConfig.intensity_scale_trainable",
        idle="the scale is solved in closed form from the measured photons")
    output_dir: Path = parameter(_OUTPUT_DIR, "output_prefix", "folder of the results",
        source="TrainingConfig.output_dir", by=_FOLDER)
    sequential_sampling: bool = parameter(False, "sequential_sampling",
        "take the first patterns instead of random ones", acts_when=given("n_subsample"))


@dataclass(frozen=True, kw_only=True)
class LegacyInference(LegacyTask):
    """Inference in the canonical names."""

    model_path: Path = parameter(MISSING, "model_path", "folder of the model's wts.h5.zip")
    output_dir: Path = parameter(Path("inference_outputs"), "output_prefix", "folder of the results")
    debug: bool = parameter(False, "debug", "keep what helps to find a fault")


# fmt: on
LegacySection = LegacyModel | LegacyTask
KEYS: dict[str, str] = {
    field.name: field.metadata["key"]
    for section in (LegacyModel, LegacyTraining, LegacyInference)
    for field in fields(section)
    if "key" in field.metadata
}


def flatten(section: LegacySection) -> dict[str, Any]:
    """The flat parameters of a section, those of the model it holds among them; paths become strings."""
    return _flat({field: getattr(section, field.name) for field in fields(section)})


def flat_defaults(*sections: type[LegacySection]) -> dict[str, Any]:
    """The flat parameters of sections where nothing is set, None for what must be given.

    Of a key that several sections have the last one counts.
    """
    return _flat(
        {
            field: None if field.default is MISSING else field.default
            for section in sections
            for field in fields(section)
        }
    )


def _flat(values: Mapping[Field[Any], Any]) -> dict[str, Any]:
    """Values of fields under their flat keys, as plain builtins."""
    flat: dict[str, Any] = {}
    for field, value in values.items():
        if isinstance(value, LegacyModel):
            flat |= flatten(value)
        else:
            flat[field.metadata["key"]] = str(value) if isinstance(value, str | Path) else value
    return flat


def update_legacy_dict(cfg: MutableMapping[str, Any], section: LegacySection) -> None:
    """Write the flat parameters of a section into a dictionary, this module's `cfg` or any other.

    Every key of the section is written, None included: what is not set must not stay as it was yesterday. Other keys
    are left alone.
    """
    cfg.update(flatten(section))


def snapshot() -> dict[str, Any]:
    """A copy of `cfg`, for a caller who has to give it back as it was found."""
    return dict(cfg)


def restore(saved: Mapping[str, Any]) -> None:
    """Make `cfg` hold exactly what was saved; the dictionary itself stays the same object."""
    cfg.clear()
    cfg.update(saved)


@contextmanager
def restored(saved: Mapping[str, Any]) -> Iterator[None]:
    """Make `cfg` hold exactly what was saved before something is done, and what it held before where that fails."""
    before = snapshot()
    restore(saved)
    try:
        yield
    except BaseException:
        restore(before)
        raise
