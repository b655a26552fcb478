"""The composition root: settings to network, loss and module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.config.record import make_record
from ptycho_torch.losses import LOSSES
from ptycho_torch.training.generator import build_network
from ptycho_torch.training.module import ReconstructionModule
from ptycho_torch.training.optim import StepSizes

M = TypeVar("M", bound=ReconstructionModule)


def build_module(
    experiment: Experiment,
    probes: Sequence[NDArray[np.complex64]],
    photons: Sequence[float],
    good: Sequence[NDArray[np.bool_]],
    main_steps: int,
    kind: type[M] = ReconstructionModule,  # type: ignore[assignment]
) -> M:
    """The module that trains a network on scans.

    Args:
        experiment: all settings; they are stored in the checkpoints.
        probes: (mode, h, w) probe of each scan, in √photons.
        photons: mean photons of a pattern of each scan.
        good: (h, w) good detector pixels of each scan.
        main_steps: optimiser steps that training will take before any fine tuning.
        kind: class of the module, for contracts that name their own.
    """
    training = experiment.training
    stacked = torch.from_numpy(np.stack(probes))
    return kind(
        build_network(experiment, stacked.shape[-1]),
        stacked,
        torch.tensor(photons, dtype=torch.float32),
        torch.from_numpy(np.stack(good).astype(np.float32)),
        loss=LOSSES[training.loss],
        step_sizes=StepSizes(
            highest=training.learning_rate,
            schedule=training.schedule,
            warmup_steps=training.warmup_steps,
            main_steps=main_steps,
            last_share=training.last_rate,
            fine_tune_share=training.fine_tune_rate,
        ),
        unmerged_weight=training.unmerged_weight,
        variation_weight=training.total_variation,
        record=make_record(experiment, stacked.shape[-1]),
    )
