"""From groups, overrides and interpolations to one resolved configuration, every key and value checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ptycho_torch.config.fields import Settings
from ptycho_torch.errors import ConfigError
from ptycho_torch.run.allowed import TARGET, check_targets
from ptycho_torch.run.files import check_files
from ptycho_torch.run.nodes import store_schema
from ptycho_torch.run.stages import LAUNCHER, RUN, STAGES, Stage

CONFIGURATIONS = Path(__file__).parent / "conf"


@dataclass(frozen=True)
class Configuration:
    """A resolved configuration, all of it plain values.

    Attributes:
        values: by section, and by name.
    """

    values: dict[str, Any]

    @property
    def stage(self) -> Stage:
        """The stage that it describes."""
        return STAGES[self.values[RUN]["stage"]]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command that are not settings."""
        return {key: value for key, value in self.values[RUN].items() if key != "stage"}

    @cached_property
    def sections(self) -> dict[str, Settings]:
        """The settings by section."""
        return {name: _read_section(name, kind, self.values[name]) for name, kind in self.stage.sections.items()}


@contextmanager
def open_groups(folder: Path | None = None) -> Iterator[None]:
    """Let Hydra find the groups of this package and, before them, those of a folder.

    Raises:
        ConfigError: a file in the folder cannot be used.
    """
    if folder is not None:
        check_files(folder)
    store_schema()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str((folder or CONFIGURATIONS).resolve()), version_base="1.3"):
        yield


def compose_configuration(name: str, overrides: Sequence[str], *, own_groups: bool = True) -> Configuration:
    """Compose, resolve and check a configuration while `open_groups` is open.

    Args:
        name: a stage, or a file in the folder of configurations.
        overrides: in Hydra's grammar.
        own_groups: whether the folder that is open is the one of this package.

    Raises:
        ConfigError: a key, an option of a group or a value is unknown or unusable.
    """
    search = [] if own_groups else [f"hydra.searchpath=[pkg://{__package__}.conf]"]
    parsed = parse_overrides(overrides)
    with _explain_failure():
        composed = compose(name, [*search, *(_get_text(override) for override in parsed)])
    return resolve(composed)


def resolve(composed: DictConfig) -> Configuration:
    """Resolve the interpolations of a configuration and check everything in it.

    Raises:
        ConfigError: something cannot be resolved, is forbidden, unknown or unusable.
    """
    with _explain_failure():
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    check_targets(plain)
    return check_values(plain)


def check_values(values: dict[str, Any]) -> Configuration:
    """Check the sections and options of plain values.

    Raises:
        ConfigError: a section, a key or a value is unknown or unusable.
    """
    run = values.get(RUN)
    name = run.get("stage") if isinstance(run, dict) else None
    if not isinstance(name, str) or name not in STAGES:
        raise ConfigError(f"{RUN}.stage is {name!r}; it must be one of {', '.join(STAGES)}")
    stage = STAGES[name]
    known = [*stage.sections, RUN, LAUNCHER]
    for section in values:
        if section not in known:
            raise ConfigError(f"{section!r} is not a part of a configuration of {name}; it has {', '.join(known)}")
    for section in known:
        if not isinstance(values.get(section), dict):
            raise ConfigError(f"{section} is {values.get(section)!r}; it must be a mapping of settings")
    configuration = Configuration(values)
    configuration.sections  # noqa: B018 - they are checked as they are read
    stage.parse(configuration.options)
    return configuration


def _read_section(name: str, kind: type[Settings], node: Mapping[str, Any]) -> Settings:
    values = {key: value for key, value in node.items() if key != TARGET}
    known = kind.find_types()
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}{_suggest(str(key), known)}")
        problem = kind.find_problem(key, value)
        if problem:
            raise ConfigError(f"{name}.{key} {problem}")
    return kind.from_dict(values)


def _suggest(wrong: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(wrong, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides, and refuse those of Hydra's own settings.

    Raises:
        ConfigError: an override cannot be parsed or concerns Hydra itself.
    """
    parsed: list[Override] = []
    for text in overrides:
        with _explain_failure(f"{text[:200]!r}: "):
            parsed += OverridesParser.create().parse_overrides([text])
        key = parsed[-1].get_key_element().lstrip("+~")
        if key == "hydra" or key.startswith(("hydra.", "hydra/", "hydra@")):
            raise ConfigError(f"{text[:200]!r}: settings of Hydra itself cannot be changed; --help shows what can")
    return parsed


def _get_text(override: Override) -> str:
    assert override.input_line is not None
    return override.input_line


@contextmanager
def _explain_failure(place: str = "") -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into ConfigError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(place + _describe(error)) from error


def _describe(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
