"""Settings: dataclasses whose fields carry their own checks, units and help.

Every setting of the project is declared once, with `setting(...)`; validation, command-line options, keys of settings
files and the warning about a setting that has no effect are derived from that declaration.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from ptycho_torch.config.conditions import Condition
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

_CONVERTED = (float, Path)
_LONGEST_SHOWN = 500
# the warning about a setting: its name, its value, the condition that is not met
NO_EFFECT = "%s is %r and has no effect unless %s"


def setting(
    default: Any,  # noqa: ANN401 - the field's annotation declares its type; dataclasses work the same way
    *,
    help: str,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    words: tuple[str, ...] = (),
    acts_when: Condition | None = None,
) -> Any:  # noqa: ANN401
    """Declare one setting of a `Settings` class.

    Args:
        default: value if none is given; `dataclasses.MISSING` if one must be given.
        help: one sentence for the command line and the documentation.
        unit: unit of the value, if it has one.
        at_least: lowest allowed value.
        at_most: highest allowed value.
        above: exclusive lower limit.
        words: the words that a text may consist of, joined by `+`; empty for any text.
        acts_when: condition on other settings of the section under which this one has an effect; None for always.
    """
    limits = {"at_least": at_least, "at_most": at_most, "above": above}
    metadata = {"help": help, "unit": unit, "words": words, "acts_when": acts_when, **limits}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The type of a setting: a base type, perhaps restricted to some values, perhaps or None."""

    base: type
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @classmethod
    def of(cls, annotation: Any) -> FieldType:  # noqa: ANN401 - annotations have no common type
        """Read a resolved annotation: int, float, bool, str, Path, Literal[...], or one of them | None."""
        optional = get_origin(annotation) in (Union, UnionType)
        if optional:
            annotation = next(part for part in get_args(annotation) if part is not NoneType)
        choices = get_args(annotation) if get_origin(annotation) is Literal else ()
        return cls(type(choices[0]) if choices else annotation, choices, optional)

    def find_problem(self, value: object) -> str:
        """Find what a value must be and is not; an empty string if it is of this type."""
        if value is None:
            return "" if self.optional else "must not be empty"
        if self.choices:
            fits = isinstance(value, self.base) and value in self.choices
            return "" if fits else f"must be one of {', '.join(map(str, self.choices))}"
        if self.base is float:
            return "" if _is_finite(value) else "must be a finite number"
        if self.base is Path:
            return "" if isinstance(value, (str, Path)) and str(value) else "must be a path"
        fits = isinstance(value, self.base) and (self.base is bool or not isinstance(value, bool))
        return "" if fits else f"must be of type {self.base.__name__}"


# the types of the settings of each section, which take long to read from the annotations
_TYPES: dict[type, dict[str, FieldType]] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all sections of the schema: frozen, keyword-only, checked on construction."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a value has the wrong type or lies outside its range.
        """
        for name, kind in self.find_types().items():
            value = getattr(self, name)
            problem = self.find_problem(name, value)
            if problem:
                raise ConfigError(f"{type(self).__name__}.{name} {problem}")
            if kind.base in _CONVERTED and value is not None:
                object.__setattr__(self, name, kind.base(value))

    @classmethod
    def find_problem(cls, name: str, value: object) -> str:
        """Find what is wrong with a value, in words that follow the setting's name; an empty string if nothing is."""
        limits = cls.__dataclass_fields__[name].metadata
        problem = cls.find_types()[name].find_problem(value)
        if not problem and value is not None:
            problem = _find_range_problem(value, limits) or _find_word_problem(value, limits["words"])
        return problem and f"is {_show(value)}; it {problem}"

    @classmethod
    def find_types(cls) -> dict[str, FieldType]:
        """Find the type of every setting by name, in the order of declaration."""
        if cls not in _TYPES:
            hints = get_type_hints(cls)
            _TYPES[cls] = {field.name: FieldType.of(hints[field.name]) for field in dataclasses.fields(cls)}
        return dict(_TYPES[cls])

    @classmethod
    def find_free_names(cls) -> list[str]:
        """The names of the settings that hold a path or free text."""
        return [
            name
            for name, kind in cls.find_types().items()
            if kind.base in (str, Path) and not kind.choices and not cls.__dataclass_fields__[name].metadata["words"]
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make settings from plain values.

        Raises:
            ConfigError: a name is unknown or a value is unusable.
        """
        known = cls.find_types()
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"{cls.__name__} has no setting {unknown[0]!r}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Convert the settings to plain values."""
        return dataclasses.asdict(self)

    def find_unused(self, base: Self | None = None, *, needs: str = "") -> dict[str, str]:
        """Find the settings that differ from `base` and have no effect, each with the condition that is not met.

        Args:
            base: settings that were not chosen here; by default the defaults.
            needs: a condition that the section as a whole does not meet; empty if it meets all.
        """
        base, prefix, result = base or type(self)(), f"{type(self).__name__}.", {}
        for field in dataclasses.fields(self):
            condition: Condition | None = field.metadata["acts_when"]
            changed = getattr(self, field.name) != getattr(base, field.name)
            if changed and needs:
                result[field.name] = needs
            elif changed and condition and not condition.holds(self):
                result[field.name] = condition.words.format(section=prefix)
        return result

    def warn_unused(self, base: Self | None = None, *, needs: str = "") -> None:
        """Warn of each setting that `find_unused` finds."""
        for name, condition in self.find_unused(base, needs=needs).items():
            _log.warning(NO_EFFECT, f"{type(self).__name__}.{name}", getattr(self, name), condition)


def _show(value: object) -> str:
    # untrusted values may be nested without end, or be integers of more digits than Python converts
    try:
        text = repr(value) if isinstance(value, (str, int, float, Path, NoneType)) else reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _is_finite(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _find_range_problem(value: Any, limits: Mapping[str, Any]) -> str:  # noqa: ANN401 - any setting that has limits
    if limits["at_least"] is not None and value < limits["at_least"]:
        return f"must be at least {limits['at_least']:g}"
    if limits["at_most"] is not None and value > limits["at_most"]:
        return f"must be at most {limits['at_most']:g}"
    if limits["above"] is not None and value <= limits["above"]:
        return f"must be above {limits['above']:g}"
    return ""


def _find_word_problem(value: Any, words: tuple[str, ...]) -> str:  # noqa: ANN401 - any setting that consists of words
    if not words or set(value.split("+")) <= set(words):
        return ""
    return f"must be one of {', '.join(words)}, or several joined by +"
