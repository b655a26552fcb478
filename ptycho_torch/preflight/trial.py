"""A trial step: network, groups and loss, built as for the training and computed for a few patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ptycho_torch.config import Experiment, RefineSettings, TrainerSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.build import build_network
from ptycho_torch.preflight.report import Needs
from ptycho_torch.solve.scan_model import calibrate_start_probe
from ptycho_torch.training.dataset import Batch, stack_groups
from ptycho_torch.training.fit import prepare
from ptycho_torch.training.memory import measure_kept_bytes
from ptycho_torch.training.module import ReconstructionModule

# patterns of each scan that are grouped, and patterns of each group that are computed
_MOST_GROUPED, _MOST_COMPUTED = 512, 2
# larger networks are only counted: building one would take minutes
_MOST_WEIGHTS = 100_000_000
# bytes per weight: weight, gradient and the two moments of the optimiser; and of a checkpoint, without the gradient
_TRAINED_BYTES, _STORED_BYTES, _WEIGHT_BYTES = 16, 12, 4
# the last checkpoint, the best one, and the one that is written before it replaces one of them
_CHECKPOINTS = 3
# a backward pass holds gradients beside what the forward pass has kept
_BACKWARD_FACTOR = 1.3
# settings that change neither network nor groups nor the loss of a step
_OF_THE_COURSE = (
    "epochs",
    "steps",
    "batch_size",
    "groups_per_epoch",
    "learning_rate",
    "warmup_steps",
    "schedule",
    "last_rate",
    "fine_tune_epochs",
    "fine_tune_rate",
    "accumulate",
    "gradient_clip",
    "bootstrap_epochs",
    "seed",
    "patience",
    "max_minutes",
)


@dataclass(frozen=True)
class TrialStep:
    """What a trial step has shown.

    Attributes:
        parameters: weights of the network.
        pattern_bytes: what each pattern of a batch keeps in memory until the gradient is known; None if the network is
            too large to be tried.
        groups: groups of all scans that training can draw in an epoch.
        group_size: patterns of a group.
    """

    parameters: int
    pattern_bytes: float | None
    groups: int
    group_size: int

    def count_groups(self, experiment: Experiment) -> int:
        """Count the groups of an epoch."""
        training = experiment.training
        once = max(1, round(self.groups / training.groups_per_pattern / self.group_size))
        return min(training.groups_per_epoch or once, self.groups)

    def count_batch_groups(self, experiment: Experiment) -> int:
        """Count the groups of the batch of each process; one if the training searches for the size."""
        processes = (experiment.trainer.devices or 1) * experiment.trainer.nodes
        size = 1 if experiment.trainer.find_batch_size else experiment.training.batch_size
        return max(1, min(size, self.count_groups(experiment) // processes))

    def find_fitting_batch(self, memory_bytes: int) -> int:
        """Find the largest number of groups in a batch of a process that has so much memory."""
        left = memory_bytes - _TRAINED_BYTES * self.parameters
        return max(0, int(left / (self.group_size * (self.pattern_bytes or 0) * _BACKWARD_FACTOR + 1)))

    def estimate_needs(self, experiment: Experiment) -> Needs:
        """Estimate what the training takes."""
        patterns = self.count_batch_groups(experiment) * self.group_size
        kept = patterns * (self.pattern_bytes or 0) * _BACKWARD_FACTOR
        return Needs(
            parameters=self.parameters,
            memory_bytes=_TRAINED_BYTES * self.parameters + int(kept),
            disk_bytes=(_CHECKPOINTS * _STORED_BYTES + _WEIGHT_BYTES) * self.parameters,
        )


def leave_out_course(experiment: Experiment) -> Experiment:
    """Set everything that has no influence on a trial step to its default, so that equal steps can be recognised."""
    usual = TrainingSettings()
    training = replace(experiment.training, **{name: getattr(usual, name) for name in _OF_THE_COURSE})
    trainer = TrainerSettings(
        precision=experiment.trainer.precision, gradient_checkpointing=experiment.trainer.gradient_checkpointing
    )
    refine = RefineSettings(probe_modes=experiment.refine.probe_modes)
    return Experiment(model=experiment.model, training=training, trainer=trainer, refine=refine)


def take_trial_step(scans: Sequence[Scan], experiment: Experiment) -> TrialStep:
    """Build a training on the middle of its scans and compute a step for a few patterns, without changing weights.

    Args:
        scans: scans with probes and patterns of one size, each with at least as many patterns as a group.
        experiment: the settings.

    Raises:
        PtychoError: network, groups or loss cannot be built as the settings specify.
        ConfigError: the network has outputs of the wrong shape, or a value that is not finite.
    """
    parameters = count_weights(experiment, scans[0].patch_px)
    patterns, training = sum(map(len, scans)), experiment.training
    if parameters > _MOST_WEIGHTS:
        return TrialStep(parameters, None, patterns * training.groups_per_pattern, training.group_size)
    sample = [_take_middle(scan, max(_MOST_GROUPED, training.group_size)) for scan in scans]
    probes = [calibrate_start_probe(scan, None, experiment.refine.probe_modes) for scan in sample]
    data, module = prepare(sample, probes, experiment, torch.device("cpu"))
    one, two = (_trim(stack_groups([data.training[0]] * number)) for number in (1, 2))
    _check_output(module, one)
    kind = torch.float32 if experiment.trainer.precision == "32-true" else torch.bfloat16
    # what another group adds to what is kept only once
    kept = measure_kept_bytes(module, two, kind) - measure_kept_bytes(module, one, kind)
    groups = round(len(data.training) * patterns / sum(map(len, sample)))
    return TrialStep(parameters, kept / one.counts.shape[1], groups, data.group_size)


def count_weights(experiment: Experiment, patch_px: int) -> int:
    """Count the weights of a network without making them.

    Raises:
        ConfigError: the network does not fit patterns of patch_px × patch_px.
    """
    with torch.device("meta"):
        return sum(weight.numel() for weight in build_network(experiment, patch_px).parameters())


def _take_middle(scan: Scan, most: int) -> Scan:
    """Take the patterns nearest to the middle of a scan."""
    if len(scan) <= most:
        return scan
    distances = ((scan.positions_px - np.median(scan.positions_px, axis=0)) ** 2).sum(axis=1)
    return scan.take(np.sort(np.argsort(distances, kind="stable")[:most]))


def _trim(batch: Batch) -> Batch:
    """Keep the first patterns of each group."""
    labels = batch.labels[:, :_MOST_COMPUTED] if batch.labels.ndim == batch.counts.ndim else batch.labels
    kept = {name: getattr(batch, name)[:, :_MOST_COMPUTED] for name in ("counts", "corners_px", "shifts_px")}
    return batch._replace(**kept, labels=labels)


def _check_output(module: ReconstructionModule, batch: Batch) -> None:
    """Check the shape of the patches that a network predicts, and that they and the loss are finite."""
    with torch.no_grad():
        patches, loss = module(batch.counts, batch.scan_index), module.compute_loss(batch)
    name = "ModelSettings.network"
    if patches.shape != batch.counts.shape:
        raise ConfigError(f"{name} makes patches {tuple(patches.shape)} of patterns {tuple(batch.counts.shape)}")
    if not torch.isfinite(torch.view_as_real(patches)).all():
        raise ConfigError(f"{name} makes patches that are not finite before any training")
    if not torch.isfinite(loss):
        raise ConfigError(f"TrainingSettings.loss is {float(loss)} before any training; the patterns do not suit it")
