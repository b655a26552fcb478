"""The training step: patterns to patches to merged object to expected counts to loss."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.data.dataset import Batch
from ptycho_torch.errors import DivergenceError
from ptycho_torch.losses import Loss, total_variation
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.forward import expected_counts
from ptycho_torch.physics.merge import merge
from ptycho_torch.physics.patches import gather, patch_index
from ptycho_torch.physics.probe import probe_intensity, shift_pairs
from ptycho_torch.physics.scale import network_input
from ptycho_torch.training.optim import StepSizes


class ReconstructionModule(lightning.LightningModule):
    """A network that learns from diffraction patterns alone, through the physics that made them.

    Attributes:
        probes: (scan, mode, h, w) probe of each training scan, in √photons.
        photons: (scan,) mean photons of a pattern of each.
        good: (scan, h, w) 1 on good detector pixels, 0 on bad ones.

    Args:
        generator: patterns to complex patches.
        probes: see above.
        photons: see above.
        good: see above.
        loss: likelihood of counts.
        step_sizes: step size of each step.
        unmerged_weight: share of the loss taken from patches before they are merged.
        variation_weight: weight of the patches' total variation.
        record: plain values stored in every checkpoint, from which the module can be built again.
    """

    probes: Tensor
    photons: Tensor
    good: Tensor

    def __init__(
        self,
        generator: Generator,
        probes: Complex[Tensor, "scan mode h w"],
        photons: Float[Tensor, " scan"],
        good: Float[Tensor, "scan h w"],
        *,
        loss: Loss,
        step_sizes: StepSizes,
        unmerged_weight: float,
        variation_weight: float,
        record: dict[str, Any],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("probes", probes)
        self.register_buffer("photons", photons)
        self.register_buffer("good", good)
        self.record = record
        self._loss = loss
        self._step_sizes = step_sizes
        self._unmerged_weight = unmerged_weight
        self._variation_weight = variation_weight

    def forward(
        self, counts: Float[Tensor, "group pattern h w"], scan_index: Tensor
    ) -> Complex[Tensor, "group pattern h w"]:
        """Object patches of groups of patterns, each pattern by itself."""
        groups, size = counts.shape[:2]
        amplitude = network_input(counts, self.photons[scan_index][:, None, None, None]).flatten(0, 1)
        light = probe_intensity(self.probes[scan_index]).repeat_interleave(size, dim=0)
        patches: Tensor = self.generator(amplitude, light)
        return patches.unflatten(0, (groups, size))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch.

        Raises:
            DivergenceError: it is not finite.
        """
        loss = self._batch_loss(batch)
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the training loss is {float(loss.detach())} at step {self.global_step}; a smaller learning_rate helps"
            )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(batch.counts))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss of groups that training does not see."""
        self.log("val_loss", self._batch_loss(batch), prog_bar=True, batch_size=len(batch.counts))

    def _batch_loss(self, batch: Batch) -> Tensor:
        groups, size, side, _ = batch.counts.shape
        scan = batch.scan_index.repeat_interleave(size)
        patches = self(batch.counts, batch.scan_index).flatten(0, 1)
        counts, good = batch.counts.flatten(0, 1), self.good[scan]
        # all groups lie below one another on one tall canvas
        height, width = (batch.corners_px.amax(dim=(0, 1)) + side).tolist()
        below = torch.arange(groups, device=scan.device)[:, None] * height
        corners = torch.stack([batch.corners_px[..., 0] + below, batch.corners_px[..., 1]], dim=-1).flatten(0, 1)
        index = patch_index(corners, side, width)
        light = probe_intensity(self.probes)
        # as a share of each probe's brightest pixel: what is faint must not depend on the other scans of a batch
        light = (light / light.amax(dim=(-2, -1), keepdim=True))[scan]
        merged = merge(patches, light, index, (groups * height, width))
        probes = shift_pairs(self.probes[scan], batch.shifts_px.flatten(0, 1))
        share = self._unmerged_weight
        loss = (1 - share) * self._loss(expected_counts(gather(merged, index, side), probes), counts, good)
        if share:
            loss = loss + share * self._loss(expected_counts(patches, probes), counts, good)
        if self._variation_weight:
            loss = loss + self._variation_weight * total_variation(patches)
        return loss

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of shapes
        """AdamW with the scheduled step sizes."""
        optimiser = torch.optim.AdamW(self.generator.parameters(), lr=self._step_sizes.highest)
        schedule = self._step_sizes.attach(optimiser)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the record, so that one file is enough to build the module again."""
        checkpoint["ptycho_torch"] = self.record
