"""ScanModel: the forward model of a whole scan and its adjoint, and Solution: what a solver returns.

Solvers, evaluation and verdict all predict patterns by this model; the operators are those of `physics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.dlpack import from_dlpack

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import compute_counts, propagate_patches
from ptycho_torch.physics.losses import deviate_poisson
from ptycho_torch.physics.patches import gather, index_patches, scatter
from ptycho_torch.physics.probe import shift_probe, unshift_sum
from ptycho_torch.physics.propagate import propagate_back_wrapped, sum_intensities, unwrap, wrap
from ptycho_torch.physics.scale import calibrate_probe
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.held_out import HeldOut

_LARGEST_CACHE_BYTES = 2**30
_LEAST_BATCH = 6
_SUMS = ("squared", "free_squared", "photons", "free_photons")


@dataclass(frozen=True)
class Correction:
    """A correction of the scan, and whether held-out pixels are predicted better with it.

    Attributes:
        name: of what was corrected.
        free_before: R over held-out pixels without it.
        free_after: the same with it.
        is_kept: whether the result contains it.
        figures: what it changed, by name.
    """

    name: str
    free_before: float
    free_after: float
    is_kept: bool
    figures: dict[str, float]

    def __str__(self) -> str:
        """One sentence."""
        verdict = "kept" if self.is_kept else "dropped, as held-out pixels are not predicted better"
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return f"{self.name}: R free {self.free_before:.4f} before, {self.free_after:.4f} after; {verdict}; {figures}"


@dataclass(frozen=True, eq=False)
class Solution:
    """A reconstruction.

    Attributes:
        canvas: the object.
        probe: (mode, h, w) complex64, in √photons, centred at [h//2, w//2].
        errors: R = √(Σ(√λ−√n)² / Σn) during each epoch, while object and probe still moved.
        method: the solver that found it.
        free_errors: R over held-out pixels during each epoch; empty if none are held out.
        remarks: what else there is to know of the run, one sentence each.
        free_error: R over held-out pixels of the result; NaN if none are held out.
        corrections: what was tried to correct of the scan.
        scan: the scan as corrected; None if it is the one given.
        interrupted: name of the signal that ended the run before it was complete; empty if it was not interrupted.
    """

    canvas: Canvas
    probe: NDArray[np.complex64]
    errors: tuple[float, ...]
    method: str
    free_errors: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()
    free_error: float = math.nan
    corrections: tuple[Correction, ...] = ()
    scan: Scan | None = None
    interrupted: str = ""


@dataclass(frozen=True, eq=False)
class Misfit:
    """How far expected counts of some patterns are from the measured ones.

    Attributes:
        patterns: which patterns.
        free_deviance: (pattern,) Poisson deviance of each over its held-out pixels.
        squared: Σ(√λ−√n)².
        free_squared: the same over held-out pixels.
        photons: Σn.
        free_photons: Σn over held-out pixels.
    """

    patterns: Tensor
    free_deviance: Tensor
    squared: Tensor
    free_squared: Tensor
    photons: Tensor
    free_photons: Tensor

    @property
    def error(self) -> float:
        """R = √(Σ(√λ−√n)² / Σn) over all good pixels."""
        return float(self.squared / self.photons) ** 0.5

    @property
    def free_error(self) -> float:
        """R over held-out pixels; as if one photon were measured if none was."""
        return float(self.free_squared / self.free_photons.clamp_min(1)) ** 0.5


@dataclass(frozen=True, eq=False)
class Waves:
    """The factors of a mini-batch's patterns, all in wrapped order.

    Attributes:
        index: flat canvas index of every pixel of the patches.
        patches: (pattern, h, w) object patches.
        probes: (pattern, mode, h, w) probe at each position.
        detector: (pattern, mode, h, w) waves at the detector.
        expected: (pattern, h, w) photons, zero on bad pixels.
    """

    index: Tensor
    patches: Tensor
    probes: Tensor
    detector: Tensor
    expected: Tensor


class ScanModel:
    """A scan on a device, with patterns, probe and patches in wrapped order.

    Args:
        scan: see below.
        device: where to compute.
        ranks: see below.
        held_out_share: share of the good pixels of each pattern that solvers do not fit.
        seed: of the choice of those pixels, which does not depend on the number of processes.
        margin_px: further pixels on each side of the canvas, for positions that may move.

    Attributes:
        scan: the scan that the model describes.
        ranks: the place of this process among those that share the scan's patterns; every one knows all positions.
        frame: position of its patterns on the canvas.
        good: (h, w) 1 on good pixels, 0 on bad ones.
        background: (h, w) photons that each pattern contains in addition to those from the sample, or None.
        held_out: detector pixels that solvers do not fit.
        shifts_px: (pattern, 2) sub-pixel part of the positions.
    """

    def __init__(
        self,
        scan: Scan,
        device: torch.device,
        ranks: Ranks = ALONE,
        *,
        held_out_share: float = 0.0,
        seed: int = 0,
        margin_px: int = 0,
    ) -> None:
        self.scan = scan
        self.device = device
        self.ranks = ranks
        self.frame = Frame(scan.positions_px, scan.patch_px, margin_px)
        self.good = wrap(from_dlpack(scan.good_pixels)).float().to(device)
        self.held_out = HeldOut(self.good, len(scan), held_out_share, seed)
        self.background = None if scan.background is None else wrap(torch.from_numpy(scan.background.copy())).to(device)
        self.shifts_px = torch.from_numpy(self.frame.shifts_px).to(device)
        self._corners_px = torch.from_numpy(self.frame.corners_px).to(device)

    @cached_property
    def counts(self) -> Tensor:
        """(pattern, h, w) photons of this process's patterns, zero on bad pixels."""
        return self.load_counts(self.own)

    def load_counts(self, patterns: Tensor) -> Tensor:
        """Read the photons of some patterns, (pattern, h, w), zero on bad pixels."""
        return wrap(from_dlpack(self.scan.counts)[patterns.cpu()]).to(self.device) * self.good

    @property
    def total_counts(self) -> float:
        """Photons of all patterns of all processes on good pixels."""
        return self.scan.photons_per_pattern * len(self.scan)

    @property
    def patterns(self) -> Tensor:
        """Numbers of all patterns."""
        return torch.arange(len(self.scan), device=self.device)

    @property
    def own(self) -> Tensor:
        """Numbers of the patterns that this process looks after where no mini-batches are divided."""
        return self.ranks.share(self.patterns)

    def move(self, positions_px: Tensor) -> None:
        """Put the patterns at other positions (pattern, 2), on the same canvas, at most its margin away."""
        centres_px = positions_px.round()
        origin_px = torch.tensor(self.frame.origin_px, dtype=positions_px.dtype) + self.scan.patch_px // 2
        self._corners_px = (centres_px - origin_px).long().to(self.device)
        self.shifts_px = (positions_px - centres_px).float().to(self.device)

    def index(self, patterns: Tensor) -> Tensor:
        """Flat canvas index of the wrapped patches of some patterns."""
        width = self.frame.shape_px[1]
        return index_patches(self._corners_px[patterns], self.scan.patch_px, width, wrapped=True)

    def partition(self, batches: int, seed: int) -> list[Tensor]:
        """All patterns in random mini-batches of nearly equal size, at least six patterns each if the scan has six."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.scan), generator=generator).to(self.device)
        return list(order.tensor_split(min(batches, max(1, len(self.scan) // _LEAST_BATCH))))

    def start_object(self, guess: Canvas | None) -> Tensor:
        """The canvas to start from: ones where there is no initial guess."""
        if guess is None:
            return torch.ones(self.frame.shape_px, dtype=torch.complex64, device=self.device)
        return torch.from_numpy(guess.cut_window(self.frame.origin_px, self.frame.shape_px)).to(self.device)

    def start_probe(self, probe: NDArray[np.complex64] | None, modes: int) -> Tensor:
        """A wrapped probe, calibrated to the measured photons, with as many modes as asked.

        Modes beyond those given start as weak copies of the first, tilted and made orthogonal to those before.

        Raises:
            DataError: there is no probe to start from.
        """
        given = self.scan.require_probe() if probe is None else probe
        start = torch.from_numpy(np.array(given[:modes], np.complex64)).to(self.device)
        if len(start) < modes:
            start = _with_weak_modes(start, modes)
        return wrap(calibrate_probe(start, self.scan.sample_photons_per_pattern))

    def illumination(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """Photons on each canvas pixel during some patterns, whose positions are rounded to whole pixels."""
        spot = sum_intensities(probe).expand(len(patterns), -1, -1)
        return scatter(spot, self.index(patterns), self.frame.shape_px)

    def total_illumination(self, probe: Tensor) -> Tensor:
        """Photons on each canvas pixel during all patterns."""
        return self.ranks.sum(self.illumination(probe, self.own))

    def shifted(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """The probe at the sub-pixel part of some positions."""
        return shift_probe(probe, self.shifts_px[patterns])

    def fits_in_cache(self, modes: int) -> bool:
        """Whether the shifted probes of this process's patterns may be kept."""
        return 8 * modes * self.scan.counts.size < _LARGEST_CACHE_BYTES * self.ranks.size

    def waves(self, canvas: Tensor, probes: Tensor, patterns: Tensor, index: Tensor | None = None) -> Waves:
        """The forward model for some patterns.

        Args:
            canvas: the object.
            probes: (pattern, mode, h, w) the probe at each position, from `shifted`.
            patterns: which patterns.
            index: their `index`, if it is known already.
        """
        index = self.index(patterns) if index is None else index
        patches = gather(canvas, index, self.scan.patch_px)
        detector = propagate_patches(patches, probes, wrapped=True)
        expected = compute_counts(detector, self.background) * self.good
        return Waves(index, patches, probes, detector, expected)

    def expected(self, canvas: Tensor, probe: Tensor, patterns: Tensor) -> Tensor:
        """Expected photons of some patterns, wrapped like `counts`."""
        return self.waves(canvas, self.shifted(probe, patterns), patterns).expected

    def exit_waves(self, waves: Waves, factor: Tensor) -> Tensor:
        """Detector waves times a real (pattern, h, w) factor, propagated back to the sample."""
        return propagate_back_wrapped(waves.detector * factor.unsqueeze(1))

    def to_object(self, waves: Waves, exits: Tensor) -> Tensor:
        """Adjoint of canvas to exit waves: Σ scatter(P* χ)."""
        return scatter(torch.linalg.vecdot(waves.probes, exits, dim=1), waves.index, self.frame.shape_px)

    def to_probe(self, waves: Waves, exits: Tensor, patterns: Tensor) -> Tensor:
        """Adjoint of probe to exit waves: Σ unshift(O* χ)."""
        return unshift_sum(waves.patches.conj().unsqueeze(1) * exits, self.shifts_px[patterns])

    def fitted(self, patterns: Tensor) -> Tensor:
        """(pattern, h, w) 1 on good pixels that are not held out, 0 on others."""
        return self.held_out.clear(self.good.repeat(len(patterns), 1, 1), patterns)

    def misfit(self, expected: Tensor, amplitude: Tensor, patterns: Tensor) -> Misfit:
        """How far expected counts of some patterns, zero on bad pixels, are from the measured ones, given as √n."""
        index = self.held_out.index(patterns)
        free, free_amplitude = (images.flatten(1).gather(1, index) for images in (expected, amplitude))
        free_counts = free_amplitude.square()
        return Misfit(
            patterns,
            deviate_poisson(free, free_counts).sum(1),
            mse_loss(expected.sqrt(), amplitude, reduction="sum"),
            mse_loss(free.sqrt(), free_amplitude, reduction="sum"),
            torch.dot(amplitude.flatten(), amplitude.flatten()),
            free_counts.sum(),
        )

    def sum_misfits(self, batches: Iterable[Misfit]) -> Misfit:
        """The misfit of all patterns of all processes, from batches that contain each of them once."""
        number = len(self.scan)
        # in one tensor, so that processes exchange it at once
        values = torch.zeros(number + len(_SUMS), dtype=torch.float64, device=self.device)
        for batch in batches:
            values[batch.patterns] = batch.free_deviance.double()
            values[number:] += torch.stack([getattr(batch, name) for name in _SUMS])
        deviance, sums = self.ranks.sum(values).tensor_split([number])
        return Misfit(self.patterns, deviance, *sums)

    def to_canvas(self, canvas: Tensor) -> Canvas:
        """An object of this scan, with its place."""
        return Canvas(canvas.detach().cpu().numpy(), self.frame.origin_px, self.scan.pixel_m)


def calibrate_start_probe(scan: Scan, probe: NDArray[np.complex64] | None, modes: int) -> NDArray[np.complex64]:
    """Make a centred probe with a number of modes, calibrated to the photons of a scan.

    Raises:
        DataError: there is no probe to start from.
    """
    found: NDArray[np.complex64] = unwrap(ScanModel(scan, torch.device("cpu")).start_probe(probe, modes)).numpy()
    return found


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
