"""What is said of one field of the client's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["honoured", "refused", "warned"]
Section = Literal["data", "model", "training", "inference"]

CONFIG_CLASSES: dict[Section, str] = {
    "data": "DataConfig",
    "model": "ModelConfig",
    "training": "TrainingConfig",
    "inference": "InferenceConfig",
}

# what several fields that concern the canvas have in common
CANVAS = "the canvas follows from the positions, whole to the last patch"


@dataclass(frozen=True)
class ClientField:
    """One field of the client's configuration.

    Attributes:
        section: which of the four configurations it belongs to.
        name: its name there.
        setting: its name in the client's settings file, section `PtychoPINNTorch<Section>` unless it says another;
            a sentence in brackets where the client has no setting for it.
        verdict: `honoured`: it changes what is done; `refused`: values other than the default end in an error;
            `warned`: it cannot matter here, and a value other than the default is named in a warning.
        effect: what it does here, or why it does nothing or cannot be had.
        example: a value that shows the verdict; without one a bool is turned and a number raised.
        beside: other fields that must be set for it to act, as `section__name` and value.
    """

    section: Section
    name: str
    setting: str
    verdict: Verdict
    effect: str
    example: Any = None
    beside: tuple[tuple[str, Any], ...] = ()
