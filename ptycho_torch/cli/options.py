"""Command-line options made from the schema, so that a setting is declared once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

from ptycho_torch.config.fields import Settings

S = TypeVar("S", bound=Settings)

_ALIASES = {"epochs": ["max_epochs"], "steps": ["max_steps"]}
_EMPTY = "none"


class Parser(argparse.ArgumentParser):
    """A parser whose complaints fit on one line; options may be written with dashes or underscores."""

    def __init__(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401 - argparse's own signature
        super().__init__(*args, **{"allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def underscored(arguments: Iterable[str]) -> list[str]:
    """`--batch-size=4` as `--batch_size=4`; values are left alone."""
    result = []
    for argument in arguments:
        name, separator, value = argument.partition("=")
        result.append("--" + name[2:].replace("-", "_") + separator + value if name.startswith("--") else argument)
    return result


def add_settings(
    parser: argparse.ArgumentParser, section: type[Settings], *, prefix: str = "", only: Iterable[str] | None = None
) -> None:
    """Add an option for each setting of a section.

    Args:
        parser: gets the options.
        section: the section of the schema.
        prefix: put before each name.
        only: names to add; all without it.
    """
    group = parser.add_argument_group((section.__doc__ or "").splitlines()[0])
    for name, kind in section.types().items():
        if only is not None and name not in only:
            continue
        declared = section.__dataclass_fields__[name]
        unit = f" [{declared.metadata['unit']}]" if declared.metadata["unit"] else ""
        text = f"{declared.metadata['help']}{unit}".replace("%", "%%")
        names = [f"--{prefix}{name}", *(f"--{alias}" for alias in ([] if prefix else _ALIASES.get(name, [])))]
        if kind.base is bool:
            _add_switch(group, prefix + name, text, on=bool(declared.default))
        else:
            default = "" if declared.default is None else f" (default: {_shown(declared.default)})"
            group.add_argument(
                *names,
                dest=prefix + name,
                type=_or_empty(kind.base) if kind.optional else kind.base,
                choices=kind.choices or None,
                metavar=None if kind.choices else kind.base.__name__.upper(),
                help=text + default,
            )


def _add_switch(group: Any, name: str, text: str, *, on: bool) -> None:  # noqa: ANN401 - argparse hides the class
    # both words work, since what is overridden need not be the default; the help shows the one that changes it
    yes, no = (argparse.SUPPRESS, f"do not: {text}") if on else (text, argparse.SUPPRESS)
    group.add_argument(f"--{name}", dest=name, action="store_true", default=None, help=yes)
    group.add_argument(f"--no_{name}", dest=name, action="store_false", default=None, help=no)


def _or_empty(base: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:  # noqa: ANN401 - whatever the setting holds
        return text if text == _EMPTY else base(text)

    # argparse calls a value that cannot be converted by the name of the function
    convert.__name__ = base.__name__
    return convert


def _shown(value: Any) -> str:  # noqa: ANN401 - numbers and words alike
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_from(
    namespace: argparse.Namespace,
    section: type[S],
    *,
    prefix: str = "",
    only: Iterable[str] | None = None,
    base: S | None = None,
) -> S:
    """Settings from parsed options; what was not given comes from `base`, or from the defaults.

    Raises:
        ConfigError: a value is unusable.
    """
    values = (base or section()).to_dict()
    for field in fields(section):
        if only is not None and field.name not in only:
            continue
        given = getattr(namespace, prefix + field.name, None)
        if given is not None:
            values[field.name] = None if given == _EMPTY else given
    return section.from_dict(values)
