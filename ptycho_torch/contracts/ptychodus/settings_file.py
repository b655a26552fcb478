"""The client's settings file, an INI file in its workflow directory, read to configurations and written back."""

from __future__ import annotations

import configparser
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.fields import FIELDS, ClientField
from ptycho_torch.errors import ConfigError
from ptycho_torch.storage.writing import write_whole

_log = logging.getLogger(__name__)

SETTINGS_NAME = "settings.ini"
_PREFIX = "PtychoPINNTorch"
_LIBRARY = "ptychopinn-torch"
_TRUE = ("1", "true", "t", "yes", "y")
_LARGEST_BYTES = 2**20
_FOLLOWING = ("C_model", "C_forward", "decoder_last_amp_channels")
# a setting of the client's process, which it does not send
_UNSENT = ("visible_gpu_indices",)


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
    known: dict[str, set[str]] = {}
    for entry in FIELDS:
        section, names = _PREFIX + entry.section.capitalize(), _names(entry)
        known.setdefault(section, set(_UNSENT)).update(names)
        if parser.has_section(section) and any(name in parser[section] for name in names):
            config = getattr(settings, entry.section)
            default = getattr(config, entry.name)
            setattr(config, entry.name, _read(path, parser[section], names, default))
    for section, expected in known.items():
        found = parser[section] if parser.has_section(section) else ()
        for name in sorted(set(found) - {name.lower() for name in expected} - set(parser.defaults())):
            _log.warning("%s: [%s] %s is not known and changes nothing", path, section, name)
    _follow(settings, parser.get("Processing", "Algorithm", fallback=""), path)
    return settings


def _names(entry: ClientField) -> list[str]:
    return [] if entry.setting.startswith("(") else entry.setting.split(", ")


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
    if default is None or isinstance(default, str):
        return None if default is None and text.casefold() in ("none", "0", "0.0") else _number_or_text(text, default)
    try:
        return type(default)(text)
    except ValueError as error:
        wanted = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigError(f"{label} is {text!r}; {wanted} is needed") from error


def _number_or_text(text: str, default: str | None) -> float | str:
    if default is None:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _follow(settings: ClientSettings, algorithm: str, path: Path) -> None:
    for name in _FOLLOWING:
        setattr(settings.model, name, settings.data.C)
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
    for entry in FIELDS:
        section = _PREFIX + entry.section.capitalize()
        if not parser.has_section(section):
            parser.add_section(section)
        value = getattr(getattr(settings, entry.section), entry.name)
        values = value if isinstance(value, tuple) else (value,)
        for name, part in zip(_names(entry), values, strict=False):
            parser.set(section, name, _text(name, part))
    text = io.StringIO()
    parser.write(text)
    with write_whole(path) as file:
        file.write(text.getvalue().encode())


def _text(name: str, value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "0.0" if name == "gradient_clip_val" else "None"
    return str(value)
