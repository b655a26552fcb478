"""A trained network applied to a scan in batches, so that memory hardly grows with the number of patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.grouping import pair_neighbours
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.kept_patches import KeptPatches
from ptycho_torch.models.phases import measure_overlaps, synchronise
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.background import subtract_background
from ptycho_torch.physics.merge import finish_merge
from ptycho_torch.physics.patches import index_patches, scatter
from ptycho_torch.physics.probe import check_probe
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.runtime.saved_state import UNSAVED, Stage, Values
from ptycho_torch.solve.state import pack_array, pack_canvas, unpack_canvas

_LIT_SHARE = 0.05
# pixels per batch, which bound the memory whatever the batch size
_LARGEST_BATCH_PX = 2**22


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's object of a scan.

    Attributes:
        canvas: the merged object.
        illumination: (height, width) photons on each canvas pixel, Σ|P|².
        spread: (height, width) weighted standard deviation of the overlapping patches.
    """

    canvas: Canvas
    illumination: NDArray[np.float32]
    spread: NDArray[np.float32]

    def dump(self) -> Values:
        """Return the prediction as tensors and plain values, in which it is saved."""
        images = {"illumination": pack_array(self.illumination), "spread": pack_array(self.spread)}
        return {"canvas": pack_canvas(self.canvas), **images}

    @classmethod
    def load(cls, values: Values) -> Self:
        """Make the prediction that `dump` returned."""
        return cls(unpack_canvas(values["canvas"]), values["illumination"].numpy(), values["spread"].numpy())


class Predictor:
    """A generator with one probe on one device.

    Args:
        generator: the trained network; it is moved to the device.
        probe: (mode, h, w) probe, in √photons.
        photons_per_pattern: mean photons per pattern, without the background, which normalises the dose.
        device: where to compute.
        ranks: the place of this process among those that share the scan's patterns.
        weighting: `light` averages overlapping patches by their illumination, `uniform` equally wherever the probe has
            more than 5 % of the intensity of its brightest pixel.
    """

    def __init__(
        self,
        generator: Generator,
        probe: NDArray[np.complex64],
        photons_per_pattern: float,
        device: torch.device,
        weighting: str = "light",
        ranks: Ranks = ALONE,
    ) -> None:
        self._generator = generator.to(device).eval()
        self._photons = photons_per_pattern
        self._device, self._ranks = device, ranks
        wave = torch.from_numpy(np.array(probe))
        check_probe(wave, probe.shape[-1])
        self._wave = wave.to(device)
        self.illumination = sum_intensities(self._wave)
        lit = (self.illumination > _LIT_SHARE * self.illumination.max()).to(self.illumination.dtype)
        self._weight = self.illumination if weighting == "light" else lit * self.illumination.max()

    @torch.inference_mode()
    def predict_patches(self, scan: Scan, patterns: slice | NDArray[np.int64]) -> Tensor:
        """Predict the complex object patches of some patterns, (pattern, h, w), on the device."""
        good = torch.from_numpy(scan.good_pixels.astype(np.float32)).to(self._device)
        counts = torch.from_numpy(scan.counts[patterns] * scan.good_pixels).to(self._device)
        background = None if scan.background is None else torch.from_numpy(scan.background.copy()).to(self._device)
        sample_counts = subtract_background(counts, background)
        result: Tensor = self._generator(make_network_input(sample_counts, self._photons), self._wave[None], good[None])
        return result

    def predict(
        self, scan: Scan, batch_size: int, progress: Progress | None = None, stage: Stage = UNSAVED
    ) -> Prediction:
        """Predict the object of a scan, each patch multiplied by the phase factor that makes it agree with the others.

        Each process predicts a block of neighbouring patterns, and those of the next blocks that overlap with it once
        more, to compare them.

        Args:
            scan: patterns of the size that the network was trained on.
            batch_size: patterns per batch, fewer if they are large.
            progress: called after each batch with the number of patterns done.
            stage: where complete batches are saved, and from which the next one goes on; several processes, each of
                which has batches of its own, save what they have found together.
        """
        frame = Frame(scan.positions_px, scan.patch_px)
        batch_size = min(batch_size, max(1, _LARGEST_BATCH_PX // scan.patch_px**2))
        # sorted by row, so that neighbours follow each other closely whatever the scan path
        order, pairs = np.lexsort(scan.positions_px.T[::-1]), pair_neighbours(scan.positions_px)
        block, beyond, compared = _take_block(order, pairs, self._ranks)
        own = _split(block, batch_size)
        batches = own + _split(beyond, batch_size)
        kept = KeptPatches(self._device)

        def predict_batch(number: int) -> Tensor:
            known = kept.find(number)
            if known is not None:
                return known
            patches = self.predict_patches(scan, batches[number])
            kept.put(number, patches)
            if progress and number < len(own):
                progress(min((number + 1) * batch_size * self._ranks.size, len(scan)), None)
            return patches

        saved = stage if self._ranks.size == 1 else UNSAVED
        phases = stage.part("phases")
        factors = phases.load(lambda values: _restore_factors(values, len(scan)))
        if factors is None:
            overlaps = torch.zeros(len(pairs), dtype=torch.complex128)
            overlaps[torch.from_numpy(compared)] = torch.from_numpy(
                measure_overlaps(
                    predict_batch, batches, pairs[compared], frame.corners_px, self._weight, saved.part("overlaps")
                )
            )
            found = self._ranks.sum(overlaps).numpy()
            factors = torch.from_numpy(synchronise(pairs, found, len(scan)))
            phases.finish({"factors": factors})
        turns, merging = factors.to(self._device), saved.part("merge")
        left = range(merging.load(lambda values: int(values["batches"])) or 0, len(own))
        parts = ((own[number], turns[own[number], None, None] * predict_batch(number)) for number in left)
        return self.merge(scan, parts, merging)

    def merge(
        self, scan: Scan, parts: Iterable[tuple[NDArray[np.int64], Tensor]], stage: Stage = UNSAVED
    ) -> Prediction:
        """Merge patches of all processes into one object, the same in each of them.

        Args:
            scan: the scan.
            parts: indices of this process's patterns with their patches, (pattern, h, w).
            stage: where the merge of complete parts is saved, and from which it goes on with the parts given here.
        """
        frame = Frame(scan.positions_px, scan.patch_px)
        shape, side = frame.shape_px, frame.patch_px
        corners = torch.from_numpy(frame.corners_px).to(self._device)
        weighted = torch.zeros(shape, dtype=torch.complex64, device=self._device)
        total, illumination, squares = (torch.zeros(shape, device=self._device) for _ in range(3))
        totals = {"weighted": weighted, "total": total, "illumination": illumination, "squares": squares}
        start = stage.load(lambda values: _restore_totals(values, totals)) or 0
        for number, (batch, patches) in enumerate(parts, start=start + 1):
            index = index_patches(corners[batch], side, shape[1])
            weighted += scatter(patches * self._weight, index, shape)
            total += scatter(self._weight.expand(len(patches), -1, -1), index, shape)
            illumination += scatter(self.illumination.expand(len(patches), -1, -1), index, shape)
            squares += scatter((patches.real.square() + patches.imag.square()) * self._weight, index, shape)
            stage.reach(partial(dict, totals, batches=number))
        for total_of_process in totals.values():
            self._ranks.sum(total_of_process)
        merged = finish_merge(weighted, total, self._weight)
        mean = weighted / total.clamp_min(torch.finfo(total.dtype).tiny)
        variance = squares / total.clamp_min(torch.finfo(total.dtype).tiny) - mean.abs().square()
        return Prediction(
            Canvas(merged.cpu().numpy(), frame.origin_px, scan.pixel_m),
            illumination.cpu().numpy(),
            variance.clamp_min(0).sqrt().cpu().numpy(),
        )


def _take_block(
    order: NDArray[np.int64], pairs: NDArray[np.int64], ranks: Ranks
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find this process's patterns, the later ones that it compares with them, and the pairs that it compares.

    Args:
        order: (pattern,) all patterns, neighbours close to each other.
        pairs: (pair, 2) patterns that overlap.
        ranks: the place of this process.
    """
    bounds = np.linspace(0, len(order), ranks.size + 1).round().astype(np.int64)
    block_of = np.empty(len(order), np.int64)
    block_of[order] = np.repeat(np.arange(ranks.size), np.diff(bounds))
    compared = np.flatnonzero(block_of[pairs].min(axis=1) == ranks.rank)
    seen = np.zeros(len(order), bool)
    seen[pairs[compared].ravel()] = True
    beyond = order[bounds[ranks.rank + 1] :]
    return order[bounds[ranks.rank] : bounds[ranks.rank + 1]], beyond[seen[beyond]], compared


def _restore_factors(values: Values, patterns: int) -> Tensor:
    factors: Tensor = values["factors"]
    if factors.shape != (patterns,) or not factors.is_complex():
        raise ValueError(f"the factors have shape {tuple(factors.shape)}")
    return factors


def _restore_totals(values: Values, totals: Mapping[str, Tensor]) -> int:
    """Fill in the totals that were saved; returns the number of parts in them."""
    for name, total in totals.items():
        total.copy_(values[name])
    return int(values["batches"])


def _split(patterns: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [patterns[start : start + size] for start in range(0, len(patterns), size)]
