"""The flat parameters that legacy code reads from a module-wide dictionary (CONFIG-001): written here, never read.

Three small sections hold the canonical names that legacy code and its clients share, each with its flat key. They are a
view for others: nothing inside the package is steered by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ptycho_torch.config.fields import Settings, setting

cfg: dict[str, Any] = {}

# channels of a network whose n_filters_scale is 1
CHANNELS_PER_FILTER_SCALE = 12
# what this package calls the activations of amp_activation; relu has no counterpart
ACTIVATIONS: dict[str, Literal["softplus", "sigmoid", "silu"]] = {
    "swish": "silu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
}


@dataclass(frozen=True, kw_only=True)
class LegacyModel(Settings):
    """Network and optics in the canonical names."""

    N: Literal[64, 128, 256] = setting(64, legacy="N", unit="px", help="side of the patterns")
    gridsize: int = setting(1, legacy="gridsize", at_least=1, help="side g of the g × g patterns of a group")
    n_filters_scale: int = setting(2, legacy="n_filters_scale", at_least=1, help="factor on the network's channels")
    model_type: Literal["pinn", "supervised"] = setting(
        "pinn", legacy="model_type", help="learn through the physics, or from known objects"
    )
    amp_activation: Literal["sigmoid", "swish", "softplus", "relu"] = setting(
        "sigmoid", legacy="amp_activation", help="activation of the amplitude"
    )
    object_big: bool = setting(True, legacy="object.big", help="reconstruct an object larger than a patch")
    probe_big: bool = setting(True, legacy="probe.big", help="let the probe fill the whole patch")
    probe_mask: bool = setting(False, legacy="probe.mask", help="confine the probe by a mask")
    pad_object: bool = setting(True, legacy="pad_object", help="pad the object around the patch")
    probe_scale: float = setting(4.0, legacy="probe_scale", above=0, help="factor that normalises the probe")
    gaussian_smoothing_sigma: float = setting(
        0.0, legacy="gaussian_smoothing_sigma", unit="px", at_least=0, help="width of the object's smoothing"
    )


@dataclass(frozen=True, kw_only=True)
class LegacyTask(Settings):
    """What training and inference have in common."""

    model: LegacyModel = setting(LegacyModel(), help="the model to train or to use")
    test_data_file: Path | None = setting(None, legacy="test_data_file_path", help="scan to test on, or to reconstruct")
    n_groups: int | None = setting(None, legacy="n_groups", at_least=1, help="groups to draw; none: one a pattern")
    n_subsample: int | None = setting(
        None, legacy="n_subsample", at_least=1, help="patterns to keep before grouping; none: all"
    )
    subsample_seed: int | None = setting(None, legacy="subsample_seed", at_least=0, help="seed of every draw; none: 0")
    neighbor_count: int = setting(4, legacy="neighbor_count", at_least=1, help="neighbours that a group is drawn from")


@dataclass(frozen=True, kw_only=True)
class LegacyTraining(LegacyTask):
    """Training in the canonical names."""

    train_data_file: Path = setting(MISSING, legacy="train_data_file_path", help="scan to train on")
    batch_size: int = setting(16, legacy="batch_size", at_least=1, help="groups in a step")
    nepochs: int = setting(50, legacy="nepochs", at_least=1, help="passes over the training groups")
    mae_weight: float = setting(0.0, legacy="mae_weight", at_least=0, help="weight of the amplitudes' mean error")
    nll_weight: float = setting(1.0, legacy="nll_weight", at_least=0, help="weight of the counts' likelihood")
    realspace_mae_weight: float = setting(
        0.0, legacy="realspace_mae_weight", at_least=0, help="weight of the object's mean error"
    )
    realspace_weight: float = setting(0.0, legacy="realspace_weight", at_least=0, help="weight of the object's loss")
    nphotons: float = setting(1e9, legacy="nphotons", unit="photons", above=0, help="mean photons of a pattern")
    positions_provided: bool = setting(True, legacy="positions.provided", help="the scan tells its positions")
    probe_trainable: bool = setting(False, legacy="probe.trainable", help="refine the probe")
    intensity_scale_trainable: bool = setting(
        True, legacy="intensity_scale.trainable", help="refine the scale between counts and network"
    )
    output_dir: Path = setting(Path("training_outputs"), legacy="output_prefix", help="folder of the results")
    sequential_sampling: bool = setting(
        False, legacy="sequential_sampling", help="take the first patterns instead of random ones"
    )


@dataclass(frozen=True, kw_only=True)
class LegacyInference(LegacyTask):
    """Inference in the canonical names."""

    model_path: Path = setting(MISSING, legacy="model_path", help="folder of the model's wts.h5.zip")
    output_dir: Path = setting(Path("inference_outputs"), legacy="output_prefix", help="folder of the results")
    debug: bool = setting(False, legacy="debug", help="keep what helps to find a fault")


LegacySection = LegacyModel | LegacyTask


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
            flat[field.metadata["legacy"]] = str(value) if isinstance(value, str | Path) else value
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
