"""Scans that are described wrongly: what happens to patterns, positions and probes on the way to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of a file.

    Attributes:
        data: (pattern, N, N) values, zero frequency at [N//2, N//2].
        scan: (pattern, 2) row and column in object pixels.
        probe: (N, N) complex, or None.
    """

    data: NDArray[np.floating]
    scan: NDArray[np.float64]
    probe: NDArray[np.complex64] | None

    def write(self, path: Path) -> Path:
        """Write them as an NPZ file of the plain layout."""
        if self.probe is None:
            np.savez(path, data=self.data, scan=self.scan)
        else:
            np.savez(path, data=self.data, scan=self.scan, probe=self.probe)
        return path


Spoil = Callable[[Arrays, Random], Arrays]


@dataclass(frozen=True)
class Damage:
    """One mistake.

    Attributes:
        name: what it is.
        spoil: makes the arrays of the file from the right ones.
        findings: names of the doctor's findings that name it; empty if reading alone must get it right.
    """

    name: str
    spoil: Spoil
    findings: tuple[str, ...]


def turn_patterns(exchange: bool, rows: bool, columns: bool) -> Spoil:
    """Patterns with exchanged axes, then reversed ones, about their middle."""

    def spoil(arrays: Arrays, _: Random) -> Arrays:
        images = arrays.data.swapaxes(1, 2) if exchange else arrays.data
        for axis, flip in ((1, rows), (2, columns)):
            if flip:
                images = np.roll(np.flip(images, axis), 1, axis)
        return replace(arrays, data=np.ascontiguousarray(images))

    return spoil


def turn_positions(exchange: bool, rows: bool, columns: bool) -> Spoil:
    """Positions with exchanged axes, then changed signs."""
    signs = [-1.0 if rows else 1.0, -1.0 if columns else 1.0]
    return lambda arrays, _: replace(arrays, scan=(arrays.scan[:, ::-1] if exchange else arrays.scan) * signs)


def map_positions(matrix: list[list[float]]) -> Spoil:
    """Positions multiplied by a matrix."""
    return lambda arrays, _: replace(arrays, scan=arrays.scan @ np.array(matrix).T)


def scale(factor: float) -> Spoil:
    """Positions multiplied by a number."""
    return map_positions([[factor, 0], [0, factor]])


def rotate(angle_deg: float) -> Spoil:
    """Positions turned."""
    angle = np.radians(angle_deg)
    return map_positions([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def jitter(rms_px: float) -> Spoil:
    """Positions wrong by a normal deviate."""
    return lambda arrays, rng: replace(arrays, scan=arrays.scan + rng.normal(0, rms_px / 2**0.5, arrays.scan.shape))


def drift(arrays: Arrays, _: Random) -> Arrays:
    """Positions that move away and back during the scan."""
    time = np.linspace(0, 1, len(arrays.scan))[:, None]
    return replace(arrays, scan=arrays.scan + 8 * np.sin(2 * np.pi * time) * [1, 0.5])


def late(places: int) -> Spoil:
    """Positions that belong to other patterns."""
    return lambda arrays, _: replace(arrays, scan=np.roll(arrays.scan, places, axis=0))


def convert(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], kind: type = np.float32) -> Spoil:
    """Values that are a function of the counts."""
    return lambda arrays, _: replace(arrays, data=function(arrays.data.astype(np.float64)).astype(kind))


def displace(rows: int, columns: int) -> Spoil:
    """Patterns beside the middle of the detector."""
    return lambda arrays, _: replace(arrays, data=np.roll(arrays.data, (rows, columns), (1, 2)))


def add_background(share: float) -> Spoil:
    """Photons that do not come from the sample."""

    def spoil(arrays: Arrays, rng: Random) -> Arrays:
        return replace(arrays, data=arrays.data + rng.poisson(share * arrays.data.mean(), arrays.data.shape))

    return spoil


def make_hot(arrays: Arrays, rng: Random) -> Arrays:
    data = arrays.data.copy()
    for row, column in rng.integers(0, data.shape[1], (4, 2)):
        data[:, row, column] = rng.poisson(30 * data.max(), len(data))
    return replace(arrays, data=data)


def make_dead_line(arrays: Arrays, _: Random) -> Arrays:
    data = arrays.data.copy()
    data[:, data.shape[1] // 2 - 5] = 0
    return replace(arrays, data=data)


def change_frames(share: float, change: Callable[[NDArray[np.floating], Random], NDArray[Any]]) -> Spoil:
    """Some frames that were recorded otherwise."""

    def spoil(arrays: Arrays, rng: Random) -> Arrays:
        data = arrays.data.copy()
        chosen = rng.choice(len(data), round(share * len(data)), replace=False)
        data[chosen] = change(data[chosen], rng)
        return replace(arrays, data=data)

    return spoil


def freeze(arrays: Arrays, rng: Random) -> Arrays:
    """Frames that repeat the one before."""
    data = arrays.data.copy()
    for number in np.sort(rng.choice(np.arange(1, len(data)), len(data) // 20, replace=False)):
        data[number] = data[number - 1]
    return replace(arrays, data=data)


def use_disc(arrays: Arrays, _: Random) -> Arrays:
    """A flat disc in place of the probe."""
    side = arrays.data.shape[1]
    offset = np.arange(side) - side // 2
    return replace(arrays, probe=(np.hypot(offset[:, None], offset) < side / 6).astype(np.complex64))


def conjugate(arrays: Arrays, _: Random) -> Arrays:
    assert arrays.probe is not None
    return replace(arrays, probe=arrays.probe.conj())


def clip(arrays: Arrays, _: Random) -> Arrays:
    return replace(arrays, data=np.minimum(arrays.data, np.floor(arrays.data.max() / 4)))


_WAYS = {
    "rows reversed": (False, True, False),
    "columns reversed": (False, False, True),
    "turned by 180°": (False, True, True),
    "exchanged": (True, False, False),
    "turned by 90°": (True, True, False),
    "turned by 270°": (True, False, True),
    "other diagonal": (True, True, True),
}
DAMAGES = (
    *(Damage(f"patterns {name}", turn_patterns(*way), ("orientation",)) for name, way in _WAYS.items()),
    *(Damage(f"positions {name}", turn_positions(*way), ("orientation",)) for name, way in _WAYS.items()),
    Damage("corner", lambda arrays, _: replace(arrays, data=np.fft.ifftshift(arrays.data, (1, 2))), ()),
    Damage("amplitudes", convert(np.sqrt), ()),
    Damage("natural logarithm", convert(np.log1p), ("units",)),
    Damage("logarithm to base 10", convert(lambda n: np.log10(n + 1)), ("units",)),
    Damage("gain 3", convert(lambda n: 3 * n, np.int32), ("gain",)),
    Damage("gain 2.5", convert(lambda n: 2.5 * n), ("units", "gain")),
    Damage("gain 3.7, rounded", convert(lambda n: np.round(3.7 * n), np.int32), ("gain",)),
    Damage("normalised counts", convert(lambda n: n / n.max()), ("units",)),
    Damage("normalised amplitudes", convert(lambda n: np.sqrt(n / n.max())), ("units", "gain")),
    Damage("metres", scale(8e-9), ("position unit", "position scale")),
    Damage("micrometres", scale(0.013), ("position unit", "position scale")),
    Damage("steps", scale(1 / 4.5), ("position scale",)),
    Damage("object pixel 1.5 times", scale(1.5), ("position scale",)),
    Damage("object pixel 1.15 times", scale(1.15), ("position scale", "positions")),
    Damage("scale 3 %", scale(1.03), ("positions", "position scale")),
    Damage("rotation 5°", rotate(5), ("positions",)),
    Damage("shear", map_positions([[1, 0.08], [0, 1]]), ("positions",)),
    Damage("jitter 1 px", jitter(1), ("positions",)),
    Damage("jitter 2 px", jitter(2), ("positions",)),
    Damage("drift", drift, ("positions",)),
    Damage("one frame late", late(1), ("order",)),
    Damage("one frame early", late(-1), ("order",)),
    Damage("centre 3 px off", displace(3, -2), ("direct beam",)),
    Damage("centre 10 px off", displace(-10, 7), ("direct beam",)),
    Damage("hot pixels", make_hot, ("bad pixels",)),
    Damage("dead line", make_dead_line, ("bad pixels",)),
    Damage("half-exposed frames", change_frames(0.1, lambda n, rng: rng.binomial(n.astype(int), 0.5)), ("exposure",)),
    Damage("dead frames", change_frames(0.08, lambda n, _: np.zeros_like(n)), ("dark patterns",)),
    Damage("frozen frames", freeze, ("copies",)),
    Damage("background 20 %", add_background(0.2), ("background",)),
    Damage("background 50 %", add_background(0.5), ("background",)),
    Damage("saturated", clip, ("saturation",)),
    Damage("flat disc as probe", use_disc, ("probe",)),
    Damage("conjugated probe", conjugate, ("orientation", "probe")),
)
