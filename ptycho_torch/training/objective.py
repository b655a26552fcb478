"""What a network is trained for: one number from the patches that it made of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.forward import expected_counts
from ptycho_torch.physics.losses import Loss, Prior, mean_phase, object_mae
from ptycho_torch.physics.merge import merge
from ptycho_torch.physics.patches import gather, patch_index
from ptycho_torch.physics.probe import shift_pairs
from ptycho_torch.physics.propagate import intensity
from ptycho_torch.training.dataset import Batch

Misfit = Callable[[Tensor], Tensor]
Target = Callable[[Batch, Tensor, Tensor, Tensor], Misfit]


def patterns(loss: Loss) -> Target:
    """Hold patches against the counts that were measured, through the physics that made them."""

    def misfit(batch: Batch, probes: Tensor, good: Tensor, light: Tensor) -> Misfit:
        counts, shifted = batch.counts.flatten(0, 1), shift_pairs(probes, batch.shifts_px.flatten(0, 1))
        return lambda patches: loss(expected_counts(patches, shifted), counts, good)

    return misfit


def true_object(*, level: bool) -> Target:
    """Hold patches against the object itself.

    Args:
        level: remove the mean phase of each piece, which its pattern does not tell.
    """

    def misfit(batch: Batch, probes: Tensor, good: Tensor, light: Tensor) -> Misfit:
        labels = batch.labels.flatten(0, 1)
        if level:
            labels = labels * mean_phase(labels, light).conj()
        return lambda patches: object_mae(patches, labels, light)

    return misfit


class Objective:
    """Patches, merged where they overlap and as they are, against a target; and priors on them.

    Args:
        target: what they are held against.
        unmerged_weight: share of the loss taken from patches before they are merged.
        priors: what else is asked of the patches, with its weight.
    """

    def __init__(self, target: Target, unmerged_weight: float, priors: Sequence[tuple[Prior, float]] = ()) -> None:
        self._target = target
        self._unmerged_weight = unmerged_weight
        self._priors = priors

    def __call__(
        self,
        batch: Batch,
        patches: Complex[Tensor, "pattern h w"],
        probes: Complex[Tensor, "scan mode h w"],
        good: Float[Tensor, "scan h w"],
    ) -> Float[Tensor, ""]:
        """The loss of a batch.

        Args:
            batch: groups of patterns.
            patches: object patches of all its patterns, group after group.
            probes: probe of each scan, in √photons.
            good: 1 on good detector pixels of each scan, 0 on bad ones.
        """
        scan = batch.scan_index.repeat_interleave(batch.counts.shape[1])
        light = intensity(probes)
        # as a share of each probe's brightest pixel: what is faint must not depend on the other scans of a batch
        light = (light / light.amax(dim=(-2, -1), keepdim=True))[scan]
        misfit = self._target(batch, probes[scan], good[scan], light)
        share = self._unmerged_weight
        loss = (1 - share) * misfit(_merged(batch, patches, light))
        if share:
            loss = loss + share * misfit(patches)
        for prior, weight in self._priors:
            loss = loss + weight * prior(patches, light)
        return loss


def _merged(batch: Batch, patches: Tensor, light: Tensor) -> Tensor:
    """The patches cut again from the objects that the patches of each group make together."""
    groups, _, side, _ = batch.counts.shape
    # all groups lie below one another on one tall canvas
    height, width = (batch.corners_px.amax(dim=(0, 1)) + side).tolist()
    below = torch.arange(groups, device=patches.device)[:, None] * height
    corners = torch.stack([batch.corners_px[..., 0] + below, batch.corners_px[..., 1]], dim=-1).flatten(0, 1)
    index = patch_index(corners, side, width)
    return gather(merge(patches, light, index, (groups * height, width)), index, side)
