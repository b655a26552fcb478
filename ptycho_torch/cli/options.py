"""Command-line options derived from the schema, so that each setting is declared once."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ptycho_torch.config.fields import Settings
from ptycho_torch.runtime.messages import make_line

S = TypeVar("S", bound=Settings)

_ALIASES = {"epochs": ["max_epochs"], "steps": ["max_steps"]}
_EMPTY = "none"
_LABEL = re.compile(r"\b\w+Settings\.\w+|--\w+")


class Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line and accepts no abbreviated options."""

    def __init__(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401 - argparse's own signature
        super().__init__(*args, **{"allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """Print an error in one line and exit with 2."""
        show_error(f"{self.prog}: {make_line(message)} (see {self.prog} --help)")
        sys.exit(2)


def show_error(text: str) -> None:
    """Print a message in one line on standard error, if there is any."""
    # without standard error it can be told nowhere
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(make_line(text), file=sys.stderr)


class Given(NamedTuple):
    """A value with the option as it was typed."""

    value: Any
    option: str


class _Keep(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:  # noqa: ANN401 - argparse's own signature
        setattr(namespace, self.dest, Given(self.const if self.nargs == 0 else values, option_string or self.dest))


def normalise_options(arguments: Iterable[str]) -> list[str]:
    """Write options with underscores, `--batch-size=4` as `--batch_size=4`; values stay unchanged."""
    result = []
    for argument in arguments:
        name, separator, value = argument.partition("=")
        result.append("--" + name[2:].replace("-", "_") + separator + value if name.startswith("--") else argument)
    return result


def explain_unknown(parser: argparse.ArgumentParser, words: list[str]) -> str:
    """Explain words of a command line that a command does not know, with what was probably meant."""
    options, first = list(parser._option_string_actions), words[0].partition("=")[0]
    hint = ""
    if first.startswith("--"):
        near = get_close_matches(first, options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
    elif "--data" in options:
        hint = "; a scan is named by --data"
    return f"unrecognized arguments: {' '.join(words)}{hint}"


def parse_share(text: str) -> float:
    """Parse a number from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the options for settings files."""
    group = parser.add_argument_group("Settings")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file with settings by section; options override it"
    )
    group.add_argument("--print_config", action="store_true", help="print all settings as such a file and exit")


def find_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Find the options of a command that are neither settings nor about files of settings, by name."""
    about = ("help", "config", "print_config")
    return {
        action.dest: action
        for action in parser._actions  # argparse has no public list
        if action.option_strings and action.dest not in about and not isinstance(action, _Keep)
    }


def find_actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Find the parsers of the actions of a command by name; empty if it has none."""
    choices: list[dict[str, argparse.ArgumentParser]] = [
        action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return choices[0] if choices else {}


def add_settings(
    parser: argparse.ArgumentParser, section: type[Settings], *, prefix: str = "", only: Iterable[str] | None = None
) -> None:
    """Add an option for each setting of a section.

    Args:
        parser: gets the options.
        section: the section of the schema.
        prefix: prefix of each name.
        only: names to add; None for all.
    """
    group = parser.add_argument_group((section.__doc__ or "").splitlines()[0])
    for name, kind in section.find_types().items():
        if only is not None and name not in only:
            continue
        declared = section.__dataclass_fields__[name]
        text = _describe(declared.metadata, prefix).replace("%", "%%")
        names = [f"--{prefix}{name}", *(f"--{alias}" for alias in ([] if prefix else _ALIASES.get(name, [])))]
        if kind.base is bool:
            _add_switch(group, prefix + name, text, on=bool(declared.default))
        else:
            default = "" if declared.default is None else f" (default: {_format(declared.default)})"
            group.add_argument(
                *names,
                dest=prefix + name,
                action=_Keep,
                type=_accept_none(kind.base) if kind.optional else kind.base,
                choices=kind.choices or None,
                metavar=None if kind.choices else kind.base.__name__.upper(),
                help=text + default,
            )


def _describe(metadata: Mapping[str, Any], prefix: str) -> str:
    unit = f" [{metadata['unit']}]" if metadata["unit"] else ""
    condition = metadata["acts_when"]
    needs = f"; only if {condition.words.format(section=prefix)}" if condition else ""
    return f"{metadata['help']}{needs}{unit}"


def describe_setting(settings: Settings, name: str, *, prefix: str) -> str:
    """Describe a setting: meaning, condition, unit, choices and default.

    Args:
        settings: the section with its defaults.
        name: name of the setting.
        prefix: prefix of the names of other settings in the condition.
    """
    kind, default = settings.find_types()[name], getattr(settings, name)
    choices = f"; one of {', '.join(map(str, kind.choices))}" if kind.choices else ""
    shown = "none" if default is None else _format(default)
    return f"{_describe(settings.__dataclass_fields__[name].metadata, prefix)}{choices} (default: {shown})"


def _add_switch(group: Any, name: str, text: str, *, on: bool) -> None:  # noqa: ANN401 - argparse hides the class
    # both forms work, since a settings file may change the default; the help shows only the one that differs from it
    yes, no = (argparse.SUPPRESS, f"do not: {text}") if on else (text, argparse.SUPPRESS)
    group.add_argument(f"--{name}", dest=name, action=_Keep, nargs=0, const=True, help=yes)
    group.add_argument(f"--no_{name}", dest=name, action=_Keep, nargs=0, const=False, help=no)


def _accept_none(base: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:  # noqa: ANN401 - whatever the setting holds
        return text if text == _EMPTY else base(text)

    # argparse names the function in the message about a value that cannot be converted
    convert.__name__ = base.__name__
    return convert


def _format(value: Any) -> str:  # noqa: ANN401 - whatever the setting holds
    return f"{value:g}" if isinstance(value, float) else str(value)


def collect_settings(
    namespace: argparse.Namespace,
    section: type[S],
    *,
    prefix: str = "",
    only: Iterable[str] | None = None,
    base: S | None = None,
) -> S:
    """Collect settings from parsed options, then the settings file, then `base` or the defaults.

    The namespace keeps the name by which the user gave, or would give, each setting, for `restore_names`.

    Args:
        namespace: parsed options.
        section: the section of the schema.
        prefix: prefix of the option names.
        only: names that have an option; None for all.
        base: values of settings that neither options nor file contain; None for the defaults.

    Raises:
        ConfigError: a value is unusable.
    """
    values = (base or section()).to_dict()
    name_in_file = section.__name__.removesuffix("Settings").lower()
    stored = getattr(namespace, "stored", {}).get(name_in_file, {})
    names = namespace.__dict__.setdefault("names", {})
    for name in (field.name for field in fields(section)):
        option = f"--{prefix}{name}"
        given = getattr(namespace, prefix + name, None) if only is None or name in only else None
        if isinstance(given, Given):
            values[name] = None if given.value == _EMPTY and section.find_types()[name].optional else given.value
            option = given.option
        elif name in stored:
            values[name] = stored[name]
            # a composed configuration lies in no file
            option = f"{f'{namespace.config}: ' if namespace.config else ''}{name_in_file}.{name}"
        names[f"{section.__name__}.{name}"] = option
    return section.from_dict(values)


def restore_names(text: str, namespace: argparse.Namespace) -> str:
    """Name settings and options in a message as the user gave them: by option, or by file and key."""
    names = getattr(namespace, "names", {})
    return _LABEL.sub(lambda found: names.get(found[0], found[0]), text)
