"""Settings files: YAML with one mapping for each section of the schema, every key checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ptycho_torch import config
from ptycho_torch.config.fields import Settings
from ptycho_torch.errors import ConfigError

_LARGEST_BYTES = 2**20

SECTIONS: dict[str, type[Settings]] = {
    name: getattr(config, f"{name.capitalize()}Settings")
    for name in ("data", "simulation", "model", "training", "inference", "refine")
}


class _Loader(yaml.SafeLoader):
    """Plain values only, without references, and with keys that occur once."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - yaml's own signature
        """Refuse references: a few lines of them can stand for more values than memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="references are not read", problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401 - yaml's own signature
        """Refuse a key that occurs twice, of which yaml would keep the last."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} occurs twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-3 for a word, since it has no point
_LOADER_FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _LOADER_FLOAT, list("-+0123456789"))


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Values of the settings that a file names, by section.

    Raises:
        ConfigError: the file cannot be read, or a section, a key or a value is unknown or unusable.
    """
    content = _parse(path)
    for name, values in content.items():
        if name not in SECTIONS:
            raise ConfigError(f"{path}: there is no section {name!r}; there are {', '.join(SECTIONS)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: {name} holds no mapping of settings")
        known = SECTIONS[name].find_types()
        for key, value in values.items():
            if key not in known:
                raise ConfigError(f"{path}: {name} has no setting {key!r}; it has {', '.join(known)}")
            problem = SECTIONS[name].find_problem(key, value)
            if problem:
                raise ConfigError(f"{path}: {name}.{key} {problem}")
    return content


def write_config(sections: Mapping[str, Settings]) -> str:
    """The text of a file that holds these settings, whole."""
    return yaml.safe_dump({name: settings.to_dict() for name, settings in sections.items()}, sort_keys=False)


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(text) > _LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB; a settings file is a few lines")
    try:
        content = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}; YAML with a mapping for each section is needed") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not readable YAML ({type(error).__name__})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no mapping of sections; there are {', '.join(SECTIONS)}")
    return {name: {} if values is None else values for name, values in content.items()}
