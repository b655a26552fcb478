"""What a training and a reconstruction wrote, compared with the patterns by the float64 reference alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from numpy_physics import Real, Wave, far_field, shifted, split_position


@dataclass(frozen=True)
class Measured:
    """The fixture's scan, read by NumPy: positions (pattern, 2) are (row, column), counts (pattern, N, N) photons."""

    counts: Real
    positions_px: Real

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Read the patterns, which are stored as amplitudes."""
        with np.load(path) as scan:
            counts = np.round(np.square(scan["diff3d"].astype(np.float64)))
            return cls(counts, np.stack([scan["ycoords"], scan["xcoords"]], axis=1))

    @property
    def side(self) -> int:
        """Side of the patterns."""
        return self.counts.shape[-1]

    def place(self, origin_px: Real, pattern: int) -> tuple[slice, slice]:
        """Rows and columns of an object under a pattern."""
        row, column = split_position(self.positions_px[pattern] - origin_px)[0]
        row, column = row - self.side // 2, column - self.side // 2
        return slice(row, row + self.side), slice(column, column + self.side)

    def cut(self, canvas: Wave, origin_px: Real, pattern: int) -> tuple[Wave, Real]:
        """The patch of an object under a pattern, and the sub-pixel part of the position."""
        rest = split_position(self.positions_px[pattern] - origin_px)[1]
        return canvas[self.place(origin_px, pattern)], rest

    def residual(self, patches: Iterable[tuple[int, Wave, Real]], probe: Wave) -> float:
        """R of (pattern, patch, sub-pixel shift) under a probe (mode, N, N)."""
        misfit = photons = 0.0
        for pattern, patch, rest in patches:
            expected = sum(np.abs(far_field(patch * shifted(mode, rest))) ** 2 for mode in probe)
            misfit += float(np.square(np.sqrt(expected) - np.sqrt(self.counts[pattern])).sum())
            photons += float(self.counts[pattern].sum())
        return float(np.sqrt(misfit / photons))

    def residual_of_object(self, path: Path, probe: Wave) -> float:
        """R of a stored object over all patterns."""
        with np.load(path) as stored:
            canvas, origin = stored["object"].astype(np.complex128), stored["origin_px"]
        return self.residual(((k, *self.cut(canvas, origin, k)) for k in range(len(self.counts))), probe)

    def residual_of_patches(self, patches: NDArray[Any], probe: Wave) -> float:
        """R of patches (pattern, N, N), each by itself, over some patterns."""
        chosen = range(0, len(self.counts), 4)
        rests = [split_position(self.positions_px[pattern])[1] for pattern in chosen]
        return self.residual(
            ((pattern, patches[pattern], rest) for pattern, rest in zip(chosen, rests, strict=True)), probe
        )

    def predict(self, network: torch.nn.Module, probe: NDArray[Any]) -> NDArray[np.complex64]:
        """What a network makes of all patterns, normalised to a mean square of about one."""
        photons = self.counts.sum(axis=(1, 2)).mean()
        amplitude = torch.from_numpy((np.sqrt(self.counts) * self.side / np.sqrt(photons)).astype(np.float32))
        probes = torch.from_numpy(probe)[None].expand(len(amplitude), -1, -1, -1)
        with torch.no_grad():
            patches: NDArray[np.complex64] = network.eval()(amplitude, probes, torch.ones_like(amplitude)).numpy()
        return patches

    def stitch(self, patches: NDArray[Any], canvas: Wave, origin_px: Real, illumination: Real) -> tuple[Wave, Real]:
        """The mean of patches (pattern, N, N) by their illumination, in phase with a canvas, and its total weight."""
        weighted: Wave = np.zeros(canvas.shape, np.complex128)
        total: Real = np.zeros(canvas.shape)
        for pattern, patch in enumerate(patches):
            seen, place = self.cut(canvas, origin_px, pattern)[0], self.place(origin_px, pattern)
            phase = np.vdot(patch * illumination, seen)
            weighted[place] += illumination * patch * phase / np.abs(phase)
            total[place] += illumination
        return weighted / np.maximum(total, np.finfo(float).tiny), total

    def is_group(self, members: NDArray[np.int64], among: NDArray[np.int64]) -> bool:
        """Whether a group consists of one pattern and those nearest to it."""
        wanted = set(members.tolist())
        for centre in members:
            distances = np.linalg.norm(self.positions_px[among] - self.positions_px[centre], axis=1)
            if set(among[np.argsort(distances, kind="stable")[: len(members)]].tolist()) == wanted:
                return True
        return False


def correlate(patch: NDArray[Any], other: NDArray[Any], weight: Real) -> float:
    """Correlation of the features of two patches, without their mean and a common phase, from 0 to 1."""
    one, two = (part - np.sum(weight * part) / weight.sum() for part in (patch, other))
    powers = [float(np.sum(weight * np.abs(part) ** 2)) for part in (one, two)]
    return float(np.abs(np.sum(weight * one.conj() * two)) / np.sqrt(powers[0] * powers[1]))
