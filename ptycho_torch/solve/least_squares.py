"""Mini-batch least squares on amplitudes (the rPIE / LSQ family) with momentum and a probe update.

For a mini-batch of patterns k with waves Ψ_k = F(P_k·O), expected photons λ_k and residual exit waves

    χ_k = F⁻¹[Ψ_k(√(n_k+0.1)/√(λ_k+0.1) − 1)]

    ΔO = Σ scatter(P_k* χ_k) / (D + β·max D),           D = Σ scatter |P_k|²
    ΔP = γ · Σ shift⁻¹(O_k* χ_k) / (Σ|O_k|² + 0.1·max)

(A. Maiden, D. Johnson, P. Li, Optica 4, 736 (2017), there one pattern at a time and without the 0.1, which keeps empty
detector pixels from pulling at full strength.) Long-range phase travels only from overlap to overlap, so the object
also moves by a running sum of its steps. A pixel moves by that sum, and forgets it, only as far as the mini-batch lit
it: w = D / (D + β·max D). Unlit pixels would run on with nothing to stop them, which diverges as soon as a pixel is
lit by few patterns. Over the last third of the epochs the step shrinks, which averages the noise of single
mini-batches away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.solve.constraints import keep_centre, keep_power
from ptycho_torch.solve.defaults import find_damping
from ptycho_torch.solve.safeguard import Epoch
from ptycho_torch.solve.scan_model import ScanModel

_MOMENTUM = 0.3
_FRICTION = 0.03
_SHRINK_FROM = 0.65
_LAST_STEP = 0.1
_OFFSET_COUNTS = 0.1


@dataclass
class _Batch:
    patterns: Tensor
    index: Tensor
    amplitude: Tensor
    offset_amplitude: Tensor
    gain: Tensor
    lit_share: Tensor
    probes: Tensor | None


class LeastSquares:
    """The solver's state: object, probe and momentum; `epoch` moves them.

    Args:
        model: the scan.
        canvas: object to start from, (height, width) complex.
        probe: wrapped probe to start from, (mode, h, w) complex.
        settings: epochs, mini-batches, steps.
    """

    # mini-batches see the object at different times: so much may the objective of an epoch rise by chance
    tolerance = 0.2

    def __init__(self, model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        self.model = model
        self.canvas = canvas
        self.probe = probe
        self._settings = settings
        self._start_probe = probe
        self._velocity = torch.zeros_like(canvas)
        self._trust = 1.0
        self._order = torch.Generator().manual_seed(settings.seed + 1)
        self._probe_from = round(settings.probe_start * settings.epochs)
        self._damping = settings.regularisation or find_damping(model, probe)
        cached = self._probe_from >= settings.epochs and model.fits_in_cache(len(probe))
        self._batches = []
        for patterns in model.partition(settings.batches, settings.seed):
            counts, index = model.counts[patterns], model.index(patterns)
            amplitudes = counts.sqrt(), (counts + _OFFSET_COUNTS).sqrt()
            probes = model.shifted(probe, patterns) if cached else None
            self._batches.append(_Batch(patterns, index, *amplitudes, *self._gain(patterns), probes))

    def _gain(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """1 / (D + β·max D) and D / (D + β·max D) of a mini-batch."""
        light = self.model.illumination(self.probe, patterns)
        gain = (light + self._damping * light.max()).reciprocal()
        return gain, light * gain

    def measure(self) -> Epoch:
        """R² and R of the object and probe as they are."""
        squared = torch.zeros((), device=self.canvas.device)
        for batch in self._batches:
            expected = self.model.expected(self.canvas, self.probe, batch.patterns)
            squared += mse_loss(expected.sqrt(), batch.amplitude, reduction="sum")
        return self._told(squared)

    def _told(self, squared: Tensor) -> Epoch:
        finite = torch.isfinite(torch.view_as_real(self.canvas)).all()
        mean = float(squared / self.model.counts.sum()) if finite else math.inf
        return Epoch(mean, mean**0.5)

    def state(self) -> tuple[Tensor, Tensor]:
        """Object and probe, to `restore` them."""
        return self.canvas, self.probe

    def restore(self, state: tuple[Tensor, Tensor]) -> None:
        """Take object and probe back, without the momentum."""
        self.canvas, self.probe = state
        self._velocity = torch.zeros_like(self.canvas)
        self._refresh_light()

    def trust(self, share: float) -> None:
        """Take so much of the usual step from now on."""
        self._trust = share

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        moves_probe = number >= self._probe_from
        progress = (number + 1) / self._settings.epochs
        step = 1.0 if progress <= _SHRINK_FROM else _LAST_STEP ** ((progress - _SHRINK_FROM) / (1 - _SHRINK_FROM))
        squared = torch.zeros((), device=self.canvas.device)
        for number_of_batch in torch.randperm(len(self._batches), generator=self._order).tolist():
            squared += self._visit(self._batches[number_of_batch], step * self._trust, moves_probe=moves_probe)
        if moves_probe:
            self.canvas, self.probe = keep_power(self.canvas, self.probe, self._start_probe)
            self.canvas, self.probe = keep_centre(self.canvas, self.probe, self._start_probe)
            self._refresh_light()
        return self._told(squared)

    def _refresh_light(self) -> None:
        for batch in self._batches:
            batch.gain, batch.lit_share = self._gain(batch.patterns)

    def _visit(self, batch: _Batch, step: float, *, moves_probe: bool) -> Tensor:
        model, patterns = self.model, batch.patterns
        probes = model.shifted(self.probe, patterns) if batch.probes is None else batch.probes
        waves = model.waves(self.canvas, probes, patterns, batch.index)
        # bad pixels hold 0 photons, measured as well as expected: their ratio is 1
        ratio = (waves.expected + _OFFSET_COUNTS).rsqrt_().mul_(batch.offset_amplitude).sub_(1)
        exits = model.exit_waves(waves, ratio)
        wanted = model.to_object(waves, exits) * batch.gain
        if moves_probe:
            weight = (waves.patches.real.square() + waves.patches.imag.square()).sum(0)
            rate = step * self._settings.probe_rate / (weight + 0.1 * weight.max())
            self.probe = self.probe + rate * model.to_probe(waves, exits, patterns)
        self._velocity = self._velocity * (1 - _FRICTION * batch.lit_share) + wanted
        self.canvas = self.canvas + step * (wanted + self._trust * _MOMENTUM * batch.lit_share * self._velocity)
        return mse_loss(waves.expected.sqrt(), batch.amplitude, reduction="sum")
