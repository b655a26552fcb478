"""From the client's configuration to the canonical sections that legacy code knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho_torch.api.client_configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.legacy import LegacyInference, LegacyModel, LegacyTraining


def to_model_config(data: DataConfig, model: ModelConfig, overrides: Mapping[str, Any] | None = None) -> LegacyModel:
    """Network and optics in the canonical names."""
    return LegacyModel()


def to_training_config(
    model_section: LegacyModel,
    data: DataConfig,
    model: ModelConfig,
    training: TrainingConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyTraining:
    """Training in the canonical names."""
    return LegacyTraining(train_data_file=Path("unset"))


def to_inference_config(
    model_section: LegacyModel,
    data: DataConfig,
    inference: InferenceConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyInference:
    """Inference in the canonical names."""
    return LegacyInference(model_path=Path("unset"))


@dataclass(frozen=True)
class Source:
    """Where a canonical field comes from."""

    client: type
    name: str
    translate: Callable[[Any], Any] | None = None


SOURCES: dict[type[Settings], dict[str, Source]] = {LegacyModel: {}, LegacyTraining: {}, LegacyInference: {}}
