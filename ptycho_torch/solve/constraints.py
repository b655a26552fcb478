"""What a joint refinement of object and probe leaves open: how they share power, place and mode order.

Wrapped probes (pixel zero first), as in `refine.problem`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fft import fftshift

from ptycho_torch.physics.probe import orthogonalise, probe_intensity


def keep_power(canvas: Tensor, probe: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Give the probe the power of `reference` and the object the rest, modes orthogonal, strongest first."""
    factor = (probe_intensity(reference).sum() / probe_intensity(probe).sum()).sqrt()
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

    A ramp of the probe and the opposite ramp of the object cancel, so that the two drift. The probe may only turn by
    whole detector pixels, which is where a pattern's centre can lie; the rest goes back to the object.
    """
    side = probe.shape[-1]
    slopes = []
    for axis in (-2, -1):
        drift = (_lagged(probe, axis) * _lagged(reference, axis).conj()).angle() * side / (2 * torch.pi)
        slopes.append(float(drift - drift.round()))
    offset = torch.fft.fftfreq(side, 1 / side, device=probe.device)
    turned = probe * _cycles(-slopes[0] * offset[:, None] - slopes[1] * offset, side)
    rows, columns = (torch.arange(length, device=canvas.device) for length in canvas.shape)
    return canvas * _cycles(slopes[0] * rows[:, None] + slopes[1] * columns, side), turned


def _lagged(probe: Tensor, axis: int) -> Tensor:
    return (torch.roll(probe, -1, axis) * probe.conj()).sum()


def _cycles(turns: Tensor, side: int) -> Tensor:
    angle = 2 * torch.pi * turns / side
    return torch.polar(torch.ones_like(angle), angle)


def centroid_px(probe: Tensor) -> Tensor:
    """Centre of mass (row, column) of a wrapped probe's intensity, in pixels from pixel zero."""
    intensity = fftshift(probe_intensity(probe), dim=(-2, -1))
    height, width = intensity.shape
    rows = torch.arange(height, device=probe.device) - height // 2
    columns = torch.arange(width, device=probe.device) - width // 2
    total = intensity.sum()
    return torch.stack([(intensity.sum(1) * rows).sum() / total, (intensity.sum(0) * columns).sum() / total])


def level_phase(canvas: Tensor, probe: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Move a phase ramp from the object to the probe, in steps of one detector pixel.

    An object ramp of k cycles in a patch and the opposite ramp of the probe cancel, as if all patterns had been moved
    by k pixels. A beam that misses the detector's centre would otherwise end up as fringes on the object. Whole steps
    only: they are exact, and an object's own small slope stays its own.

    Args:
        canvas: the object.
        probe: wrapped probe.
        light: (height, width) illumination of the object, the weight of each pixel.
    """
    side = probe.shape[-1]
    weighted = canvas * light.sqrt()
    cycles = []
    for axis in (0, 1):
        ahead = weighted.narrow(axis, 1, weighted.shape[axis] - 1)
        behind = weighted.narrow(axis, 0, weighted.shape[axis] - 1)
        cycles.append(round(float((ahead * behind.conj()).sum().angle()) * side / (2 * torch.pi)))
    if cycles == [0, 0]:
        return canvas, probe
    rows, columns = (torch.arange(length, device=canvas.device) for length in canvas.shape)
    across = torch.arange(side, device=probe.device)
    back = _cycles(-((rows[:, None] * cycles[0] + columns * cycles[1]) % side), side)
    return canvas * back, probe * _cycles((across[:, None] * cycles[0] + across * cycles[1]) % side, side)
