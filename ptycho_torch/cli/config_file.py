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
from ptycho_torch.migrations.chain import VERSION, WRITER, is_newer_writer
from ptycho_torch.migrations.fields import keep_known
from ptycho_torch.migrations.settings_files import SETTINGS
from ptycho_torch.storage.untrusted import explain_damage

_LARGEST_BYTES = 2**20

SECTIONS: dict[str, type[Settings]] = {
    name: getattr(config, f"{name.capitalize()}Settings")
    for name in (
        "data",
        "simulation",
        "pretraining",
        "model",
        "training",
        "trainer",
        "inference",
        "refine",
        "tracking",
        "drift",
        "registry",
    )
}


# what a file states beside its sections
_MARKS = (VERSION, WRITER)


class _Loader(yaml.SafeLoader):
    """A loader of plain values, without references and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - yaml's own signature
        """Refuse references, of which a few lines can expand to more values than memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="references are unsupported", problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401 - yaml's own signature
        """Refuse a key that occurs twice; yaml would keep the last value."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not a string", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} occurs twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3, which has no point, as a string
_LOADER_FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _LOADER_FLOAT, list("-+0123456789"))


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Read the settings in a file, by section.

    Raises:
        ConfigError: the file is unreadable, or a section, a key or a value is unknown or unusable.
    """
    content = parse_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of sections: {', '.join(SECTIONS)}")
    try:
        content = SETTINGS.upgrade(content, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    # names in a file that was printed by another version are not typing errors
    if is_newer_writer(content):
        content = keep_known({name: values for name, values in content.items() if name not in _MARKS}, path, SECTIONS)
    content = {name: {} if values is None else values for name, values in content.items() if name not in _MARKS}
    for name, values in content.items():
        if name not in SECTIONS:
            raise ConfigError(f"{path}: {name!r} is not a section; the sections are {', '.join(SECTIONS)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: {name} must be a mapping of settings")
        known = SECTIONS[name].find_types()
        for key, value in values.items():
            if key not in known:
                raise ConfigError(f"{path}: {name} has no setting {key!r}; it has {', '.join(known)}")
            problem = SECTIONS[name].find_problem(key, value)
            if problem:
                raise ConfigError(f"{path}: {name}.{key} {problem}")
    return content


def print_config(**sections: Settings) -> None:
    """Print settings as the text of a settings file, by section."""
    values = {name: settings.to_dict() for name, settings in sections.items()}
    print(yaml.safe_dump({**SETTINGS.mark(), **values}, sort_keys=False), end="")


def parse_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever the file contains
    """Read a file of plain values: without references, tags of Python and repeated keys; an empty mapping if empty.

    Raises:
        ConfigError: the file is too large, unreadable or not such YAML.
    """
    try:
        with explain_damage(path, "YAML file", ConfigError), path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
            if len(text) > _LARGEST_BYTES:
                raise ConfigError(f"{path}: is larger than {_LARGEST_BYTES // 2**20} MiB, the limit for settings files")
            content = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}; the file must be YAML with a mapping by section") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not a readable YAML file ({type(error).__name__})") from error
    return {} if content is None else content
