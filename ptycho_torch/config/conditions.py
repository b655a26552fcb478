"""Conditions on other settings under which a setting has an effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """What other settings must be for one to have an effect.

    Attributes:
        words: the condition in words; `{section}` stands for the prefix of the settings' names.
        holds: whether an object that has the other settings as attributes meets it.
    """

    words: str
    holds: Callable[[Any], bool]

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.words} and {other.words}", lambda values: self.holds(values) and other.holds(values))


def one_of(name: str, *values: object, undecided: object = None) -> Condition:
    """A setting has one of these values, or the value, if given, that leaves the decision for later."""
    accepted = values if undecided is None else (*values, undecided)
    words = " or ".join(map(str, values))
    return Condition(f"{{section}}{name} is {words}", lambda section: getattr(section, name) in accepted)


def above(name: str, limit: float) -> Condition:
    """A setting is greater than a number."""
    return Condition(f"{{section}}{name} is above {limit:g}", lambda section: getattr(section, name) > limit)


def below(name: str, limit: float) -> Condition:
    """A setting is less than a number."""
    return Condition(f"{{section}}{name} is below {limit:g}", lambda section: getattr(section, name) < limit)


def without(name: str) -> Condition:
    """A setting is None."""
    return Condition(f"{{section}}{name} is not set", lambda section: getattr(section, name) is None)


def given(name: str) -> Condition:
    """A setting is not None."""
    return Condition(f"{{section}}{name} is set", lambda section: getattr(section, name) is not None)


def includes(name: str, *words: str) -> Condition:
    """A setting that consists of words joined by `+` has at least one of these."""
    return Condition(
        f"{{section}}{name} includes {' or '.join(words)}",
        lambda section: not set(words).isdisjoint(getattr(section, name).split("+")),
    )
