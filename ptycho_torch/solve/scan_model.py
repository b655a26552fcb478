"""Problem: a scan as tensors in the order that the solvers work in, and Solution: what they return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fft import fft2, fftshift, ifftshift
from torch.utils.dlpack import from_dlpack

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.physics.patches import gather, patch_index, scatter
from ptycho_torch.physics.probe import probe_intensity, shift_probe
from ptycho_torch.physics.scale import calibrate_probe

_PLANE = (-2, -1)
_LARGEST_CACHE_BYTES = 2**30
_LEAST_BATCH = 6


@dataclass(frozen=True, eq=False)
class Solution:
    """A reconstruction.

    Attributes:
        canvas: the object.
        probe: (mode, h, w) complex64, in √photons, centred at [h//2, w//2].
        errors: R = √(Σ(√λ−√n)² / Σn) during each epoch, while object and probe still moved.
    """

    canvas: Canvas
    probe: NDArray[np.complex64]
    errors: tuple[float, ...]


class Problem:
    """A scan on a device, with patterns, probe and patches wrapped into the order of `fft2` (pixel zero first).

    Attributes:
        scan: the scan that this was made from.
        frame: where its patterns lie on the canvas.
        counts: (pattern, h, w) photons, zero on bad pixels.
        good: (h, w) 1 on good pixels, 0 on bad ones.
        shifts_px: (pattern, 2) sub-pixel part of the positions.
    """

    def __init__(self, scan: Scan, device: torch.device) -> None:
        self.scan = scan
        self.device = device
        self.frame = Frame(scan.positions_px, scan.patch_px)
        self.good = ifftshift(from_dlpack(scan.good_pixels), dim=_PLANE).float().to(device)
        self.counts = ifftshift(from_dlpack(scan.counts), dim=_PLANE).to(device) * self.good
        self.shifts_px = torch.from_numpy(self.frame.shifts_px).to(device)
        self._corners_px = torch.from_numpy(self.frame.corners_px).to(device)

    def index(self, patterns: Tensor) -> Tensor:
        """Flat canvas index of the wrapped patches of some patterns."""
        width = self.frame.shape_px[1]
        return patch_index(self._corners_px[patterns], self.scan.patch_px, width, wrapped=True)

    def partition(self, batches: int, seed: int) -> list[Tensor]:
        """All patterns in random mini-batches of nearly equal size, of six or more where the scan has them."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.scan), generator=generator).to(self.device)
        return list(order.tensor_split(min(batches, max(1, len(self.scan) // _LEAST_BATCH))))

    def start_object(self, guess: Canvas | None) -> Tensor:
        """The canvas to start from: ones where nothing is known."""
        if guess is None:
            return torch.ones(self.frame.shape_px, dtype=torch.complex64, device=self.device)
        return torch.from_numpy(guess.window(self.frame.origin_px, self.frame.shape_px)).to(self.device)

    def start_probe(self, probe: NDArray[np.complex64] | None, modes: int) -> Tensor:
        """A wrapped probe, calibrated to the measured photons, with as many modes as asked.

        Modes beyond those given start as weak copies of the first, tilted and made orthogonal to those before.

        Raises:
            DataError: there is no probe to start from.
        """
        given = self.scan.probe if probe is None else probe
        if given is None:
            raise DataError(f"{self.scan.name}: there is no probe to start from; give one with --probe or in the file")
        start = torch.from_numpy(np.array(given[:modes], np.complex64)).to(self.device)
        if len(start) < modes:
            start = _with_weak_modes(start, modes)
        return ifftshift(calibrate_probe(start, self.photons_per_pattern), dim=_PLANE)

    @property
    def photons_per_pattern(self) -> float:
        """Mean photons of a pattern on good pixels."""
        return self.scan.photons_per_pattern

    def illumination(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """Photons that fall on each canvas pixel during some patterns, to the nearest pixel."""
        spot = probe_intensity(probe)[None].expand(len(patterns), -1, -1)
        return scatter(spot.reshape(-1, *probe.shape[1:]), self.index(patterns), self.frame.shape_px)

    def shifted(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """The probe at the sub-pixel part of some positions."""
        return shift_probe(probe, self.shifts_px[patterns])

    def fits_in_cache(self, modes: int) -> bool:
        """Whether the shifted probes of all patterns may be kept."""
        return 8 * modes * self.counts.numel() < _LARGEST_CACHE_BYTES

    def expected(self, canvas: Tensor, probe: Tensor, patterns: Tensor) -> Tensor:
        """Expected photons of some patterns, wrapped like `counts`."""
        patches = gather(canvas, self.index(patterns), self.scan.patch_px)
        waves = fft2(patches.unsqueeze(1) * self.shifted(probe, patterns), norm="ortho")
        return probe_intensity(waves) * self.good

    def solution(self, canvas: Tensor, probe: Tensor, errors: list[float]) -> Solution:
        """Tensors back to arrays, the probe centred again."""
        pixels = canvas.detach().cpu().numpy()
        centred = fftshift(probe.detach(), dim=_PLANE).cpu().numpy()
        return Solution(Canvas(pixels, self.frame.origin_px, self.scan.pixel_m), centred, tuple(errors))


def _with_weak_modes(probe: Tensor, modes: int) -> Tensor:
    side = probe.shape[-1]
    tilt = torch.linspace(-1, 1, side, device=probe.device)
    first = probe[0]
    extra: list[Tensor] = []
    for number in range(len(probe), modes):
        order = (number + 1) // 2
        factor = tilt[:, None] ** order if number % 2 else tilt[None, :] ** order
        mode = first * factor
        for other in [*probe, *extra]:
            mode = mode - other * (torch.vdot(other.flatten(), mode.flatten()) / other.abs().square().sum())
        extra.append(mode * (0.1 * torch.linalg.norm(first) / torch.linalg.norm(mode)))
    return torch.stack([*probe, *extra])
