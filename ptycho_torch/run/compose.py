"""From groups, overrides and interpolations to one resolved configuration, every key and value checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ptycho_torch.cli.command import RUN, Command
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.run.allowed import TARGET, check_targets
from ptycho_torch.run.files import check_files
from ptycho_torch.run.nodes import LAUNCHER, SWEEP, store_schema
from ptycho_torch.run.stages import STAGES

CONFIGURATIONS = Path(__file__).parent / "conf"
_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Configuration:
    """A resolved configuration that has been checked, all of it plain values.

    Attributes:
        values: by section, then by name.
    """

    values: dict[str, Any]

    @property
    def stage(self) -> Command:
        """The stage that it describes."""
        return STAGES[self.values[RUN]["stage"]]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command that are not settings."""
        return {key: value for key, value in self.values[RUN].items() if key != "stage"}

    @cached_property
    def sections(self) -> dict[str, Settings]:
        """The settings of the command by section."""
        kinds = self.stage.sections
        return {name: _read_section(name, kind, self.values[name]) for name, kind in kinds.items()}

    @cached_property
    def sweep(self) -> SweepSettings:
        """How to search for the best of several configurations."""
        found = _read_section(SWEEP, SweepSettings, self.values[SWEEP])
        assert isinstance(found, SweepSettings)
        return found


@dataclass(frozen=True)
class Composer:
    """Composes configurations of a stage while its groups are open; `open_composer` makes one.

    Attributes:
        stage: the stage.
        name: the configuration to begin with: the stage's own, or a file in the user's folder.
        searched: overrides that let Hydra find the groups of this package.
    """

    stage: Command
    name: str
    searched: tuple[str, ...] = ()

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose a configuration, interpolations unresolved.

        Raises:
            ConfigError: a key or an option of a group is unknown, or a file cannot be used.
        """
        for override in parse_overrides(overrides):
            self._check_key(override)
        with _explain_failure():
            return compose(self.name, [*self.searched, *overrides])

    def resolve(self, overrides: Sequence[str]) -> Configuration:
        """Compose a configuration, resolve its interpolations, and check everything in it.

        Raises:
            ConfigError: something is unknown, forbidden or unusable.
        """
        composed = self.compose(overrides)
        with _explain_failure():
            values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        run = values.get(RUN) if isinstance(values, dict) else None
        if isinstance(run, dict) and run.get("stage") != self.stage.name:
            raise ConfigError(f"{RUN}.stage is {run.get('stage')!r}; it must be {self.stage.name!r} here")
        return check_values(values)

    def _check_key(self, override: Override) -> None:
        """Refuse a key that its section does not have, naming the one that may be meant."""
        section, _, name = override.get_key_element().partition(".")
        kinds: dict[str, type[Settings]] = {**self.stage.sections, SWEEP: SweepSettings}
        known: Collection[str] | None = self.stage.options if section == RUN else None
        if section in kinds:
            known = kinds[section].find_types()
        if known is not None and name and name not in (*known, TARGET, "stage"):
            raise ConfigError(f"{section} has no setting {name!r}{_suggest(name, known)}")

    def print(self, overrides: Sequence[str], *, resolve: bool) -> str:
        """A configuration that has been checked, as YAML.

        Raises:
            ConfigError: something is unknown, forbidden or unusable.
        """
        self.resolve(overrides)
        return OmegaConf.to_yaml(self.compose(overrides), resolve=resolve)

    def list_options(self, group: str) -> list[str]:
        """The options of a group, by name."""
        with _explain_failure():
            return sorted(GlobalHydra.instance().config_loader().get_group_options(group))


@contextmanager
def open_composer(stage: Command, name: str | None = None, folder: Path | None = None) -> Iterator[Composer]:
    """Let Hydra find the groups of this package and, before them, those of a folder.

    Args:
        stage: the stage to compose configurations of.
        name: the configuration to begin with; by default that of the stage.
        folder: a folder of further configurations and options of groups.

    Raises:
        ConfigError: a file in the folder cannot be used.
    """
    if folder is not None:
        check_files(folder)
    store_schema(stage)
    GlobalHydra.instance().clear()
    searched = (f"hydra.searchpath=[pkg://{__package__}.conf]",) if folder else ()
    with initialize_config_dir(str((folder or CONFIGURATIONS).resolve()), version_base="1.3"):
        yield Composer(stage, name or stage.name, searched)


def check_values(values: Any) -> Configuration:  # noqa: ANN401 - read from a file or composed
    """Check plain values as a configuration.

    Raises:
        ConfigError: a section, a key or a value is unknown, forbidden or unusable.
    """
    if not isinstance(values, dict):
        raise ConfigError("a configuration must be a mapping of sections")
    check_targets(values)
    run = values.get(RUN)
    name = run.get("stage") if isinstance(run, dict) else None
    if not isinstance(name, str) or name not in STAGES:
        raise ConfigError(f"{RUN}.stage is {name!r}; it must be one of {', '.join(STAGES)}")
    known = [*STAGES[name].sections, RUN, LAUNCHER, SWEEP]
    for section in values:
        if section not in known:
            raise ConfigError(f"{section!r} is not a part of a configuration of {name}; it has {', '.join(known)}")
    for section in known:
        if not isinstance(values.get(section), dict):
            raise ConfigError(f"{section} is {values.get(section)!r}; it must be a mapping of settings")
    configuration = Configuration(values)
    # reading checks
    _ = configuration.sections, configuration.sweep
    stage = configuration.stage
    # 5 may be the name of a folder, and what is null has its default
    options = stage.describe_options(stage.make_namespace(configuration.options, {}))
    return Configuration({**values, RUN: {"stage": stage.name, **options}})


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


def _suggest(wrong: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(wrong, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides in Hydra's grammar, and refuse those of Hydra's own settings.

    Raises:
        ConfigError: an override cannot be parsed or concerns Hydra itself.
    """
    parsed: list[Override] = []
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    for text in overrides:
        with _explain_failure(text):
            (found,) = parser.parse_overrides([text])
        key = found.get_key_element().lstrip("+~")
        if re.match(r"hydra($|\W)", key) or found.package in ("hydra", "_hydra_"):
            raise ConfigError(f"{_shorten(text)}: settings of Hydra itself cannot be changed; --help shows what can")
        parsed.append(found)
    return parsed


@contextmanager
def _explain_failure(override: str | None = None) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into ConfigError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, RecursionError, yaml.YAMLError) as error:
        place = "" if override is None else f"{_shorten(override)}: cannot be read as KEY=VALUE or GROUP=NAME: "
        raise ConfigError(place + _describe(error)) from error


def _shorten(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _describe(error: BaseException) -> str:
    """The reason of a failure in one line."""
    text = " ".join(str(error).split())
    unknown = re.match(r"Could not override '([^']*)'", text)
    if unknown:
        return f"there is no {unknown[1]!r} in this configuration; --help lists its groups and settings"
    missing = re.search(r"Could not find '([^']*)' Available options in '[^']*': (.*) Config search", text)
    if missing:
        return f"there is no {missing[1]!r}; the options of this group are {', '.join(missing[2].split())}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        # the first line is the reason, those below repeat key and types
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    if isinstance(error, RecursionError):
        return "the configuration is nested too deeply, or refers to itself"
    return re.split(r" See https| Config search path:", text)[0] or type(error).__name__
