"""The training step: patterns to patches to merged object to expected counts to loss."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.errors import DivergenceError
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.background import subtract_background
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.objective import Objective
from ptycho_torch.training.optim import LearningRates


class ReconstructionModule(lightning.LightningModule):
    """A network in training, with what the loss needs of each scan.

    Attributes:
        probes: (scan, mode, h, w) probe of each training scan, in √photons.
        photons: (scan,) mean photons of a pattern of each, without its background.
        good: (scan, h, w) 1 on good detector pixels, 0 on bad ones.
        background: (scan, h, w) mean photons beside those of the sample in each pattern; None if no scan has any. It
            belongs to the scans and is not stored in checkpoints.

    Args:
        generator: patterns to complex patches.
        probes: see above.
        photons: see above.
        good: see above.
        background: see above.
        objective: the loss of the patches of a batch.
        learning_rates: learning rate of each step.
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
        learning_rates: LearningRates,
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
        self._learning_rates = learning_rates

    def forward(
        self, counts: Float[Tensor, "group pattern h w"], scan_index: Tensor
    ) -> Complex[Tensor, "group pattern h w"]:
        """Object patches of groups of patterns, each pattern by itself."""
        groups, size = counts.shape[:2]
        background = None if self.background is None else self.background[scan_index][:, None]
        sample_counts = subtract_background(counts, background)
        amplitude = make_network_input(sample_counts, self.photons[scan_index][:, None, None, None]).flatten(0, 1)
        light = sum_intensities(self.probes[scan_index]).repeat_interleave(size, dim=0)
        patches: Tensor = self.generator(amplitude, light)
        return patches.unflatten(0, (groups, size))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch.

        Raises:
            DivergenceError: the loss is not finite.
        """
        loss = self._compute_loss(batch)
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the training loss is {float(loss.detach())} at step {self.global_step}; use a smaller learning_rate"
            )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(batch.counts))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss of groups that training does not use."""
        self.log("val_loss", self._compute_loss(batch), prog_bar=True, batch_size=len(batch.counts))

    def _compute_loss(self, batch: Batch) -> Tensor:
        patches = self(batch.counts, batch.scan_index).flatten(0, 1)
        return self._objective(batch, patches, self.probes, self.good, self.background)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of shapes
        """AdamW with the scheduled learning rate."""
        optimiser = torch.optim.AdamW(self.generator.parameters(), lr=self._learning_rates.highest)
        schedule = self._learning_rates.attach(optimiser)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the record, from which the module can be built again."""
        checkpoint["ptycho_torch"] = self.record
