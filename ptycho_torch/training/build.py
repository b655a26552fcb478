"""Settings to network, loss and module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment, TrainingSettings
from ptycho_torch.models.record import make_record
from ptycho_torch.networks.build import build_network
from ptycho_torch.physics.losses import (
    AMPLITUDE_PENALTIES,
    LOSSES,
    PHASE_PENALTIES,
    Prior,
    amplitude_variance,
    total_variation,
)
from ptycho_torch.training.module import ReconstructionModule
from ptycho_torch.training.objective import Objective, Target, compare_objects, compare_patterns, mix
from ptycho_torch.training.teacher import load_teacher

M = TypeVar("M", bound=ReconstructionModule)


def build_module(
    experiment: Experiment,
    probes: Sequence[NDArray[np.complex64]],
    photons: Sequence[float],
    good: Sequence[NDArray[np.bool_]],
    main_steps: int,
    kind: type[M] = ReconstructionModule,  # type: ignore[assignment]
    backgrounds: Sequence[NDArray[np.float32] | None] = (),
) -> M:
    """Build the module that trains a network on scans.

    Args:
        experiment: all settings; they are stored in the checkpoints.
        probes: (mode, h, w) probe of each scan, in √photons; those with fewer modes than others get empty ones.
        photons: mean photons per pattern of each scan.
        good: (h, w) good detector pixels of each scan.
        main_steps: optimiser steps before fine-tuning.
        kind: class of the module.
        backgrounds: (h, w) mean background of each scan in counts, None for a scan without any.

    Raises:
        ConfigError: the network does not fit the patterns, or there is no teacher although it is part of the target.
        ModelFileError: the teacher cannot be read.
    """
    training = experiment.training
    stacked = torch.from_numpy(_stack_probes(probes))
    return kind(
        build_network(experiment, stacked.shape[-1]),
        stacked,
        torch.tensor(photons, dtype=torch.float32),
        torch.from_numpy(np.stack(good).astype(np.float32)),
        background=_stack_backgrounds(backgrounds, stacked.shape[-1]),
        objective=build_objective(training),
        teacher=load_teacher(training, stacked.shape[-1]),
        settings=training,
        main_steps=main_steps,
        record=make_record(experiment, stacked.shape[-1]),
    )


def _stack_probes(probes: Sequence[NDArray[np.complex64]]) -> NDArray[np.complex64]:
    most = max(map(len, probes))
    return np.stack([np.pad(probe, ((0, most - len(probe)), (0, 0), (0, 0))) for probe in probes])


def _stack_backgrounds(backgrounds: Sequence[NDArray[np.float32] | None], patch_px: int) -> torch.Tensor | None:
    if all(background is None for background in backgrounds):
        return None
    empty = np.zeros((patch_px, patch_px), np.float32)
    return torch.from_numpy(np.stack([empty if background is None else background for background in backgrounds]))


def build_objective(training: TrainingSettings) -> Objective:
    """What the settings ask of the patches."""
    priors: list[tuple[Prior, float]] = []
    if training.total_variation:
        priors.append((lambda patches, illumination: total_variation(patches), training.total_variation))
    if training.amplitude_penalty != "none":
        priors.append((AMPLITUDE_PENALTIES[training.amplitude_penalty], training.amplitude_penalty_weight))
    if training.phase_penalty != "none":
        priors.append((PHASE_PENALTIES[training.phase_penalty], training.phase_penalty_weight))
    if training.amplitude_variance_weight:
        priors.append((amplitude_variance, training.amplitude_variance_weight))
    return Objective(_build_target(training), training.unmerged_weight, priors)


def _build_target(training: TrainingSettings) -> Target:
    patterns, labels = compare_patterns(LOSSES[training.loss]), compare_objects(level=training.level_labels)
    if training.target == "hybrid":
        return mix(patterns, labels, training.teacher_weight)
    return patterns if training.target == "patterns" else labels
