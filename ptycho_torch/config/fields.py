"""Settings: dataclasses whose fields carry their own checks, units and help.

Every value of the project is declared once, with `setting(...)`; validation, command-line flags, keys of settings files
and the warning about a setting that does nothing are derived from that declaration.
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

from ptycho_torch.config.conditions import Condition, find_idle
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

_CONVERTED = (float, Path)
_LONGEST_SHOWN = 500
# how a setting without effect is named in the log: its name, its value, what it needs
IDLE = "%s is %r and acts only with %s"


def setting(
    default: Any,  # noqa: ANN401 - the annotation of the field says its type; dataclasses work the same way
    *,
    help: str,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    acts_when: Condition | None = None,
) -> Any:  # noqa: ANN401
    """Declare one setting of a `Settings` class.

    Args:
        default: value where nothing else is said; `dataclasses.MISSING` where it must be given.
        help: one sentence for the command line and the documentation.
        unit: unit of the value, if it has one.
        at_least: lowest allowed value.
        at_most: highest allowed value.
        above: value that must be exceeded.
        acts_when: what other settings of the section must be for this one to act; it always acts without a condition.
    """
    limits = {"at_least": at_least, "at_most": at_most, "above": above}
    told = {"help": help, "unit": unit, "acts_when": acts_when}
    return dataclasses.field(default=default, metadata={**told, **limits})


@dataclasses.dataclass(frozen=True)
class FieldType:
    """What a setting may hold: one base type, perhaps only some values of it, perhaps None."""

    base: type
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @classmethod
    def of(cls, annotation: Any) -> FieldType:  # noqa: ANN401 - annotations have no common type
        """Read a resolved annotation: int, float, bool, str, Path, a section, Literal[...], or one of them | None."""
        optional = False
        if get_origin(annotation) in (Union, UnionType):
            inner = [part for part in get_args(annotation) if part is not NoneType]
            optional, annotation = True, inner[0]
        if get_origin(annotation) is Literal:
            choices = get_args(annotation)
            return cls(type(choices[0]), choices, optional)
        return cls(annotation, (), optional)

    def problem(self, value: object) -> str:
        """Why `value` is not of this type; empty where it is."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all sections of the schema: frozen, keyword-only, checked when made."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a value has the wrong type or lies outside its range.
        """
        for name, kind in self.types().items():
            value = getattr(self, name)
            problem = self.problem(name, value)
            if problem:
                raise ConfigError(f"{type(self).__name__}.{name} {problem}")
            if kind.base in _CONVERTED and value is not None:
                object.__setattr__(self, name, kind.base(value))

    @classmethod
    def problem(cls, name: str, value: object) -> str:
        """What is wrong with a value of a setting, to follow the setting's name; empty where nothing is."""
        limits = cls.__dataclass_fields__[name].metadata
        problem = cls.types()[name].problem(value) or (_range_problem(value, limits) if value is not None else "")
        return problem and f"is {_shown(value)}; it {problem}"

    @classmethod
    def types(cls) -> dict[str, FieldType]:
        """The type of every setting by name, in the order of declaration."""
        hints = get_type_hints(cls)
        return {field.name: FieldType.of(hints[field.name]) for field in dataclasses.fields(cls)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make settings from plain values.

        Raises:
            ConfigError: a name is unknown or a value is unusable.
        """
        known = cls.types()
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"{cls.__name__} has no setting {unknown[0]!r}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dataclasses.asdict(self)

    def idle(self, base: Self | None = None) -> dict[str, str]:
        """Settings that differ from their default, or from `base`, and do nothing, each with what it needs to act."""
        conditions = {
            field.name: field.metadata["acts_when"]
            for field in dataclasses.fields(self)
            if field.metadata["acts_when"] is not None
        }
        label = f"{type(self).__name__}."
        return {name: words.format(section=label) for name, words in find_idle(self, base or type(self)(), conditions)}

    def warn_idle(self, base: Self | None = None, *, needs: str = "") -> None:
        """Warn of each setting that does nothing although it differs from its default, or from `base`.

        Args:
            base: settings that somebody else chose.
            needs: what the section as a whole needs to act; left empty where it acts.
        """
        changed = [name for name, value in self.to_dict().items() if value != getattr(base or type(self)(), name)]
        for name, condition in (dict.fromkeys(changed, needs) if needs else self.idle(base)).items():
            _log.warning(IDLE, f"{type(self).__name__}.{name}", getattr(self, name), condition)


def _shown(value: object) -> str:
    # what came from outside may be nested without end, or a number of more digits than Python writes
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
    except OverflowError:  # a whole number beyond the largest float
        return False


def _range_problem(value: Any, limits: Mapping[str, Any]) -> str:  # noqa: ANN401 - numbers and words alike
    if limits["at_least"] is not None and value < limits["at_least"]:
        return f"must be at least {limits['at_least']:g}"
    if limits["at_most"] is not None and value > limits["at_most"]:
        return f"must be at most {limits['at_most']:g}"
    if limits["above"] is not None and value <= limits["above"]:
        return f"must be above {limits['above']:g}"
    return ""
