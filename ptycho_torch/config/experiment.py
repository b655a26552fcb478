"""All settings of a reconstruction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ptycho_torch.config.data import DataSettings
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.inference import InferenceSettings
from ptycho_torch.config.model import ModelSettings
from ptycho_torch.config.refine import RefineSettings
from ptycho_torch.config.tracking import TrackingSettings
from ptycho_torch.config.trainer import TrainerSettings
from ptycho_torch.config.training import TrainingSettings
from ptycho_torch.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All settings of a reconstruction."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make an experiment from nested plain values; sections left out keep their defaults.

        Raises:
            ConfigError: a section or a setting is unknown or unusable.
        """
        known: dict[str, Any] = {section.name: section.default_factory for section in dataclasses.fields(cls)}
        for name, section in values.items():
            if name not in known:
                raise ConfigError(f"unknown section {name!r}; the sections are {', '.join(known)}")
            if not isinstance(section, Mapping):
                raise ConfigError(f"section {name!r} is {section!r}; it must be a mapping of settings")
        return cls(**{name: known[name].from_dict(section) for name, section in values.items()})

    def without_places(self) -> Self:
        """The same experiment with defaults for all settings that hold a path or free text.

        These may name files, folders, servers or projects of the machine, which are nobody else's concern.
        """
        sections: dict[str, Any] = {}
        for section in dataclasses.fields(self):
            settings: Settings = getattr(self, section.name)
            plain = {name: getattr(type(settings)(), name) for name in settings.find_free_names()}
            sections[section.name] = dataclasses.replace(settings, **plain)
        return type(self)(**sections)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Convert the settings to nested plain values."""
        return dataclasses.asdict(self)
