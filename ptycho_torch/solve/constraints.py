"""Constraints on what patterns leave undetermined: how object and probe share power, position and phase ramp.

Probes are wrapped (pixel zero first), as in `solve.scan_model`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ptycho_torch.physics.probe import orthogonalise
from ptycho_torch.physics.propagate import sum_intensities, unwrap, wrap
from ptycho_torch.physics.ramp import make_phase_ramp, measure_phase_slopes


def keep_power(canvas: Tensor, probe: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Give the probe the power of `reference` and the object the rest, modes orthogonal, strongest first."""
    factor = (sum_intensities(reference).sum() / sum_intensities(probe).sum()).sqrt()
    probe = orthogonalise(probe) if len(probe) > 1 else probe
    return canvas / factor, probe * factor


def keep_centre(canvas: Tensor, probe: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Move object and probe together by whole pixels until the probe's centroid is where `reference` has it."""
    drift = (centroid_px(probe) - centroid_px(reference)).round().int().tolist()
    if drift == [0, 0]:
        return canvas, probe
    back = (-drift[0], -drift[1])
    return torch.roll(canvas, back, (0, 1)), torch.roll(probe, back, (-2, -1))


def keep_ramp(canvas: Tensor, probe: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Undo the part of the probe's phase ramp against `reference` that is less than a detector pixel.

    A ramp of the probe and the opposite ramp of the object cancel, so that both may drift. Only ramps of whole detector
    pixels, by which a pattern's centre can be displaced, stay in the probe; the rest is returned to the object.
    """
    unit = 2 * torch.pi / probe.shape[-1]
    now, before = measure_phase_slopes(unwrap(probe)), measure_phase_slopes(unwrap(reference))
    drifts = [(first - second) / unit for first, second in zip(now, before, strict=True)]
    rows, columns = ((drift - round(drift)) * unit for drift in drifts)
    return _move_ramp(canvas, probe, (rows, columns))


def _move_ramp(canvas: Tensor, probe: Tensor, slopes: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Take a phase ramp from the probe and give it to the object, which changes no pattern."""
    back = (-slopes[0], -slopes[1])
    side = probe.shape[-1]
    ramp = wrap(make_phase_ramp((side, side), back, probe.device))
    height, width = canvas.shape
    return canvas * make_phase_ramp((height, width), slopes, canvas.device), probe * (ramp / ramp[0, 0])


def centroid_px(probe: Tensor) -> Tensor:
    """Centre of mass (row, column) of a wrapped probe's intensity, in pixels from pixel zero."""
    intensity = unwrap(sum_intensities(probe))
    height, width = intensity.shape
    rows = torch.arange(height, device=probe.device) - height // 2
    columns = torch.arange(width, device=probe.device) - width // 2
    total = intensity.sum()
    return torch.stack([(intensity.sum(1) * rows).sum() / total, (intensity.sum(0) * columns).sum() / total])


def level_phase(canvas: Tensor, probe: Tensor, illumination: Tensor) -> tuple[Tensor, Tensor]:
    """Move a phase ramp from the object to the probe, in steps of one detector pixel.

    An object ramp of k cycles in a patch and the opposite ramp of the probe cancel, as if all patterns were displaced
    by k pixels. A beam that misses the detector's centre would otherwise appear as fringes on the object. Steps of
    whole pixels are exact, and preserve a small slope that belongs to the object.

    Args:
        canvas: the object.
        probe: wrapped probe.
        illumination: (height, width) photons on each pixel of the object, its weight.
    """
    unit = 2 * torch.pi / probe.shape[-1]
    rows, columns = (-round(slope / unit) * unit for slope in measure_phase_slopes(canvas * illumination.sqrt()))
    return (canvas, probe) if rows == columns == 0 else _move_ramp(canvas, probe, (rows, columns))
