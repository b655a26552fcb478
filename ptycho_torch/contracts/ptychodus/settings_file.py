"""The client's settings file, an INI file in its workflow directory, read to configurations and written back."""

from __future__ import annotations

import configparser
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptycho_torch.contracts.ptychodus.configs import SECTIONS, DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.field import rows_of
from ptycho_torch.errors import ConfigError
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

SETTINGS_NAME = "settings.ini"
_LIBRARY = "ptychopinn-torch"
_TRUE = ("1", "true", "t", "yes", "y")
_LARGEST_BYTES = 2**20
# a setting of the client's process, which it does not send
_UNSENT = "visible_gpu_indices"
_TABLE = {f"PtychoPINNTorch{name.capitalize()}": (name, rows_of(owner)) for name, owner in SECTIONS.items()}


@dataclass
class ClientSettings:
    """What a settings file says to this backend."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)


def read_settings(path: Path) -> ClientSettings:
    """Read a settings file; what it leaves out keeps the client's default, and unknown names are warned about.

    Raises:
        ConfigError: it is no settings file, or a value is of the wrong kind.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(f"{path}: is {path.stat().st_size} bytes long; that is no settings file")
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
            _log.warning("%s: [%s] %s is not known and changes nothing", path, title, written)
    _follow(settings, parser.get("Processing", "Algorithm", fallback=""), path)
    return settings


def _read(path: Path, section: configparser.SectionProxy, names: list[str], default: Any) -> Any:  # noqa: ANN401
    parts = default if isinstance(default, tuple) else (default,)
    values = [
        _value(f"{path}: [{section.name}] {name}", section[name], part) if name in section else part
        for name, part in zip(names, parts, strict=True)
    ]
    return tuple(values) if isinstance(default, tuple) else values[0]


def _value(label: str, text: str, default: Any) -> Any:  # noqa: ANN401
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
        wanted = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigError(f"{label} is {text!r}; {wanted} is needed") from error


def _follow(settings: ClientSettings, algorithm: str, path: Path) -> None:
    """Set what the client derives from the number of channels, and from the algorithm."""
    for row in rows_of(ModelConfig):
        if row.meaning.usual:
            setattr(settings.model, row.name, row.meaning.usual(settings.data))
    library, _, mode = algorithm.strip().casefold().rpartition("_")
    if library == _LIBRARY:
        settings.model.mode = mode.capitalize()
    elif algorithm:
        _log.warning("%s: is for the algorithm %s; what it says to %s is used", path, algorithm, _LIBRARY)


def write_settings(settings: ClientSettings, path: Path) -> None:
    """Write every setting of this backend, whole or not at all, with the algorithm chosen.

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
