"""One least-squares step on object and probe, and neighbours, written as sums over patterns."""

from __future__ import annotations

import numpy as np
from numpy_physics import Real, Wave, Whole, cut, far_field, near_field, scattered, shifted, unshifted


def least_squares_step(
    specimen: Wave, probe: Wave, corners: Whole, rests: Real, counts: Real, good: Real, damping: float
) -> tuple[Wave, Wave]:
    """First move of the object and probe step ΔP (for a rate of one) of a mini-batch.

    The illumination D is that of the probe at whole pixels. The object moves by its step and by 0.3 times the sum of
    its steps so far, which is the step itself, the latter as far as each pixel is lit.

    Args:
        specimen: (height, width).
        probe: (mode, h, w) centred.
        corners: canvas pixel under pixel [0, 0] of each patch.
        rests: sub-pixel part of each position.
        counts: measured photons.
        good: 1 on good pixels, 0 on bad ones.
        damping: β, relative to the brightest of D.
    """
    side = probe.shape[-1]
    height, width = specimen.shape
    object_sum = np.zeros((height, width), np.complex128)
    probe_sum = np.zeros(probe.shape, np.complex128)
    weight = np.zeros((side, side))
    light = np.zeros((height, width))
    for corner, rest, measured in zip(corners, rests, counts, strict=True):
        patch = cut(specimen, (int(corner[0]), int(corner[1])), side)
        moved = [shifted(mode, rest) for mode in probe]
        waves = [far_field(patch * mode) for mode in moved]
        expected = sum((np.abs(wave) ** 2 for wave in waves), start=np.zeros((side, side)))
        ratio = good * (np.sqrt(measured + 0.1) / np.sqrt(expected + 0.1) - 1)
        exits = [near_field(wave * ratio) for wave in waves]
        step = sum((mode.conj() * wave for mode, wave in zip(moved, exits, strict=True)), start=np.zeros((side, side)))
        object_sum += scattered(step[None], corner[None], (height, width))
        light += scattered((np.abs(probe) ** 2).sum(0)[None], corner[None], (height, width)).real
        weight += np.abs(patch) ** 2
        for number, wave in enumerate(exits):
            probe_sum[number] += unshifted(patch.conj() * wave, rest)
    damped = light + damping * light.max()
    return object_sum / damped * (1 + 0.3 * light / damped), probe_sum / (weight + 0.1 * weight.max())


def deviance_gradient(specimen: Wave, probe: Wave, corners: Whole, rests: Real, counts: Real) -> Wave:
    """∂/∂Re O + i·∂/∂Im O of the mean Poisson deviance of a mini-batch."""
    side = probe.shape[-1]
    height, width = specimen.shape
    gradient = np.zeros((height, width), np.complex128)
    for corner, rest, measured in zip(corners, rests, counts, strict=True):
        patch = cut(specimen, (int(corner[0]), int(corner[1])), side)
        moved = [shifted(mode, rest) for mode in probe]
        waves = [far_field(patch * mode) for mode in moved]
        expected = sum((np.abs(wave) ** 2 for wave in waves), start=np.zeros((side, side)))
        for mode, wave in zip(moved, waves, strict=True):
            back = mode.conj() * near_field(wave * (1 - measured / expected))
            gradient += scattered(back[None], corner[None], (height, width))
    result: Wave = 4 * gradient / counts.size
    return result


def neighbours(positions: Real, size: int) -> list[set[int]]:
    """For every position the nearest `size`, itself included, by all distances."""
    groups = []
    for position in positions:
        distance = [float(np.hypot(*(other - position))) for other in positions]
        groups.append(set(sorted(range(len(positions)), key=distance.__getitem__)[:size]))
    return groups
