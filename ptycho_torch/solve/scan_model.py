"""ScanModel: the forward model of a whole scan and its adjoint, and Solution: what a solver returns.

Solvers, evaluation and verdict all predict patterns by this model; the operators are those of `physics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.dlpack import from_dlpack

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.physics.forward import compute_counts, propagate_patches
from ptycho_torch.physics.losses import deviate_poisson
from ptycho_torch.physics.patches import gather, index_patches, scatter
from ptycho_torch.physics.probe import shift_probe, unshift_sum
from ptycho_torch.physics.propagate import propagate_back_wrapped, sum_intensities, unwrap, wrap
from ptycho_torch.physics.scale import calibrate_probe
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.held_out import HeldOut

# tables of every pattern beyond this size are computed again whenever they are used
LARGEST_TABLE_BYTES = 2**27
_BLOCK_PX = 2**21
_LEAST_BATCH, _USUAL_BATCH = 6, 128
_FEWEST_BATCHES = 16
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

    def load_counts(self, patterns: Tensor) -> Tensor:
        """Read the photons of some patterns, (pattern, h, w), zero on bad pixels."""
        return wrap(torch.from_numpy(self.scan.counts[patterns.cpu().numpy()])).to(self.device) * self.good

    def split(self, patterns: Tensor) -> tuple[Tensor, ...]:
        """Divide patterns into blocks, as many as are computed at once, which bounds the memory for any number."""
        return patterns.split(max(1, _BLOCK_PX // self.scan.patch_px**2))

    def mean_pattern(self) -> Tensor:
        """Mean photons (h, w) of all patterns of all processes, zero on bad pixels."""
        total = torch.zeros_like(self.good)
        for block in self.split(self.own):
            total += self.load_counts(block).sum(0)
        return self.ranks.sum(total) / len(self.scan)

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

    def partition(self, batches: int | None, seed: int) -> list[Tensor]:
        """All patterns in random mini-batches of nearly equal size, at least six patterns each if the scan has six.

        Without a number there are 16, and more in a large scan: no mini-batch then has more than 128 patterns, or as
        many as cover the canvas once, since a longer one takes longer for each pattern and moves the object less often.
        """
        if batches is None:
            most = max(_USUAL_BATCH, math.prod(self.frame.shape_px) // self.scan.patch_px**2)
            batches = max(_FEWEST_BATCHES, -(-len(self.scan) // most))
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
            DataError: there is no probe to start from, or its power is too large a number or none.
        """
        given = self.scan.require_probe() if probe is None else probe
        start = torch.from_numpy(np.array(given[:modes], np.complex64)).to(self.device)
        if len(start) < modes:
            start = _with_weak_modes(start, modes)
        calibrated = calibrate_probe(start, self.scan.sample_photons_per_pattern)
        if not calibrated.abs().max() > 0:
            largest = float(start.abs().max())
            raise DataError(
                f"{self.scan.name}: the probe cannot be scaled to the photons; its largest value is {largest:.3g}"
            )
        return wrap(calibrated)

    def illumination(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """Photons on each canvas pixel during some patterns, whose positions are rounded to whole pixels."""
        return self.spread(sum_intensities(probe), patterns)

    def spread(self, spot: Tensor, patterns: Tensor) -> Tensor:
        """Add the same (h, w) values at the places of some patterns."""
        total = torch.zeros(self.frame.shape_px, dtype=spot.dtype, device=self.device)
        for block in self.split(patterns):
            total += scatter(spot.expand(len(block), -1, -1), self.index(block), self.frame.shape_px)
        return total

    def total_illumination(self, probe: Tensor) -> Tensor:
        """Photons on each canvas pixel during all patterns."""
        return self.ranks.sum(self.illumination(probe, self.own))

    def shifted(self, probe: Tensor, patterns: Tensor) -> Tensor:
        """The probe at the sub-pixel part of some positions."""
        return shift_probe(probe, self.shifts_px[patterns])

    def may_keep(self, bytes_per_pixel: float) -> bool:
        """Whether a table may be kept that takes so many bytes per detector pixel of this process's patterns."""
        return bytes_per_pixel * self.scan.counts.size <= LARGEST_TABLE_BYTES * self.ranks.size

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
        total = MisfitSum(self)
        for batch in batches:
            total.add(batch)
        return total.find()

    def to_canvas(self, canvas: Tensor) -> Canvas:
        """An object of this scan, with its place."""
        return Canvas(canvas.detach().cpu().numpy(), self.frame.origin_px, self.scan.pixel_m)


class MisfitSum:
    """The misfit of all patterns, from those of batches that are added as soon as they are found.

    Small tensors that outlive the large ones of their batches would divide the memory that those leave behind.
    """

    def __init__(self, model: ScanModel) -> None:
        self._model, self._number = model, len(model.scan)
        # in one tensor, so that processes exchange it at once
        self._values = torch.zeros(self._number + len(_SUMS), dtype=torch.float64, device=model.device)

    def add(self, batch: Misfit) -> None:
        """Add patterns that were not added yet."""
        self._values[batch.patterns] = batch.free_deviance.double()
        self._values[self._number :] += torch.stack([getattr(batch, name) for name in _SUMS])

    def find(self) -> Misfit:
        """The misfit of the patterns of all processes, which must call this."""
        deviance, sums = self._model.ranks.sum(self._values).tensor_split([self._number])
        return Misfit(self._model.patterns, deviance, *sums)


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
