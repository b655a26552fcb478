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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.solve.defaults import find_damping
from ptycho_torch.solve.scan_model import LARGEST_TABLE_BYTES, Misfit, ScanModel
from ptycho_torch.solve.solver import Epoch, Part, Solver, State, add_up, read_tensor

_MOMENTUM = 0.3
_FRICTION = 0.03
_SHRINK_FROM = 0.65
_LAST_STEP = 0.1
_OFFSET_COUNTS = 0.1


@dataclass(frozen=True, eq=False)
class _Block:
    """Patterns of this process that are computed at once, and what does not change from epoch to epoch."""

    patterns: Tensor
    index: Tensor
    amplitude: Tensor
    offset_amplitude: Tensor
    probes: Tensor | None


@dataclass(frozen=True, eq=False)
class _Gain:
    """1 / (D + β·max D) and D / (D + β·max D) of a mini-batch, by the patterns of all processes."""

    gain: Tensor
    share: Tensor


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
        moves_probe = self._probe_from < settings.epochs
        self._keeps_probes = not moves_probe and model.may_keep(8 * len(probe))
        self._blocks = [list(self._load(part)) for part in self._partition] if model.may_keep(16) else None
        self._update_gains()

    def _load(self, part: Part) -> Iterator[_Block]:
        """Load this process's patterns of a mini-batch block by block."""
        model = self.model
        for patterns in model.split(part.patterns):
            counts = model.load_counts(patterns)
            probes = model.shifted(self._start_probe, patterns) if self._keeps_probes else None
            yield _Block(patterns, model.index(patterns), counts.sqrt(), (counts + _OFFSET_COUNTS).sqrt(), probes)

    def _find_blocks(self, batch: int) -> Iterable[_Block]:
        return self._load(self._partition[batch]) if self._blocks is None else self._blocks[batch]

    def _update_gains(self) -> None:
        """Note the probe to which the gains belong, and compute them as far as they may be kept."""
        self._gain_probe = self.probe
        size = 8 * len(self._partition) * self.canvas.numel()
        self._gains = self._compute_gains(self._partition) if size <= LARGEST_TABLE_BYTES else None

    def _compute_gains(self, parts: Sequence[Part]) -> list[_Gain]:
        own = [self.model.illumination(self._gain_probe, part.patterns) for part in parts]
        found = []
        for illumination in self.model.ranks.sum_together(*own):
            gain = (illumination + self._damping * illumination.max()).reciprocal()
            found.append(_Gain(gain, illumination * gain))
        return found

    def _find_gain(self, batch: int) -> _Gain:
        return self._compute_gains([self._partition[batch]])[0] if self._gains is None else self._gains[batch]

    def measure(self) -> Epoch:
        """Measure R², the objective, and the misfit."""
        canvas, probe, model = self.canvas, self.probe, self.model
        misfits = (
            model.misfit(model.expected(canvas, probe, block.patterns), block.amplitude, block.patterns)
            for batch in range(len(self._partition))
            for block in self._find_blocks(batch)
        )
        return self._judge(model.sum_misfits(misfits))

    def _judge(self, misfit: Misfit) -> Epoch:
        """R², the objective, and the misfit of all patterns."""
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
        misfit = self.model.sum_misfits(
            misfit
            for batch in self._shuffle()
            for misfit in self._visit(batch, step * self._step_factor, moves_probe=moves_probe)
        )
        if moves_probe:
            self.canvas, self.probe = self._constrain(self.canvas, self.probe)
            self._update_gains()
        return self._judge(misfit)

    def _visit(self, batch: int, step: float, *, moves_probe: bool) -> list[Misfit]:
        """Move object and probe by a mini-batch; returns the misfits of its blocks before."""
        misfits: list[Misfit] = []
        updates: list[Tensor] = []
        for block in self._find_blocks(batch):
            misfit, found = self._compute_updates(block, moves_probe=moves_probe)
            misfits.append(misfit)
            updates = add_up(updates, found)
        found_gain = self._find_gain(batch)
        toward, *of_probe = self.model.ranks.sum_together(*updates)
        wanted = toward * found_gain.gain
        if moves_probe:
            weight, toward_probe = of_probe
            rate = step * self._settings.probe_rate / (weight + 0.1 * weight.max())
            self.probe = self.probe + rate * toward_probe
        share = found_gain.share
        self._velocity = self._velocity * (1 - _FRICTION * share) + wanted
        self.canvas = self.canvas + step * (wanted + self._step_factor * _MOMENTUM * share * self._velocity)
        return misfits

    def _compute_updates(self, block: _Block, *, moves_probe: bool) -> tuple[Misfit, list[Tensor]]:
        """The misfit of a block, and what it adds to the updates of object and probe."""
        model, patterns = self.model, block.patterns
        probes = model.shifted(self.probe, patterns) if block.probes is None else block.probes
        waves = model.waves(self.canvas, probes, patterns, block.index)
        misfit = model.misfit(waves.expected, block.amplitude, patterns)
        # bad pixels hold 0 photons, measured as well as expected: their ratio is 1
        ratio = (waves.expected + _OFFSET_COUNTS).rsqrt_().mul_(block.offset_amplitude).sub_(1)
        model.held_out.clear(ratio, patterns)
        exits = model.exit_waves(waves, ratio)
        updates = [model.to_object(waves, exits)]
        if moves_probe:
            updates.append((waves.patches.real.square() + waves.patches.imag.square()).sum(0))
            updates.append(model.to_probe(waves, exits, patterns))
        return misfit, updates


def run_epochs(solver: LeastSquares, numbers: range) -> Epoch:
    """Run some epochs without a safeguard; returns the last one.

    Raises:
        DivergenceError: values became non-finite.
    """
    for number in numbers:
        epoch = solver.epoch(number)
    if not math.isfinite(epoch.objective):
        raise DivergenceError("least squares diverged; raise RefineSettings.regularisation")
    return epoch


def run_least_squares(
    model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings
) -> tuple[Epoch, Tensor, Tensor]:
    """Run all epochs without a safeguard; returns the last epoch, the object and the probe.

    Raises:
        DivergenceError: values became non-finite.
    """
    solver = LeastSquares(model, canvas, probe, settings)
    epoch = run_epochs(solver, range(settings.epochs))
    return epoch, *solver.state()
