"""What a network is trained for: one number from the patches that it predicts for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.losses import Loss, Prior, find_mean_phase, object_mae
from ptycho_torch.physics.merge import merge
from ptycho_torch.physics.patches import gather, index_patches
from ptycho_torch.physics.probe import shift_pairs
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.training.dataset import Batch

PatchLoss = Callable[[Tensor], Tensor]
# batch, and for each of its patterns: probe, good pixels, background or None, relative illumination
Target = Callable[[Batch, Tensor, Tensor, Tensor | None, Tensor], PatchLoss]


def compare_patterns(loss: Loss) -> Target:
    """Compare the counts that the forward model expects of the patches with the measured ones."""

    def make_loss(
        batch: Batch, probes: Tensor, good: Tensor, background: Tensor | None, illumination: Tensor
    ) -> PatchLoss:
        counts, shifted = batch.counts.flatten(0, 1), shift_pairs(probes, batch.shifts_px.flatten(0, 1))
        share = _find_share(batch.pixel_share)
        return lambda patches: share * loss(expect_counts(patches, shifted, background), counts, good)

    return make_loss


def compare_objects(*, level: bool) -> Target:
    """Compare the patches with the labels, which are patches of the true object or of a teacher.

    Args:
        level: remove the mean phase of each label, which its pattern does not determine.
    """

    def make_loss(
        batch: Batch, probes: Tensor, good: Tensor, background: Tensor | None, illumination: Tensor
    ) -> PatchLoss:
        labels = batch.labels.flatten(0, 1)
        if level:
            labels = labels * find_mean_phase(labels, illumination).conj()
        share = _find_share(batch.patch_share)
        return lambda patches: share * object_mae(patches, labels, illumination)

    return make_loss


def mix(first: Target, second: Target, weight: float) -> Target:
    """Compare with two targets.

    Args:
        first: the one that gets the rest of the weight.
        second: the other one.
        weight: share of the loss that the second one gets.
    """

    def make_loss(
        batch: Batch, probes: Tensor, good: Tensor, background: Tensor | None, illumination: Tensor
    ) -> PatchLoss:
        losses = [make(batch, probes, good, background, illumination) for make in (first, second)]
        return lambda patches: (1 - weight) * losses[0](patches) + weight * losses[1](patches)

    return make_loss


class Objective:
    """The loss of patches, merged where they overlap and as they are, against a target, plus priors.

    Args:
        target: what the patches are compared with.
        unmerged_weight: share of the loss taken from patches before they are merged.
        priors: penalties on the patches, each with its weight.
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
        background: Float[Tensor, "scan h w"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of a batch; of a part of it, so that the mean over all processes is the loss of the whole.

        Args:
            batch: groups of patterns.
            patches: object patches of all its patterns, group after group.
            probes: probe of each scan, in √photons.
            good: 1 on good detector pixels of each scan, 0 on bad ones.
            background: mean photons beside those of the sample in each pattern of each scan; None if no scan has any.
        """
        scan = batch.scan_index.repeat_interleave(batch.counts.shape[1])
        illumination = sum_intensities(probes)
        # as a share of each probe's brightest pixel: what is faint must not depend on the other scans of a batch
        illumination = (illumination / illumination.amax(dim=(-2, -1), keepdim=True))[scan]
        illumination = batch.turn(illumination)
        of_patterns = None if background is None else batch.turn(background[scan])
        target_loss = self._target(batch, batch.turn(probes[scan]), batch.turn(good[scan]), of_patterns, illumination)
        share = self._unmerged_weight
        loss = (1 - share) * target_loss(_merge_groups(batch, patches, illumination))
        if share:
            loss = loss + share * target_loss(patches)
        for prior, weight in self._priors:
            loss = loss + weight * _find_share(batch.patch_share) * prior(patches, illumination)
        return loss


def _find_share(shares: Tensor) -> Tensor | float:
    """The factor of this process's part of a batch."""
    return shares[0] if len(shares) else 1.0


def _merge_groups(batch: Batch, patches: Tensor, illumination: Tensor) -> Tensor:
    """The patches cut again from the object that the patches of each group make together."""
    groups, _, side, _ = batch.counts.shape
    # all groups lie below one another on one tall canvas
    height, width = (batch.corners_px.amax(dim=(0, 1)) + side).tolist()
    below = torch.arange(groups, device=patches.device)[:, None] * height
    corners = torch.stack([batch.corners_px[..., 0] + below, batch.corners_px[..., 1]], dim=-1).flatten(0, 1)
    index = index_patches(corners, side, width)
    return gather(merge(patches, illumination, index, (groups * height, width)), index, side)
