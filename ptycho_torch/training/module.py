"""The training step: from patterns through patches, merged object and expected counts to the loss."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from ptycho_torch.config import TrainingSettings
from ptycho_torch.errors import ConfigError, DivergenceError
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.background import subtract_background
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.objective import Objective
from ptycho_torch.training.parts import is_exhausted, split_batch, sum_parts

_log = logging.getLogger(__name__)

# steps one after the other without a finite gradient, after which a training is given up
_MOST_SKIPPED = 10


class ReconstructionModule(lightning.LightningModule):
    """A network that learns through the forward model, from diffraction patterns alone or from true objects.

    Attributes:
        probes: (scan, mode, h, w) probe of each training scan, in √photons.
        photons: (scan,) mean photons per pattern of each, without the background.
        good: (scan, h, w) 1 on good detector pixels, 0 on bad ones.
        background: (scan, h, w) mean background of each scan in counts, None if no scan has any. Checkpoints do not
            contain it, since it belongs to the scans.

    Args:
        generator: patterns to complex patches.
        probes: see above.
        photons: see above.
        good: see above.
        background: see above.
        objective: the loss of the patches of a batch.
        teacher: the network whose patches are the labels, which checkpoints do not contain; None without one.
        settings: learning rate and schedule.
        main_steps: optimiser steps before fine-tuning.
        record: plain values stored in every checkpoint, from which the module can be built again.
    """

    probes: Tensor
    photons: Tensor
    good: Tensor
    background: Tensor | None

    def __init__(
        self,
        generator: Generator,
        probes: Complex[Tensor, "scan mode h w"],
        photons: Float[Tensor, " scan"],
        good: Float[Tensor, "scan h w"],
        *,
        background: Float[Tensor, "scan h w"] | None = None,
        objective: Objective,
        teacher: Generator | None = None,
        settings: TrainingSettings,
        main_steps: int,
        record: dict[str, Any],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("probes", probes)
        self.register_buffer("photons", photons)
        self.register_buffer("good", good)
        self.register_buffer("background", background, persistent=False)
        self.record = record
        self._objective = objective
        # in a tuple, so that its weights are no part of this module
        self._teacher = (teacher,)
        self._settings = settings
        self._main_steps = main_steps
        # a batch is divided into so many parts, since memory was exhausted
        self._parts = 1
        self._skipped = 0
        self._batch: Batch | None = None
        # the loss with all that its gradient needs, and what Lightning gets of it
        self._loss: Tensor | None = None
        self._leaf: Tensor | None = None

    def forward(
        self, counts: Float[Tensor, "group pattern h w"], scan_index: Tensor
    ) -> Complex[Tensor, "group pattern h w"]:
        """Predict the object patches of groups of patterns, each pattern by itself."""
        return self._predict(self.generator, Batch(counts, torch.zeros(0), torch.zeros(0), scan_index))

    def _predict(self, network: Generator, batch: Batch) -> Tensor:
        groups, size = batch.counts.shape[:2]
        background = None if self.background is None else batch.turn(self.background[batch.scan_index])[:, None]
        sample_counts = subtract_background(batch.counts, background)
        photons = self.photons[batch.scan_index][:, None, None, None]
        probes, good = (
            batch.turn(part[batch.scan_index].repeat_interleave(size, dim=0)) for part in (self.probes, self.good)
        )
        patches: Tensor = network(make_network_input(sample_counts, photons).flatten(0, 1), probes, good)
        return patches.unflatten(0, (groups, size))

    def add_labels(self, batch: Batch) -> Batch:
        """Add the teacher's patches to a batch, if there is a teacher."""
        [teacher] = self._teacher
        if teacher is None:
            return batch
        with torch.no_grad():
            return batch._replace(labels=self._predict(teacher.to(batch.counts.device), batch))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute the loss of one batch, in parts from the first time that memory is exhausted.

        Raises:
            DivergenceError: it is not finite.
            ConfigError: not even one group fits into memory.
        """
        loss = self._retry(lambda: self._compute_in_parts(batch), batch)
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the training loss is {float(loss.detach())} at step {self.global_step}; use a smaller learning_rate"
            )
        self._log_loss("train_loss", loss, batch, on_step=True)
        if self._trainer is None:
            return loss
        # nobody else holds the graph, so that it can be given up when memory is exhausted
        self._batch, self._loss, self._leaf = batch, loss, loss.detach().requires_grad_()
        return self._leaf

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        """Add the gradient of the last batch to those of the weights, in parts if memory is exhausted.

        Args:
            loss: what `training_step` returned, scaled.
            arguments: those of torch.
            options: likewise.

        Raises:
            ConfigError: not even one group fits into memory.
        """
        assert self._leaf is not None
        assert self._batch is not None
        batch = self._batch
        factor = torch.autograd.grad(loss, self._leaf)[0]
        # of several processes none can begin again, since the others have got its part of the gradient
        kept = self.generator.parameters() if self.trainer.world_size == 1 else ()
        before = [(weight, None if weight.grad is None else weight.grad.clone()) for weight in kept]

        def add_gradient() -> Tensor:
            found, self._loss = self._loss, None
            found = self._compute_in_parts(batch) if found is None else found
            found.backward(factor)
            return found.detach()

        def restore() -> None:
            for weight, gradient in before:
                weight.grad = None if gradient is None else gradient.clone()

        self._retry(add_gradient, batch, restore)
        self._batch = self._leaf = None

    def _retry(self, compute: Callable[[], Tensor], batch: Batch, restore: Callable[[], None] = lambda: None) -> Tensor:
        """Compute; each time that memory is exhausted, halve the parts of a batch and compute again."""
        while True:
            try:
                return compute()
            except (MemoryError, RuntimeError) as error:
                if not is_exhausted(error):
                    raise
            # outside of the handler, whose traceback holds what was computed
            restore()
            self._halve(len(batch.counts))

    def _halve(self, groups: int) -> None:
        together = self._trainer is not None and self.trainer.world_size > 1
        if self._parts >= groups or together:
            what = f"{groups} groups do" if together and groups > 1 else "one group does"
            raise ConfigError(
                f"memory is exhausted: {what} not fit into that of {self.device}; use a smaller "
                "TrainingSettings.batch_size, TrainingSettings.group_size or ModelSettings.width"
            )
        self._parts = min(2 * self._parts, groups)
        # what was computed may be held by references in a circle
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning(
            "memory is exhausted by a batch of %d groups: it is computed in %d parts of at most %d groups from now on, "
            "with the same gradient",
            groups,
            self._parts,
            -(-groups // self._parts),
        )

    def _compute_in_parts(self, batch: Batch) -> Tensor:
        if self._parts == 1:
            return self.compute_loss(batch)
        pixels = self.good.sum(dim=(1, 2))[batch.scan_index]
        return sum_parts(self.compute_loss, split_batch(batch, self._parts, pixels))

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute and log the loss of groups that training does not use."""
        loss = self._retry(lambda: self._compute_in_parts(batch), batch)
        self._log_loss("val_loss", loss, batch, on_step=False)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skip the step if its gradient is not finite.

        Raises:
            DivergenceError: so were those of the last steps.
        """
        if self.trainer.precision == "16-mixed":
            return  # its scaler skips such steps, and needs to
        gradients = [weight.grad for weight in self.generator.parameters() if weight.grad is not None]
        if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            self._skipped = 0
            return
        self._skipped += 1
        if self._skipped >= _MOST_SKIPPED:
            raise DivergenceError(
                f"the gradients of {self._skipped} steps before step {self.global_step} were not finite; "
                "use a smaller learning_rate"
            )
        _log.warning("the gradient is not finite at step %d, which is skipped", self.global_step)
        optimizer.zero_grad(set_to_none=True)

    def _log_loss(self, name: str, loss: Tensor, batch: Batch, *, on_step: bool) -> None:
        size = batch.groups_together
        self.log(name, loss, prog_bar=True, on_step=on_step, on_epoch=True, batch_size=size, sync_dist=True)

    def compute_loss(self, batch: Batch) -> Tensor:
        """Predict the patches of a batch and compute its loss, which is never done in mixed precision."""
        batch = self.add_labels(batch)
        patches = self._predict(self.generator, batch).flatten(0, 1)
        with torch.autocast(patches.device.type, enabled=False):
            return self._objective(batch, patches, self.probes, self.good, self.background)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of shapes
        """Make AdamW and its schedule."""
        optimiser = torch.optim.AdamW(self.generator.parameters(), lr=self._settings.learning_rate)
        schedule = LambdaLR(optimiser, lambda step: scale_rate(step, self._settings, self._main_steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Set the learning rate of the next step: a checkpoint of a shorter training stores the one after its end."""
        schedule = self.lr_schedulers()
        if isinstance(schedule, LambdaLR):
            share = scale_rate(schedule.last_epoch, self._settings, self._main_steps)
            for group in schedule.optimizer.param_groups:
                group["lr"] = self._settings.learning_rate * share

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the record, so that one file is enough to build the module again."""
        checkpoint["ptycho_torch"] = self.record


def scale_rate(step: int, settings: TrainingSettings, main_steps: int) -> float:
    """Find the learning rate of a step as a share of the highest: linear warm-up, schedule, then fine-tuning."""
    if step >= main_steps:
        return settings.fine_tune_rate
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / (main_steps - settings.warmup_steps)
    if settings.schedule == "cosine":
        return settings.last_rate + (1 - settings.last_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return settings.last_rate**progress if settings.schedule == "exponential" else 1.0
