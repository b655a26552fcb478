"""When a setting acts: conditions on other settings, and the settings that do nothing because theirs is not met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """What other settings must be for one to act.

    Attributes:
        words: the condition in words; `{section}` stands where the name of a setting's class goes.
        holds: tells whether it is met by an object that has the other settings as attributes.
    """

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Condition) -> Condition:
        return Condition(f"{self.words} or {other.words}", lambda values: self.holds(values) or other.holds(values))

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.words} and {other.words}", lambda values: self.holds(values) and other.holds(values))


def one_of(name: str, *values: object, undecided: object = None) -> Condition:
    """A setting has one of these values, or the one, if there is one, that leaves the decision for later."""
    accepted = values if undecided is None else (*values, undecided)
    words = " or ".join(map(str, values))
    return Condition(f"{{section}}{name} {words}", lambda section: getattr(section, name) in accepted)


def above(name: str, limit: float) -> Condition:
    """A setting is greater than a number."""
    return Condition(f"{{section}}{name} above {limit:g}", lambda section: getattr(section, name) > limit)


def below(name: str, limit: float) -> Condition:
    """A setting is less than a number."""
    return Condition(f"{{section}}{name} below {limit:g}", lambda section: getattr(section, name) < limit)


def without(name: str) -> Condition:
    """A setting is None."""
    return Condition(f"no {{section}}{name}", lambda section: getattr(section, name) is None)


def given(name: str) -> Condition:
    """A setting is not None."""
    return Condition(f"{{section}}{name}", lambda section: getattr(section, name) is not None)


def find_idle(values: object, defaults: object, conditions: Mapping[str, Condition]) -> Iterator[tuple[str, str]]:
    """Settings that differ from their default and do nothing, each with the condition that is not met.

    Args:
        values: has the settings as attributes.
        defaults: has their defaults as attributes.
        conditions: when each setting acts; those that are not named always do.
    """
    for name, condition in conditions.items():
        if getattr(values, name) != getattr(defaults, name) and not condition.holds(values):
            yield name, condition.words
