"""Tables of a client's fields: each field is declared once, with what it becomes here; all else reads the table.

A field is used, refused (any value but the default is an error) or has no effect (any other value is warned about).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Literal

from ptycho_torch.config import Experiment
from ptycho_torch.config.conditions import Condition
from ptycho_torch.config.fields import NO_EFFECT
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

# a value that leaves the setting at its default
KEEP = object()
_DEFAULTS = Experiment()


@dataclass(frozen=True)
class Conversion:
    """How a client's value becomes a setting of this package, and back; without arguments, unchanged.

    Attributes:
        wanted: what the client's value must be, in words.
        fits: whether it is.
        ours: our value for the client's, `KEEP` for none.
        theirs: the client's value for ours, or the default passed with it if there is none.
    """

    wanted: str = ""
    fits: Callable[[Any], bool] = lambda value: True
    ours: Callable[[Any], Any] = lambda value: value
    theirs: Callable[[Any, Any], Any] = lambda value, default: default if value is None else value

    def __call__(self, label: str, value: Any) -> Any:  # noqa: ANN401 - as many types as there are fields
        """Convert the value of a field to ours; raise ConfigError with the field's label if it does not fit."""
        if not self.fits(value):
            raise ConfigError(f"{label} is {value!r}; it must be {self.wanted}")
        return self.ours(value)


CARRY = Conversion()


def choose_from(known: Mapping[Any, Any], *, any_case: bool = False) -> Conversion:
    """Convert one of some values; back, the first of several with the same meaning, else the one that means `KEEP`."""

    def fold(value: Any) -> Any:  # noqa: ANN401
        return str(value).lower() if any_case else value

    def invert(value: Any, default: Any) -> Any:  # noqa: ANN401
        matching = [name for wanted in (value, KEEP) for name, own in known.items() if own == wanted]
        return matching[0] if matching else default

    return Conversion(
        " or ".join(map(str, known)),
        lambda value: isinstance(value, Hashable) and fold(value) in known,
        lambda value: known[fold(value)],
        invert,
    )


def switch(on: Any, off: Any = KEEP) -> Conversion:  # noqa: ANN401
    """Convert True and False."""
    return choose_from({True: on, False: off})


@dataclass(frozen=True)
class Meaning:
    """What becomes of a field.

    Attributes:
        verdict: whether it is used, refused or has no effect.
        effect: what it does here, or why it is refused or has no effect.
        setting: its name in the client's settings file, two for a pair; empty if it is that of the field, and a remark
            in brackets if there is none.
        to: the setting that it becomes, as `section.name`; empty if it becomes none.
        by: its conversion to that setting, whose range is checked after it.
        acts_when: what other fields must be for it to act.
        usual: its normal value if that depends on other fields, instead of the default.
    """

    verdict: Literal["used", "refused", "no effect"]
    effect: str
    to: str = ""
    by: Conversion = CARRY
    setting: str = ""
    acts_when: Condition | None = None
    usual: Callable[[Any], Any] | None = None


def use(default: Any, effect: str, to: str = "", by: Conversion = CARRY, **more: Any) -> Any:  # noqa: ANN401
    """Declare a field, as `dataclasses.field` does; the arguments are the attributes of `Meaning`."""
    meaning = Meaning(more.pop("verdict", "used"), effect, to, by, **more)
    return dataclasses.field(default=default, metadata={"meaning": meaning})


# declare a field of which only the default works, and one without effect
refuse, ignore = partial(use, verdict="refused"), partial(use, verdict="no effect")


@dataclass(frozen=True)
class Row:
    """One field of a table."""

    owner: type
    name: str
    default: Any
    meaning: Meaning

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.owner.__name__}.{self.name}"

    @property
    def setting_names(self) -> list[str]:
        """Its names in the client's settings file."""
        written = self.meaning.setting or self.name
        return [] if written.startswith("(") else written.split(", ")


def list_rows(*owners: type) -> tuple[Row, ...]:
    """All declared fields of these classes."""
    return tuple(
        Row(owner, field.name, field.default, field.metadata["meaning"])
        for owner in owners
        for field in dataclasses.fields(owner)
        if "meaning" in field.metadata
    )


def convert_fields(configs: Iterable[Any]) -> dict[str, Any]:
    """The settings that configurations ask for, by dotted name; each field without effect is warned about once.

    Raises:
        ConfigError: a value is refused or out of range, or two contradict each other.
    """
    rows = [(row, getattr(config, row.name)) for config in configs for row in list_rows(type(config))]
    fields = SimpleNamespace(**{row.name: value for row, value in rows})
    settings: dict[str, Any] = {}
    setters: dict[str, Row] = {}
    for row, value in rows:
        meaning, own = row.meaning, row.meaning.by(row.label, value)
        usual = meaning.usual(fields) if meaning.usual else row.default
        acts = meaning.acts_when is None or meaning.acts_when.holds(fields)
        if value is not usual and (getattr(value, "shape", ()) != () or value != usual):
            _judge(row, value, usual, acts=acts)
        if not meaning.to or own is KEEP:
            continue
        _check_range(row, own)
        if acts and settings.setdefault(meaning.to, own) != own:
            other = setters[meaning.to].label
            raise ConfigError(f"{other} and {row.name} exclude each other; switch one of them off")
        if acts:
            setters[meaning.to] = row
    return settings


def _check_range(row: Row, own: Any) -> None:  # noqa: ANN401
    section, _, name = row.meaning.to.partition(".")
    problem = getattr(_DEFAULTS, section).find_problem(name, own) if name else ""
    if problem:
        raise ConfigError(f"{row.label} {problem}")


def _judge(row: Row, value: Any, usual: Any, *, acts: bool) -> None:  # noqa: ANN401
    """Refuse a value that is not the normal one, or warn if it has no effect."""
    meaning, shape = row.meaning, getattr(value, "shape", ())
    if meaning.verdict == "refused":
        shown = f"an array of shape {tuple(shape)}" if shape else repr(value)
        raise ConfigError(f"{row.label} is {shown}; only {usual!r} works: {meaning.effect}")
    if meaning.verdict == "no effect":
        _log.warning("%s is %r and has no effect: %s", row.label, value, meaning.effect)
    elif meaning.acts_when and not acts:
        _log.warning(NO_EFFECT, row.label, value, meaning.acts_when.words.format(section=""))


def restore_fields(owner: type, experiment: Experiment) -> dict[str, Any]:
    """The fields of a configuration that come closest to an experiment, by name."""
    return {
        row.name: row.meaning.by.theirs(attrgetter(row.meaning.to)(experiment), row.default)
        for row in list_rows(owner)
        if "." in row.meaning.to
    }


def make_experiment(settings: Mapping[str, Any]) -> Experiment:
    """An experiment from settings by dotted name; names without a dot are left out."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in settings.items():
        section, _, name = path.partition(".")
        if name:
            sections.setdefault(section, {})[name] = value
    return Experiment.from_dict(sections)
