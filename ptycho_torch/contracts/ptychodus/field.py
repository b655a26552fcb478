"""Tables of other programs' fields: each is declared once, with what becomes of it here, and everything reads that.

A field is used, refused (another value than the default is an error) or idle (another value is warned about).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from ptycho_torch.config import Experiment
from ptycho_torch.config.conditions import Condition
from ptycho_torch.config.fields import NO_EFFECT
from ptycho_torch.contracts.ptychodus.convert import KEEP, Conversion
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

Verdict = Literal["used", "refused", "idle"]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What is said of a field in its declaration.

    Attributes:
        verdict: whether it is used, refused or idle.
        effect: what it does here, or why it does nothing or is refused.
        setting: its name in the client's settings file, two for a pair; empty where it is that of the field, and a
            remark in brackets where there is none.
        to: the settings that it becomes, each as `section.name` with the conversion.
        acts_when: what other fields must be for it to act.
        usual: its normal value where that depends on other fields, instead of the default.
    """

    verdict: Verdict
    effect: str
    setting: str = ""
    to: Mapping[str, Conversion] = dataclasses.field(default_factory=dict)
    acts_when: Condition | None = None
    usual: Callable[[Any], Any] | None = None


def used(default: Any, effect: str, **said: Any) -> Any:  # noqa: ANN401 - declares a field, as dataclasses.field does
    """Declare a field that changes what is done."""
    return dataclasses.field(default=default, metadata={"meaning": Meaning(verdict="used", effect=effect, **said)})


def refused(default: Any, effect: str, **said: Any) -> Any:  # noqa: ANN401
    """Declare a field of which only the default works."""
    return dataclasses.field(default=default, metadata={"meaning": Meaning(verdict="refused", effect=effect, **said)})


def idle(default: Any, effect: str, **said: Any) -> Any:  # noqa: ANN401
    """Declare a field that changes nothing."""
    return dataclasses.field(default=default, metadata={"meaning": Meaning(verdict="idle", effect=effect, **said)})


@dataclass(frozen=True)
class Row:
    """One field of a table."""

    owner: type
    name: str
    default: Any
    meaning: Meaning

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.owner.__name__}.{self.name}"

    @property
    def setting_names(self) -> list[str]:
        """Its names in the client's settings file."""
        written = self.meaning.setting or self.name
        return [] if written.startswith("(") else written.split(", ")


def rows_of(*owners: type) -> tuple[Row, ...]:
    """The table: all declared fields of these classes."""
    return tuple(
        Row(owner, field.name, field.default, field.metadata["meaning"])
        for owner in owners
        for field in dataclasses.fields(owner)
        if "meaning" in field.metadata
    )


def convert_fields(configs: Iterable[Any]) -> dict[str, Any]:
    """The settings that configurations ask for, by dotted name; fields that do nothing are warned about, each once.

    Raises:
        ConfigError: a value cannot be used, or two contradict each other.
    """
    rows = [(row, getattr(config, row.name)) for config in configs for row in rows_of(type(config))]
    fields = SimpleNamespace(**{row.name: value for row, value in rows})
    settings: dict[str, Any] = {}
    setters: dict[str, Row] = {}
    for row, value in rows:
        found = {path: conversion(row.label, value) for path, conversion in row.meaning.to.items()}
        condition = row.meaning.acts_when
        acts = condition is None or condition.holds(fields)
        usual = row.meaning.usual(fields) if row.meaning.usual else row.default
        if value is not usual and (getattr(value, "shape", ()) != () or value != usual):
            _judge(row, value, usual, acts=acts)
        for path, own in found.items():
            if not acts or own is KEEP:
                continue
            if settings.setdefault(path, own) != own:
                raise ConfigError(
                    f"{setters[path].label} and {row.name} exclude each other; one fits there, switch the other off"
                )
            setters[path] = row
    return settings


def _judge(row: Row, value: Any, usual: Any, *, acts: bool) -> None:  # noqa: ANN401
    """Refuse a value that is not the normal one, or warn where it does nothing."""
    if row.meaning.verdict == "refused":
        shape = getattr(value, "shape", ())
        shown = f"an array of shape {tuple(shape)}" if shape else repr(value)
        raise ConfigError(f"{row.label} is {shown}; only {usual!r} works: {row.meaning.effect}")
    if row.meaning.verdict == "idle":
        _log.warning("%s is %r and changes nothing: %s", row.label, value, row.meaning.effect)
    elif row.meaning.acts_when and not acts:
        _log.warning(NO_EFFECT, row.label, value, row.meaning.acts_when.words.format(section=""))


def restore_fields(owner: type, experiment: Experiment) -> dict[str, Any]:
    """The fields of a configuration that come closest to an experiment, by name."""
    return {
        row.name: conversion.theirs(getattr(getattr(experiment, section), name), row.default)
        for row in rows_of(owner)
        for path, conversion in list(row.meaning.to.items())[:1]
        for section, _, name in [path.partition(".")]
        if name
    }


def experiment_from(settings: Mapping[str, Any]) -> Experiment:
    """An experiment of settings by dotted name; names without a dot are not of it.

    Raises:
        ConfigError: a value is out of its range.
    """
    sections: dict[str, dict[str, Any]] = {}
    for path, value in settings.items():
        section, _, name = path.partition(".")
        if name:
            sections.setdefault(section, {})[name] = value
    return Experiment.from_dict(sections)
