"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import above, one_of, without
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.config.limits import LARGEST_SEED, MOST_EPOCHS

Penalty = Literal["none", "total_variation", "mean_deviation"]
_GROUPED = above("group_size", 1)
_BY_TEACHER = one_of("target", "hybrid")
_BY_PATTERNS = one_of("target", "patterns", "hybrid")
_BY_DISTANCE = one_of("neighbour_choice", "within", "quadrants") & _GROUPED


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How a network is trained."""

    epochs: int = setting(
        10, at_least=1, at_most=MOST_EPOCHS, acts_when=without("steps"), help="passes over the training patterns"
    )
    steps: int | None = setting(None, at_least=1, at_most=1_000_000_000, help="optimiser steps, instead of epochs")
    batch_size: int = setting(2, at_least=1, help="groups per batch")
    group_size: int = setting(16, at_least=1, at_most=256, help="neighbouring patterns per group")
    neighbour_choice: Literal["nearest", "within", "quadrants"] = setting(
        "nearest",
        acts_when=_GROUPED,
        help="where a group's patterns come from: the nearest, a range of distances, or all four quadrants",
    )
    neighbours: int | None = setting(
        None,
        at_least=1,
        acts_when=one_of("neighbour_choice", "nearest", "quadrants") & _GROUPED,
        help="number of nearest patterns to draw each group from; by default the group is the nearest ones",
    )
    groups_per_pattern: int = setting(1, at_least=1, at_most=64, help="groups drawn around each pattern")
    groups_per_epoch: int | None = setting(
        None, at_least=1, help="groups per epoch; by default enough to use each pattern once on average"
    )
    augment: Literal["none", "flips", "all"] = setting(
        "none",
        help="orientations in which groups are learnt, patterns, positions and probe together: as measured, also with "
        "reversed rows and columns, or also with rows and columns exchanged",
    )
    least_distance_px: float = setting(
        0.0, unit="px", at_least=0, acts_when=_BY_DISTANCE, help="nearer patterns do not join a group"
    )
    greatest_distance_px: float | None = setting(
        None, unit="px", above=0, acts_when=_BY_DISTANCE, help="farther patterns do not join a group"
    )
    by_axis: bool = setting(
        False, acts_when=_GROUPED, help="measure distances in steps of each axis, for scans with two step lengths"
    )
    learning_rate: float = setting(1e-3, above=0, at_most=1, help="highest learning rate of AdamW")
    warmup_steps: int = setting(20, at_least=0, help="steps over which the learning rate rises")
    schedule: Literal["cosine", "constant", "exponential"] = setting("cosine", help="course of the learning rate then")
    last_rate: float = setting(
        0.01,
        above=0,
        at_most=1,
        acts_when=one_of("schedule", "cosine", "exponential"),
        help="learning rate at the last step, as a share of the highest",
    )
    fine_tune_epochs: int = setting(0, at_least=0, help="epochs of fine-tuning after the schedule")
    fine_tune_rate: float = setting(
        0.1,
        above=0,
        at_most=1,
        acts_when=above("fine_tune_epochs", 0),
        help="learning rate of fine-tuning, as a share of the highest",
    )
    accumulate: int = setting(1, at_least=1, help="batches per optimiser step (gradient accumulation)")
    gradient_clip: float | None = setting(1.0, above=0, help="bound on the gradient's norm; none for no bound")
    target: Literal["patterns", "object", "hybrid"] = setting(
        "patterns",
        help="what to learn from: the patterns alone, the true object if the scans contain it, or the patterns and the "
        "patches of a teacher",
    )
    teacher: str | None = setting(
        None,
        acts_when=_BY_TEACHER,
        help="file of a checkpoint or bundle: the network to learn from, trained on patterns of the same size",
    )
    teacher_weight: float = setting(
        0.5, at_least=0, at_most=1, acts_when=_BY_TEACHER, help="share of the loss taken from the teacher's patches"
    )
    level_labels: bool = setting(
        True,
        acts_when=one_of("target", "object", "hybrid"),
        help="remove the mean phase of each patch of the true object, or of the teacher",
    )
    loss: Literal["poisson", "amplitude_mae", "anscombe"] = setting(
        "anscombe", acts_when=_BY_PATTERNS, help="likelihood of the counts"
    )
    unmerged_weight: float = setting(
        0.15, at_least=0, at_most=1, help="share of the loss taken from patches before they are merged"
    )
    total_variation: float = setting(0.0, at_least=0, help="weight of the patches' total variation")
    amplitude_penalty: Penalty = setting("none", help="penalty on the amplitude of patches")
    amplitude_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("amplitude_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the amplitude",
    )
    phase_penalty: Penalty = setting("none", help="penalty on the phase of patches")
    phase_penalty_weight: float = setting(
        1.0,
        at_least=0,
        acts_when=one_of("phase_penalty", "total_variation", "mean_deviation"),
        help="weight of the penalty on the phase",
    )
    amplitude_variance_weight: float = setting(0.0, at_least=0, help="weight of the amplitude's variance in patches")
    bootstrap_epochs: int = setting(20, at_least=0, help="epochs of the solver that find the probe before training")
    validation_share: float = setting(0.05, at_least=0, at_most=0.5, help="share of the groups used for validation")
    patience: int = setting(
        10,
        at_least=1,
        at_most=MOST_EPOCHS,
        acts_when=_BY_PATTERNS,
        help="validations in a row, one per epoch, that may predict the groups for validation significantly worse than "
        "the best one before training stops and returns to it, if a tenth of its steps brought nothing",
    )
    seed: int = setting(0, at_least=0, at_most=LARGEST_SEED, help="seed of weights, groups and their order")
    max_minutes: float | None = setting(
        None, unit="min", above=0, at_most=1e6, help="wall time after which training stops with a warning"
    )
