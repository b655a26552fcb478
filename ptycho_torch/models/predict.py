"""A trained network applied to a scan in batches, so that memory hardly grows with the number of patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.grouping import pair_neighbours
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.phases import measure_overlaps, synchronise
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.background import subtract_background
from ptycho_torch.physics.merge import finish_merge
from ptycho_torch.physics.patches import index_patches, scatter
from ptycho_torch.physics.probe import check_probe
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.runtime.progress import Progress

_LIT_SHARE = 0.05
# pixels per batch, which bound the memory whatever the batch size
_LARGEST_BATCH_PX = 2**22
# patches beyond are predicted twice: to find their phases, and to merge them
_MOST_KEPT_BYTES = 2**30


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


class Predictor:
    """A generator with one probe on one device.

    Args:
        generator: the trained network; it is moved to the device.
        probe: (mode, h, w) probe, in √photons.
        photons_per_pattern: mean photons per pattern, without the background, which normalises the dose.
        device: where to compute.
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
    ) -> None:
        self._generator = generator.to(device).eval()
        self._photons = photons_per_pattern
        self._device = device
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

    def predict(self, scan: Scan, batch_size: int, progress: Progress | None = None) -> Prediction:
        """Predict the object of a scan, each patch multiplied by the phase factor that makes it agree with the others.

        Args:
            scan: patterns of the size that the network was trained on.
            batch_size: patterns per batch, fewer if they are large.
            progress: called after each batch with the number of patterns done.
        """
        frame = Frame(scan.positions_px, scan.patch_px)
        batch_size = min(batch_size, max(1, _LARGEST_BATCH_PX // scan.patch_px**2))
        # sorted by row, so that neighbours follow each other closely whatever the scan path
        order = np.lexsort(scan.positions_px.T[::-1])
        batches = np.split(order, range(batch_size, len(scan), batch_size))
        kept: dict[int, Tensor] = {}

        def predict_batch(number: int) -> Tensor:
            if number in kept:
                return kept[number]
            patches = self.predict_patches(scan, batches[number])
            if (number + 1) * patches.nbytes <= _MOST_KEPT_BYTES:
                kept[number] = patches
            if progress:
                progress(min((number + 1) * batch_size, len(scan)), None)
            return patches

        pairs = pair_neighbours(scan.positions_px)
        overlaps = measure_overlaps(predict_batch, batches, pairs, frame.corners_px, self._weight)
        factors = torch.from_numpy(synchronise(pairs, overlaps, len(scan))).to(self._device)
        return self.merge(
            scan, ((batch, factors[batch, None, None] * predict_batch(n)) for n, batch in enumerate(batches))
        )

    def merge(self, scan: Scan, parts: Iterable[tuple[NDArray[np.int64], Tensor]]) -> Prediction:
        """Merge patches into one object; each part is indices of patterns with their patches, (pattern, h, w)."""
        frame = Frame(scan.positions_px, scan.patch_px)
        shape, side = frame.shape_px, frame.patch_px
        corners = torch.from_numpy(frame.corners_px).to(self._device)
        weighted = torch.zeros(shape, dtype=torch.complex64, device=self._device)
        total, illumination, squares = (torch.zeros(shape, device=self._device) for _ in range(3))
        for batch, patches in parts:
            index = index_patches(corners[batch], side, shape[1])
            weighted += scatter(patches * self._weight, index, shape)
            total += scatter(self._weight.expand(len(patches), -1, -1), index, shape)
            illumination += scatter(self.illumination.expand(len(patches), -1, -1), index, shape)
            squares += scatter((patches.real.square() + patches.imag.square()) * self._weight, index, shape)
        merged = finish_merge(weighted, total, self._weight)
        mean = weighted / total.clamp_min(torch.finfo(total.dtype).tiny)
        variance = squares / total.clamp_min(torch.finfo(total.dtype).tiny) - mean.abs().square()
        return Prediction(
            Canvas(merged.cpu().numpy(), frame.origin_px, scan.pixel_m),
            illumination.cpu().numpy(),
            variance.clamp_min(0).sqrt().cpu().numpy(),
        )
