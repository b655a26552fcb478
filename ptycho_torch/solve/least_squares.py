"""Mini-batch least squares on amplitudes (the rPIE / LSQ family) with momentum and a probe update.

For a mini-batch of patterns k with waves Ψ_k = F(P_k·O) and residual exit waves χ_k = F⁻¹[Ψ_k(√n_k/√λ_k − 1)]

    ΔO = Σ scatter(P_k* χ_k) / (D + β·max D),           D = Σ scatter |P_k|²
    ΔP = γ · Σ shift⁻¹(O_k* χ_k) / (Σ|O_k|² + 0.1·max)

(A. Maiden, D. Johnson, P. Li, Optica 4, 736 (2017), there one pattern at a time.) Long-range phase travels only from
overlap to overlap, so the object also moves by a running sum of its steps; over the last third of the epochs step and
momentum shrink, which averages the noise of single mini-batches away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fft import fft2, ifft2

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.patches import gather, scatter
from ptycho_torch.physics.probe import probe_intensity, unshift_sum
from ptycho_torch.solve.constraints import keep_centre, keep_power
from ptycho_torch.solve.scan_model import Problem

_MOMENTUM = 0.3
# a probe that still moves makes every step less certain: forget sooner, damp more
_FRICTION_FIXED, _FRICTION_MOVING = 0.95, 0.9
_REGULARISATION_FIXED, _REGULARISATION_MOVING = 0.02, 0.1
_SHRINK_FROM = 0.65
_LAST_STEP = 0.1
_LEAST_AMPLITUDE = 1e-6


class LeastSquares:
    """The solver's state: object, probe and momentum; `epoch` moves them.

    Args:
        problem: the scan.
        canvas: object to start from, (height, width) complex.
        probe: wrapped probe to start from, (mode, h, w) complex.
        settings: epochs, mini-batches, steps.
    """

    def __init__(self, problem: Problem, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        self.problem = problem
        self.canvas = canvas
        self.probe = probe
        self._settings = settings
        self._start_probe = probe
        self._velocity = torch.zeros_like(canvas)
        self._batches = problem.partition(settings.batches, settings.seed)
        self._indices = [problem.index(batch) for batch in self._batches]
        self._amplitudes = [problem.counts[batch].sqrt() for batch in self._batches]
        self._order = torch.Generator().manual_seed(settings.seed + 1)
        self._probe_from = round(settings.probe_start * settings.epochs)
        moves = self._probe_from < settings.epochs
        self._friction = _FRICTION_MOVING if moves else _FRICTION_FIXED
        self._cached = not moves and problem.fits_in_cache(len(probe))
        self._damping = settings.regularisation or (_REGULARISATION_MOVING if moves else _REGULARISATION_FIXED)
        self._probes = [problem.shifted(probe, batch) for batch in self._batches] if self._cached else []
        self._refresh_illumination()

    def _refresh_illumination(self) -> None:
        self._lights = [self.problem.illumination(self.probe, batch) for batch in self._batches]
        self._peaks = [light.max() for light in self._lights]

    def epoch(self, number: int) -> float:
        """Visit every pattern once; returns R over the epoch as it went.

        Raises:
            DivergenceError: object or probe left the finite numbers.
        """
        moves_probe = number >= self._probe_from
        progress = (number + 1) / self._settings.epochs
        step = 1.0 if progress <= _SHRINK_FROM else _LAST_STEP ** ((progress - _SHRINK_FROM) / (1 - _SHRINK_FROM))
        squared = torch.zeros((), device=self.canvas.device)
        for batch in torch.randperm(len(self._batches), generator=self._order).tolist():
            squared += self._visit(batch, step, moves_probe=moves_probe)
        if moves_probe:
            self.canvas, self.probe = keep_power(self.canvas, self.probe, self._start_probe)
            self.canvas, self.probe = keep_centre(self.canvas, self.probe, self._start_probe)
            self._refresh_illumination()
        error = float((squared / self.problem.counts.sum()).sqrt())
        if not torch.isfinite(torch.view_as_real(self.canvas)).all() or not error < float("inf"):
            raise DivergenceError(
                f"least squares diverged in epoch {number + 1}; a larger regularisation or a smaller probe_rate helps"
            )
        return error

    def _visit(self, batch: int, step: float, *, moves_probe: bool) -> Tensor:
        problem, patterns, index = self.problem, self._batches[batch], self._indices[batch]
        probes = self._probes[batch] if self._cached else problem.shifted(self.probe, patterns)
        patches = gather(self.canvas, index, problem.scan.patch_px)
        waves = fft2(patches.unsqueeze(1) * probes, norm="ortho")
        modelled, measured = probe_intensity(waves).sqrt(), self._amplitudes[batch]
        ratio = (measured / (modelled + _LEAST_AMPLITUDE) - 1) * problem.good
        residual = ifft2(waves * ratio.unsqueeze(1), norm="ortho")
        wanted = scatter((probes.conj() * residual).sum(1), index, problem.frame.shape_px)
        wanted /= self._lights[batch] + self._damping * self._peaks[batch]
        if moves_probe:
            self._move_probe(patches, residual, patterns, step)
        self._velocity.mul_(self._friction).add_(wanted)
        self.canvas = self.canvas + step * (wanted + _MOMENTUM * self._velocity)
        return ((modelled - measured) * problem.good).square().sum()

    def _move_probe(self, patches: Tensor, residual: Tensor, patterns: Tensor, step: float) -> None:
        weight = (patches.real.square() + patches.imag.square()).sum(0)
        moved = unshift_sum(patches.conj().unsqueeze(1) * residual, self.problem.shifts_px[patterns])
        self.probe = self.probe + step * self._settings.probe_rate * moved / (weight + 0.1 * weight.max())
