"""Experiment: all settings of a reconstruction together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ptycho_torch.config.fields import Settings
from ptycho_torch.config.schema import (
    DataSettings,
    InferenceSettings,
    ModelSettings,
    RefineSettings,
    TrainingSettings,
)
from ptycho_torch.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Settings of a reconstruction, one section for each part of it."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make an experiment from nested plain values; sections left out keep their defaults.

        Raises:
            ConfigError: a section or a setting is unknown or unusable.
        """
        known: dict[str, type[Settings]] = {section.name: section.default_factory for section in fields(cls)}  # type: ignore[misc]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"there is no section {unknown[0]!r}; there are {', '.join(known)}")
        for name, section in values.items():
            if not isinstance(section, Mapping):
                raise ConfigError(f"section {name!r} is {section!r}; a table of settings is needed")
        sections: dict[str, Any] = {name: known[name].from_dict(section) for name, section in values.items()}
        return cls(**sections)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The settings as nested plain values."""
        return {section.name: getattr(self, section.name).to_dict() for section in fields(self)}
