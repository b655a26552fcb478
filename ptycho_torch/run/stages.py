"""The stages: which command each runs, with its sections of the schema and its other options."""

from __future__ import annotations

from argparse import Action
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.cli.main import COMMANDS
from ptycho_torch.cli.options import Parser, find_options
from ptycho_torch.config.fields import Settings
from ptycho_torch.errors import ConfigError

# commands that are not stages: they call other commands
_NO_STAGES = ("demo", "repeat", "completion")
# groups of options that no section of the schema describes
RUN, LAUNCHER = "run", "launcher"


class _OptionParser(Parser):
    """A parser of options that come from the keys of a configuration."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError, with the keys in place of the options."""
        raise ConfigError(message.replace("argument --", f"{RUN}."))


@dataclass(frozen=True)
class Stage:
    """A command as a stage that a configuration describes.

    Attributes:
        name: the name of the command.
    """

    name: str

    @property
    def summary(self) -> str:
        """What the stage does, in a few words."""
        return COMMANDS[self.name][1]

    @property
    def sections(self) -> dict[str, type[Settings]]:
        """The sections of the schema that the stage uses, by name."""
        return {name: SECTIONS[name] for name in COMMANDS[self.name][0].SECTIONS}

    @cached_property
    def _parser(self) -> _OptionParser:
        parser = _OptionParser(prog=self.name)
        COMMANDS[self.name][0].add_arguments(parser)
        return parser

    @cached_property
    def options(self) -> dict[str, Action]:
        """The options of the command that are not settings, by name."""
        return find_options(self._parser)

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of the options if none are given, as plain values."""
        plain = (bool, int, float, type(None))
        values = {name: action.default for name, action in self.options.items()}
        return {name: value if isinstance(value, plain) else str(value) for name, value in values.items()}

    def parse(self, values: dict[str, Any]) -> Any:  # noqa: ANN401 - argparse's namespace
        """Parse the values of options as the command line would.

        Raises:
            ConfigError: a name is unknown or a value unusable.
        """
        words = []
        for name, value in values.items():
            if name not in self.options:
                raise ConfigError(f"{RUN} has no key {name!r}; it has {', '.join(self.options)}")
            action = self.options[name]
            if isinstance(value, dict | list) and action.nargs is None:
                raise ConfigError(f"{RUN}.{name} is {value!r}; it must be one value")
            if action.nargs == 0:
                if not isinstance(value, bool):
                    raise ConfigError(f"{RUN}.{name} is {value!r}; it must be true or false")
                words += [action.option_strings[0]] if value else []
            elif isinstance(value, list):
                words += [action.option_strings[0], *map(str, value)]
            elif value is not None:
                words.append(f"{action.option_strings[0]}={value}")
        return self._parser.parse_args(words)


STAGES = {name: Stage(name) for name in COMMANDS if name not in _NO_STAGES}
