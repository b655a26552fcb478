"""Mistakes in the description of a scan for which the doctor was not made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from damaged_scans import (
    Arrays,
    Damage,
    Random,
    Spoil,
    add_background,
    convert,
    displace,
    jitter,
    late,
    map_positions,
    rotate,
    scale,
    turn_patterns,
    turn_positions,
)
from numpy.typing import NDArray


def chain(*spoils: Spoil) -> Spoil:
    """Several mistakes, one after the other."""

    def spoil(arrays: Arrays, rng: Random) -> Arrays:
        for each in spoils:
            arrays = each(arrays, rng)
        return arrays

    return spoil


def change_probe(function: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Another probe than that of the patterns."""

    def spoil(arrays: Arrays, _: Random) -> Arrays:
        assert arrays.probe is not None
        return replace(arrays, probe=np.ascontiguousarray(function(arrays.probe), np.complex64))

    return spoil


def defocus(probe: NDArray[Any]) -> NDArray[Any]:
    """A probe farther downstream."""
    frequency = np.fft.fftfreq(probe.shape[-1])
    phase = np.exp(60j * np.pi * (frequency[:, None] ** 2 + frequency**2))
    return np.asarray(np.fft.ifft2(np.fft.fft2(probe) * phase))


def drop_frame(arrays: Arrays, _: Random) -> Arrays:
    """A frame that was lost, so that later ones are too early, and the last one is there twice."""
    lost = len(arrays.data) // 3
    return replace(arrays, data=np.concatenate([arrays.data[:lost], arrays.data[lost + 1 :], arrays.data[-1:]]))


def misplace(arrays: Arrays, rng: Random) -> Arrays:
    """Some positions that are far off."""
    scan = arrays.scan.copy()
    chosen = rng.choice(len(scan), len(scan) // 15, replace=False)
    scan[chosen] += rng.normal(0, 10, (len(chosen), 2))
    return replace(arrays, scan=scan)


def decay(arrays: Arrays, rng: Random) -> Arrays:
    """A beam that loses photons during the scan."""
    share = np.linspace(1, 0.4, len(arrays.data))[:, None, None]
    return replace(arrays, data=rng.binomial(arrays.data.astype(int), share).astype(np.float32))


def make_hot_row(arrays: Arrays, rng: Random) -> Arrays:
    data = arrays.data.copy()
    data[:, 5] += rng.poisson(0.1 * data.max(), data[:, 5].shape)
    return replace(arrays, data=data)


def make_dead_block(arrays: Arrays, _: Random) -> Arrays:
    data = arrays.data.copy()
    middle = data.shape[1] // 2
    data[:, middle + 2 : middle + 8, middle + 2 : middle + 8] = 0
    return replace(arrays, data=data)


def add_noise(arrays: Arrays, rng: Random) -> Arrays:
    """Noise of reading, around zero where there is no light."""
    return replace(arrays, data=arrays.data + rng.normal(0, 1, arrays.data.shape))


_SCALED = ("position unit", "position scale", "positions")
# what the doctor was not made for; an empty tuple: there is nothing to find
OTHER_DAMAGES = (
    Damage(
        "patterns and positions",
        chain(turn_patterns(True, True, False), turn_positions(False, True, False)),
        ("orientation",),
    ),
    Damage("columns, 1.5 times", chain(turn_patterns(False, False, True), scale(1.5)), ("orientation",)),
    Damage("exchanged, gain 3", chain(turn_positions(True, False, False), convert(lambda n: 3 * n)), ("gain",)),
    Damage("reversed order", lambda arrays, _: replace(arrays, scan=arrays.scan[::-1]), ("orientation", "order")),
    Damage("two frames late", late(2), ("order",)),
    Damage("five frames late", late(5), ("order",)),
    Damage("lost frame", drop_frame, ("copies", "order")),
    Damage("every value 5 more", lambda arrays, _: replace(arrays, data=arrays.data + 5), ("dark image",)),
    Damage("noise of reading", add_noise, ("units",)),
    Damage("nanometres", scale(13), _SCALED),
    Damage("half", scale(0.5), _SCALED),
    Damage("double", scale(2), _SCALED),
    Damage("scale -6 %", scale(0.94), _SCALED),
    Damage("scale 12 %", scale(1.12), _SCALED),
    Damage("rotation -8°", rotate(-8), ("positions",)),
    Damage("rotation 15°", rotate(15), ("positions",)),
    Damage("rotation 30°", rotate(30), ("positions", "orientation")),
    Damage("shear of columns", map_positions([[1, 0], [-0.1, 1]]), ("positions",)),
    Damage("squares", convert(np.square), ("units",)),
    Damage("centre 5 px off", displace(5, 4), ("direct beam",)),
    Damage("hot row", make_hot_row, ("bad pixels",)),
    Damage("dead block", make_dead_block, ("bad pixels",)),
    Damage("decaying beam", decay, ("exposure",)),
    Damage("misplaced patterns", misplace, ("positions",)),
    Damage("displaced probe", change_probe(lambda probe: np.roll(probe, (4, -3), (0, 1))), ()),
    Damage("probe in the corner", change_probe(np.fft.ifftshift), ("probe",)),
    Damage("exchanged axes of the probe", change_probe(np.transpose), ()),
    Damage("defocused probe", change_probe(defocus), ("probe",)),
    Damage("constant as probe", change_probe(np.ones_like), ("probe",)),
    Damage("jitter 0.5 px", jitter(0.5), ("positions",)),
    Damage("background 10 %", add_background(0.1), ()),
    Damage("background 30 %", add_background(0.3), ("background",)),
    Damage(
        "clipped at half",
        lambda arrays, _: replace(arrays, data=np.minimum(arrays.data, arrays.data.max() // 2)),
        ("saturation",),
    ),
)
