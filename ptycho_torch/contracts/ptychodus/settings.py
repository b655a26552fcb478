"""The client's settings, as an experiment of this package and in its workflow directory, with the model there."""

from __future__ import annotations

import configparser
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.ptychodus.configs import SECTIONS, DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.field import convert_fields, list_rows, make_experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.formats.find import find_scans
from ptycho_torch.formats.ptychodus_folder import DIFFRACTION_NAME, FORMAT, write_workflow_directory
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

Bounds = tuple[float, float]
MODEL_NAME = "model.ckpt"
SETTINGS_NAME = "settings.ini"
_LIBRARY = "ptychopinn-torch"
_TRUE = ("1", "true", "t", "yes", "y")
_LARGEST_BYTES = 2**20
# a setting of the client's process, which it does not send
_UNSENT = "visible_gpu_indices"
_TABLE = {f"PtychoPINNTorch{name.capitalize()}": (name, list_rows(owner)) for name, owner in SECTIONS.items()}


@dataclass(frozen=True)
class ClientExperiment:
    """What the client asks for.

    Attributes:
        experiment: all settings of this package.
        x_bounds: part of the scan's width used for training, as two fractions.
        y_bounds: likewise, of its height.
        level_probe: remove the initial probe's mean phase ramp.
        device: where to train: `cuda`, `cuda:N`, `cpu` or `auto`.
        warmup_epochs: epochs over which the learning rate rises.
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
    """Read the client's configurations; each field that is set and has no effect is named in a warning.

    Raises:
        ConfigError: a field has an unusable value.
    """
    match data.grid_size:
        case [rows, columns] if rows == columns and rows >= 1:
            pass
        case _:
            raise ConfigError(f"DataConfig.grid_size is {data.grid_size}; it must be square, such as (2, 2)")
    if model.batch_norm and (data.normalize, data.data_scaling) != ("Batch", "Parseval"):
        raise ConfigError(
            f"DataConfig.normalize and data_scaling are {data.normalize!r} and {data.data_scaling!r}; they must be "
            "'Batch' and 'Parseval' with batch_norm, since other scales of the patterns would affect the result"
        )
    settings = convert_fields((data, model, training, inference))
    settings |= {"training.warmup_steps": 0} | _fit_neighbours(data, settings)
    own = {path: value for path, value in settings.items() if "." not in path}
    return ClientExperiment(experiment=make_experiment(settings), **own)


def _fit_neighbours(data: DataConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Enough neighbours for a group, after a check of the range of distances."""
    needed = settings["training.group_size"] - 1
    least, most = settings.get("training.least_distance_px"), settings.get("training.greatest_distance_px")
    if needed > data.K:
        _log.warning("DataConfig.K is %d; %d neighbours are used for groups of %d", data.K, needed, needed + 1)
    if least is not None and most is not None and most <= least:
        raise ConfigError(f"DataConfig.max_neighbor_distance is {most!r}; it must exceed the minimum, {least!r}")
    found = settings.get("training.neighbours")
    return {} if found is None else {"training.neighbours": max(found, needed, 1)}


@dataclass
class ClientSettings:
    """What a settings file specifies for this backend."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)


def find_settings(data: Path) -> Path | None:
    """The settings file that belongs to scans; None unless they are from a workflow directory that has one."""
    path = (data if data.is_dir() else data.parent) / SETTINGS_NAME
    in_use = path.is_file() and all(format is FORMAT for _, format in find_scans(data))
    return path if in_use else None


def read_settings(path: Path) -> ClientSettings:
    """Read a settings file; what it omits keeps the client's default, and each unknown name is warned about.

    Raises:
        ConfigError: it is not a settings file, or a value is of the wrong kind.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(f"{path}: has {path.stat().st_size} bytes; a settings file has at most {_LARGEST_BYTES}")
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise ConfigError(f"{path}: is not a readable settings file ({str(error).splitlines()[0]})") from error
    settings = ClientSettings()
    for title, (name, rows) in _TABLE.items():
        if not parser.has_section(title):
            continue
        config, section = getattr(settings, name), parser[title]
        for row in rows:
            if any(written in section for written in row.setting_names):
                setattr(config, row.name, _read(path, section, row.setting_names, row.default))
        known = {written.lower() for row in rows for written in row.setting_names} | {_UNSENT}
        for written in sorted(set(section) - known - set(parser.defaults())):
            _log.warning("%s: [%s] %s is unknown and has no effect", path, title, written)
    _derive(settings, parser.get("Processing", "Algorithm", fallback=""), path)
    return settings


def _read(path: Path, section: configparser.SectionProxy, names: list[str], default: Any) -> Any:  # noqa: ANN401
    parts = default if isinstance(default, tuple) else (default,)
    values = [
        _parse(f"{path}: [{section.name}] {name}", section[name], part) if name in section else part
        for name, part in zip(names, parts, strict=True)
    ]
    return tuple(values) if isinstance(default, tuple) else values[0]


def _parse(label: str, text: str, default: Any) -> Any:  # noqa: ANN401
    if isinstance(default, bool):
        return text.lower() in _TRUE
    if isinstance(default, str):
        return text
    if default is None and text.casefold() in ("none", "0", "0.0"):
        return None
    try:
        return float(text) if default is None else type(default)(text)
    except ValueError as error:
        if default is None:
            return text
        wanted = "an integer" if isinstance(default, int) else "a number"
        raise ConfigError(f"{label} is {text!r}; it must be {wanted}") from error


def _derive(settings: ClientSettings, algorithm: str, path: Path) -> None:
    """Set what the client derives from the number of channels, and from the algorithm."""
    for row in list_rows(ModelConfig):
        if row.meaning.usual:
            setattr(settings.model, row.name, row.meaning.usual(settings.data))
    library, _, mode = algorithm.strip().casefold().rpartition("_")
    if library == _LIBRARY:
        settings.model.mode = mode.capitalize()
    elif algorithm:
        _log.warning("%s: is for the algorithm %s; its settings for %s are used", path, algorithm, _LIBRARY)


def write_settings(settings: ClientSettings, path: Path) -> None:
    """Write every setting of this backend atomically, with its algorithm selected.

    Raises:
        OutputError: it cannot be written there.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser["Processing"] = {"Algorithm": f"{_LIBRARY}_{settings.model.mode.lower()}"}
    for title, (section, rows) in _TABLE.items():
        parser.add_section(title)
        for row in rows:
            value = getattr(getattr(settings, section), row.name)
            for name, part in zip(row.setting_names, value if isinstance(value, tuple) else (value,), strict=False):
                # the client writes a gradient that is not clipped as 0
                none = "0.0" if name == "gradient_clip_val" else "None"
                parser.set(title, name, none if part is None else str(part))
    text = io.StringIO()
    parser.write(text)
    with write_atomically(path) as file:
        file.write(text.getvalue().encode())


def read_experiment(settings_file: Path) -> ClientExperiment:
    """What a settings file asks for; errors are those of `read_settings` and `translate`."""
    _log.info("%s: training starts from its settings; options override them", settings_file)
    found = read_settings(settings_file)
    return translate(found.data, found.model, found.training, found.inference)


def folder_files(folder: Path) -> list[Path]:
    """The files that `write_folder` writes."""
    return [folder / name for name in (DIFFRACTION_NAME, PRODUCT_NAME, SETTINGS_NAME)]


def write_folder(scan: Scan, folder: Path) -> None:
    """Write a scan with the client's default settings, except for the size of the patterns."""
    write_workflow_directory(scan, folder)
    write_settings(ClientSettings(DataConfig(N=scan.patch_px)), folder / SETTINGS_NAME)
