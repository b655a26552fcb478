"""A command: its options and sections of the schema, and how to call it with values instead of words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NoReturn

from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.cli.options import Parser, find_options
from ptycho_torch.config.fields import Settings
from ptycho_torch.errors import ConfigError

# what the keys of options that are not settings begin with, in messages and in composed configurations
RUN = "run"


class _ValueParser(Parser):
    """A parser of options that are not words of a command line."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError, with keys in place of options."""
        raise ConfigError(message.replace("argument --", f"{RUN}."))


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: its name.
        module: the module with `add_arguments`, `run` and, if it has settings, `SECTIONS`.
        summary: what it does, in a few words.
    """

    name: str
    module: ModuleType
    summary: str

    @property
    def sections(self) -> dict[str, type[Settings]]:
        """The sections of the schema that the command uses, by name."""
        return {name: SECTIONS[name] for name in getattr(self.module, "SECTIONS", ())}

    @cached_property
    def defaults(self) -> dict[str, Settings]:
        """The default settings by section; a command may have other defaults than the schema."""
        own: dict[str, Settings] = getattr(self.module, "DEFAULTS", {})
        return {name: own.get(name) or section() for name, section in self.sections.items()}

    @property
    def metric(self) -> str | None:
        """The figure of the run record by which runs of this command are compared; None without one."""
        return getattr(self.module, "METRIC", None)

    def make_parser(self) -> Parser:
        """Make the parser of the command as a program of its own."""
        parser = Parser(prog=f"ptycho-torch {self.name}", description=self.summary)
        self.module.add_arguments(parser)
        return parser

    @cached_property
    def _parser(self) -> _ValueParser:
        parser = _ValueParser(prog=self.name)
        self.module.add_arguments(parser)
        return parser

    @cached_property
    def options(self) -> dict[str, argparse.Action]:
        """The options that are not settings, by name."""
        return find_options(self._parser)

    @property
    def option_defaults(self) -> dict[str, Any]:
        """The values of these options if none are given, as plain values."""
        return {name: make_plain(action.default) for name, action in self.options.items()}

    def describe_options(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """The values of these options in parsed arguments, as plain values."""
        return {name: make_plain(getattr(arguments, name)) for name in self.options}

    def call(self, options: Mapping[str, Any], settings: Mapping[str, Settings]) -> int:
        """Run the command as a step of another one; returns its exit code.

        Args:
            options: values of options that are not settings; those left out have their defaults.
            settings: settings by section; those that the command does not use are left out.

        Raises:
            PtychoError: the command cannot use them.
        """
        used = {name: section.to_dict() for name, section in settings.items() if name in self.sections}
        namespace = self.make_namespace(options, used)
        namespace.asked = self.describe_options(namespace)
        code: int | None = self.module.run(namespace)
        return code or 0

    def share_options(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """The values of the options that parsed arguments of another command have too, as plain values."""
        return {name: make_plain(getattr(arguments, name)) for name in self.options if hasattr(arguments, name)}

    def make_namespace(
        self, options: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]
    ) -> argparse.Namespace:
        """Make the parsed arguments of a call.

        Args:
            options: values of options that are not settings, as plain values; those left out have their defaults.
            settings: values of settings by section, which need not be complete.

        Raises:
            ConfigError: an option is unknown or its value unusable.
        """
        words: list[str] = []
        for name, value in options.items():
            if name not in self.options:
                raise ConfigError(f"{RUN} has no key {name!r}; it has {', '.join(self.options)}")
            words += _make_words(name, self.options[name], value)
        namespace = self._parser.parse_args(words)
        namespace.command = self.name
        namespace.stored = {name: dict(values) for name, values in settings.items()}
        switches = {name: "=true" if action.nargs == 0 else "" for name, action in self.options.items()}
        namespace.names = {f"--{name}": f"{RUN}.{name}{value}" for name, value in switches.items()}
        return namespace


def make_plain(value: Any) -> Any:  # noqa: ANN401 - whatever an option holds
    """Turn the value of an option into a plain one."""
    if isinstance(value, list | tuple):
        return [make_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | type(None)) else str(value)


def _make_words(name: str, action: argparse.Action, value: Any) -> list[str]:  # noqa: ANN401 - a plain value
    """The words of a command line that give an option a value."""
    option = action.option_strings[0]
    several = action.nargs in ("*", "+") or (isinstance(action.nargs, int) and action.nargs > 0)
    if isinstance(value, Mapping) or (isinstance(value, list) != several and value is not None):
        raise ConfigError(f"{RUN}.{name} is {str(value)[:200]}; it must be {'a list' if several else 'one value'}")
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigError(f"{RUN}.{name} is {value!r}; it must be true or false")
        return [option] if value else []
    if value is None:
        return []
    return [option, *map(str, value)] if several else [f"{option}={value}"]
