"""A trained network over a scan: patches streamed into two canvases, so that memory does not grow with the scan."""

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
from ptycho_torch.physics.merge import finish_merge
from ptycho_torch.physics.patches import patch_index, scatter
from ptycho_torch.physics.probe import check_probe
from ptycho_torch.physics.propagate import intensity
from ptycho_torch.physics.scale import network_input
from ptycho_torch.runtime.progress import Progress

_LIT_SHARE = 0.05
# patterns times pixels that the network sees at once, so that memory is bounded whatever is asked for
_LARGEST_BATCH_PX = 2**22
# patches beyond are made twice: to find their phases, and to merge them
_MOST_KEPT_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network makes of a scan.

    Attributes:
        canvas: the merged object.
        light: (height, width) photons that fell on each canvas pixel, Σ|P|².
        spread: (height, width) weighted standard deviation of the patches that overlap there.
    """

    canvas: Canvas
    light: NDArray[np.float32]
    spread: NDArray[np.float32]


class Predictor:
    """A generator with one probe on one device.

    Args:
        generator: the trained network; it is moved to the device.
        probe: (mode, h, w) probe, in √photons.
        photons_per_pattern: mean photons of the patterns to come, which normalises their dose.
        device: where to compute.
        weighting: `light` averages overlapping patches by the light that each had, `uniform` alike wherever the probe
            has more than 5 % of its brightest pixel.
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
        self.light = intensity(wave.to(device))
        lit = (self.light > _LIT_SHARE * self.light.max()).to(self.light.dtype)
        self._weight = self.light if weighting == "light" else lit * self.light.max()

    @torch.inference_mode()
    def patches(self, scan: Scan, patterns: slice | NDArray[np.int64]) -> Tensor:
        """Complex object patches of some patterns, (pattern, h, w), on the device."""
        counts = torch.from_numpy(scan.counts[patterns] * scan.good_pixels).to(self._device)
        result: Tensor = self._generator(network_input(counts, self._photons), self.light[None])
        return result

    def predict(self, scan: Scan, batch_size: int, progress: Progress | None = None) -> Prediction:
        """The whole object of a scan, each patch turned by the phase that makes it agree with its neighbours.

        Args:
            scan: patterns of the size that the network was made for.
            batch_size: patterns that the network sees at once, fewer where they are too large for so many.
            progress: called after each batch with the number of patterns done.
        """
        frame = Frame(scan.positions_px, scan.patch_px)
        batch_size = min(batch_size, max(1, _LARGEST_BATCH_PX // scan.patch_px**2))
        # line by line, so that neighbours come soon after one another whatever path the scan took
        order = np.lexsort(scan.positions_px.T[::-1])
        batches = np.split(order, range(batch_size, len(scan), batch_size))
        kept: dict[int, Tensor] = {}

        def patches(number: int) -> Tensor:
            made = kept.get(number)
            if made is None:
                made = self.patches(scan, batches[number])
                if (number + 1) * made.nbytes <= _MOST_KEPT_BYTES:
                    kept[number] = made
                if progress:
                    progress(min((number + 1) * batch_size, len(scan)), None)
            return made

        pairs = pair_neighbours(scan.positions_px)
        overlaps = measure_overlaps(patches, batches, pairs, frame.corners_px, self._weight)
        turns = torch.from_numpy(synchronise(pairs, overlaps, len(scan))).to(self._device)
        turned = ((batch, turns[torch.from_numpy(batch), None, None] * patches(n)) for n, batch in enumerate(batches))
        return self.merge(scan, turned)

    def merge(self, scan: Scan, parts: Iterable[tuple[NDArray[np.int64], Tensor]]) -> Prediction:
        """Patches as they are to one object; each part is the numbers of some patterns and their (pattern, h, w)."""
        frame = Frame(scan.positions_px, scan.patch_px)
        shape, side = frame.shape_px, frame.patch_px
        corners = torch.from_numpy(frame.corners_px).to(self._device)
        weighted = torch.zeros(shape, dtype=torch.complex64, device=self._device)
        total, light, squares = (torch.zeros(shape, device=self._device) for _ in range(3))
        for batch, patches in parts:
            index = patch_index(corners[torch.from_numpy(batch)], side, shape[1])
            weighted += scatter(patches * self._weight, index, shape)
            total += scatter(self._weight.expand(len(patches), -1, -1), index, shape)
            light += scatter(self.light.expand(len(patches), -1, -1), index, shape)
            squares += scatter((patches.real.square() + patches.imag.square()) * self._weight, index, shape)
        merged = finish_merge(weighted, total, self._weight)
        mean = weighted / total.clamp_min(torch.finfo(total.dtype).tiny)
        variance = squares / total.clamp_min(torch.finfo(total.dtype).tiny) - mean.abs().square()
        return Prediction(
            Canvas(merged.cpu().numpy(), frame.origin_px, scan.pixel_m),
            light.cpu().numpy(),
            variance.clamp_min(0).sqrt().cpu().numpy(),
        )
