"""How a value of another program becomes a setting of this package, and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from ptycho_torch.errors import ConfigError

# a value that leaves the setting at its default
KEEP = object()
# channels of a network whose n_filters_scale is 1
CHANNELS_PER_FILTER_SCALE = 12


@dataclass(frozen=True)
class Conversion:
    """One way of turning their value into ours.

    Attributes:
        wanted: what theirs must be, in words.
        fits: tells whether it is.
        ours: our value for theirs, `KEEP` for none.
        theirs: their value for ours, or the default that it is given where they have none.
    """

    wanted: str
    fits: Callable[[Any], bool]
    ours: Callable[[Any], Any] = lambda value: value
    theirs: Callable[[Any, Any], Any] = lambda value, default: value

    def __call__(self, label: str, value: Any) -> Any:  # noqa: ANN401 - as many types as there are fields
        """Our value for theirs.

        Raises:
            ConfigError: it cannot be converted; `label` names the field.
        """
        if not self.fits(value):
            raise ConfigError(f"{label} is {value!r}; {self.wanted} is needed")
        return self.ours(value)


def whole(least: int, most: float = inf, *, times: int = 1) -> Conversion:
    """A whole number within limits, multiplied by a factor."""
    return Conversion(
        f"a whole number from {least}" + ("" if most == inf else f" to {most}"),
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
        lambda value: times * value,
        lambda value, default: default if value is None else max(least, round(value / times)),
    )


def number(most: float = inf, *, above_zero: bool = False) -> Conversion:
    """A number from 0, or above it, up to a limit."""
    return Conversion(
        f"a number {'above' if above_zero else 'from'} 0" + ("" if most == inf else f" to {most:g}"),
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 <= value <= most
            and not (above_zero and value == 0)
        ),
        float,
    )


def choice(known: Mapping[Any, Any], *, any_case: bool = False) -> Conversion:
    """One of some values, each with ours for it; of several that mean the same the first is given back."""

    def key(value: Any) -> Any:  # noqa: ANN401
        return str(value).lower() if any_case else value

    def theirs(value: Any, default: Any) -> Any:  # noqa: ANN401
        matching = [name for wanted in (value, KEEP) for name, own in known.items() if own == wanted]
        return matching[0] if matching else default

    return Conversion(
        " or ".join(map(str, known)),
        lambda value: isinstance(value, Hashable) and key(value) in known,
        lambda value: known[key(value)],
        theirs,
    )


def switch(on: Any, off: Any = KEEP) -> Conversion:  # noqa: ANN401
    """True or False, each with our value for it."""
    return choice({True: on, False: off})
