"""Mini-batch least squares on amplitudes (the rPIE / LSQ family) with momentum and a probe update.

For a mini-batch of patterns k with waves Ψ_k = F(P_k·O), expected photons λ_k and residual exit waves

    χ_k = F⁻¹[Ψ_k(√(n_k+0.1)/√(λ_k+0.1) − 1)]

    ΔO = Σ scatter(P_k* χ_k) / (D + β·max D),           D = Σ scatter |P_k|²
    ΔP = γ · Σ shift⁻¹(O_k* χ_k) / (Σ|O_k|² + 0.1·max)

(A. Maiden, D. Johnson, P. Li, Optica 4, 736 (2017), there one pattern at a time and without the 0.1, which reduces the
weight of empty detector pixels.) Long-range phase propagates only from overlap to overlap, so a running sum of the
object's steps, its momentum, is added to each step. The momentum of a pixel acts and decays in proportion to its
illumination by the mini-batch, w = D / (D + β·max D): without that factor, pixels that few patterns illuminate
diverge. Over the last third of the epochs the step decreases, which averages out the noise of single mini-batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.solve.defaults import find_damping
from ptycho_torch.solve.scan_model import Misfit, ScanModel
from ptycho_torch.solve.solver import Epoch, Solver, State, read_tensor

_MOMENTUM = 0.3
_FRICTION = 0.03
_SHRINK_FROM = 0.65
_LAST_STEP = 0.1
_OFFSET_COUNTS = 0.1


@dataclass
class _Batch:
    # the patterns of this process
    patterns: Tensor
    index: Tensor
    amplitude: Tensor
    offset_amplitude: Tensor
    # of the patterns of all processes
    gain: Tensor
    share: Tensor
    probes: Tensor | None


class LeastSquares(Solver):
    """Least squares on amplitudes; the arguments are those of `Solver` and the object, (height, width) complex."""

    method = "least_squares"
    # mini-batches are evaluated while the object changes: the objective of an epoch may rise so much by chance
    tolerance = 0.2
    watch_from = 0.0

    def __init__(self, model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        super().__init__(model, probe, settings)
        self.canvas, self.probe = canvas, probe
        self._velocity = torch.zeros_like(canvas)
        self._damping = settings.regularisation or find_damping(model, probe)
        cached = self._probe_from >= settings.epochs and model.fits_in_cache(len(probe))
        self._batches = []
        for part, gain in zip(self._partition, self._find_gains(), strict=True):
            patterns = part.patterns
            counts, index = model.load_counts(patterns), model.index(patterns)
            probes = model.shifted(probe, patterns) if cached else None
            amplitudes = counts.sqrt(), (counts + _OFFSET_COUNTS).sqrt()
            self._batches.append(_Batch(patterns, index, *amplitudes, *gain, probes))

    def _find_gains(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Find 1 / (D + β·max D) and D / (D + β·max D) of each mini-batch."""
        own = [self.model.illumination(self.probe, part.patterns) for part in self._partition]
        for illumination in self.model.ranks.sum_together(*own):
            gain = (illumination + self._damping * illumination.max()).reciprocal()
            yield gain, illumination * gain

    def measure(self) -> Epoch:
        """Measure R², the objective, and the misfit."""
        canvas, probe, model = self.canvas, self.probe, self.model
        return self._summarise(
            model.misfit(model.expected(canvas, probe, batch.patterns), batch.amplitude, batch.patterns)
            for batch in self._batches
        )

    def _summarise(self, misfits: Iterable[Misfit]) -> Epoch:
        """R², the objective, and the misfit of all patterns, from that of this process's batches."""
        misfit = self.model.sum_misfits(misfits)
        finite = torch.isfinite(torch.view_as_real(self.canvas)).all()
        return Epoch(misfit.error**2 if finite else math.inf, misfit)

    def state(self) -> State:
        """Return object and probe."""
        return self.canvas, self.probe

    def restore(self, state: State) -> None:
        """Set object and probe, without momentum."""
        self.canvas, self.probe = state
        self._velocity = torch.zeros_like(self.canvas)
        self._update_gains()

    def dump(self) -> dict[str, Any]:
        """Return what later epochs depend on, with the momentum."""
        return {**super().dump(), "velocity": self._velocity}

    def load(self, values: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        super().load(values)
        self._velocity = read_tensor(values["velocity"], self.canvas)

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        moves_probe = number >= self._probe_from
        progress = (number + 1) / self._settings.epochs
        step = 1.0 if progress <= _SHRINK_FROM else _LAST_STEP ** ((progress - _SHRINK_FROM) / (1 - _SHRINK_FROM))
        misfits = [
            self._visit(self._batches[batch], step * self._step_factor, moves_probe=moves_probe)
            for batch in self._shuffle()
        ]
        if moves_probe:
            self.canvas, self.probe = self._constrain(self.canvas, self.probe)
            self._update_gains()
        return self._summarise(misfits)

    def _update_gains(self) -> None:
        for batch, gain in zip(self._batches, self._find_gains(), strict=True):
            batch.gain, batch.share = gain

    def _visit(self, batch: _Batch, step: float, *, moves_probe: bool) -> Misfit:
        model, patterns = self.model, batch.patterns
        probes = model.shifted(self.probe, patterns) if batch.probes is None else batch.probes
        waves = model.waves(self.canvas, probes, patterns, batch.index)
        misfit = model.misfit(waves.expected, batch.amplitude, patterns)
        # bad pixels hold 0 photons, measured as well as expected: their ratio is 1
        ratio = (waves.expected + _OFFSET_COUNTS).rsqrt_().mul_(batch.offset_amplitude).sub_(1)
        model.held_out.clear(ratio, patterns)
        exits = model.exit_waves(waves, ratio)
        updates = [model.to_object(waves, exits)]
        if moves_probe:
            updates.append((waves.patches.real.square() + waves.patches.imag.square()).sum(0))
            updates.append(model.to_probe(waves, exits, patterns))
        toward, *of_probe = model.ranks.sum_together(*updates)
        wanted = toward * batch.gain
        if moves_probe:
            weight, toward_probe = of_probe
            rate = step * self._settings.probe_rate / (weight + 0.1 * weight.max())
            self.probe = self.probe + rate * toward_probe
        self._velocity = self._velocity * (1 - _FRICTION * batch.share) + wanted
        self.canvas = self.canvas + step * (wanted + self._step_factor * _MOMENTUM * batch.share * self._velocity)
        return misfit


def run_least_squares(
    model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings
) -> tuple[Epoch, Tensor, Tensor]:
    """Run all epochs without a safeguard; returns the last epoch, the object and the probe.

    Raises:
        DivergenceError: values became non-finite.
    """
    solver = LeastSquares(model, canvas, probe, settings)
    for number in range(settings.epochs):
        epoch = solver.epoch(number)
    if not math.isfinite(epoch.objective):
        raise DivergenceError("least squares diverged; raise RefineSettings.regularisation")
    return epoch, *solver.state()
