"""One small scan and what every step of a reconstruction makes of it, in float64.

`inputs` draws the scan, `answers` computes from its arrays alone; tests/fixtures/cross_backend holds both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy_physics
import numpy_priors
from numpy.typing import NDArray
from numpy_physics import Real, Wave, cut, patterns, residual, split_position, stitched, total_variation
from numpy_refine import least_squares_step, neighbours
from numpy_samples import LOPSIDED, compact_probe, complex_noise

Arrays = dict[str, NDArray[Any]]

SIDE = 16
DAMPING = 0.05
GROUP = 5
# photons on every pixel while losses are compared: they may bound what happens where nothing at all is expected
BACKGROUND = 0.01


def inputs() -> Arrays:
    """Twelve patterns of 16 px by two modes at sub-pixel positions, and patches as a network might give them."""
    rng = np.random.default_rng(2026)
    grid = np.stack(np.meshgrid(np.arange(15, 26, 3.0), np.arange(17, 25, 3.0), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = grid + rng.uniform(-1, 1, grid.shape)
    specimen = LOPSIDED.pixels(36, 36)
    probe = compact_probe(SIDE, modes=2, photons=2e4)
    good = np.ones((SIDE, SIDE), bool)
    good[8, 9] = good[3, 12] = False
    return {
        "positions_px": positions,
        "specimen": specimen.astype(np.complex64),
        "probe": probe.astype(np.complex64),
        "counts": rng.poisson(patterns(specimen, probe, positions)).astype(np.float32),
        "good": good,
        "patches": (1 + 0.3 * complex_noise(rng, len(positions), SIDE, SIDE)).astype(np.complex64),
    }


def answers(given: Arrays) -> Arrays:
    """What each step should make of the arrays of `inputs`."""
    positions, counts = given["positions_px"], given["counts"].astype(float)
    specimen, probe, patches = (given[name].astype(complex) for name in ("specimen", "probe", "patches"))
    good = given["good"]
    expected = patterns(specimen, probe, positions)
    groups = [sorted(group) for group in neighbours(positions, GROUP)]
    found: Arrays = {"expected": expected, "groups": np.array(groups), "residual": np.array(residual(expected, counts))}
    found["residual_floor"] = np.array(noise_residual(expected))
    for name in ("poisson_deviance", "amplitude_mae", "anscombe"):
        found[name] = np.array(getattr(numpy_physics, name)(expected + BACKGROUND, counts, good))
    return found | _priors(patches, specimen, positions, probe) | _merges(patches, positions, probe) | _steps(given)


def light_of(probe: Wave) -> Real:
    """Σ|P|²."""
    return np.sum(np.abs(probe) ** 2, axis=0)


def corners(positions: Real) -> tuple[NDArray[np.int64], Real, tuple[int, int]]:
    """Corner of each patch on the smallest canvas, rest of each position, and the canvas's shape."""
    parts = [split_position(position) for position in positions]
    centres = np.array([centre for centre, _ in parts])
    height, width = (centres.max(axis=0) - centres.min(axis=0) + SIDE).tolist()
    return centres - centres.min(axis=0), np.array([rest for _, rest in parts]), (height, width)


def labels_of(specimen: Wave, positions: Real) -> Wave:
    """The specimen's own patches."""
    centres = [split_position(position)[0] for position in positions]
    return np.array([cut(specimen, (row - SIDE // 2, column - SIDE // 2), SIDE) for row, column in centres])


def calibrated(probe: Wave, counts: Real, good: NDArray[np.bool_]) -> Wave:
    """The probe with the measured photons of a pattern."""
    return probe * np.sqrt(counts[:, good].sum() / len(counts) / light_of(probe).sum())


def noise_residual(expected: Real) -> float:
    """R that Poisson noise alone makes on average: √(ΣE(√λ−√n)² / Σλ), by the sum over n."""
    total = 0.0
    for lam in expected.ravel().tolist():
        number = np.arange(max(0, int(lam - 12 * lam**0.5 - 30)), int(lam + 12 * lam**0.5 + 30))
        logs = np.array([math.lgamma(n + 1) for n in number.tolist()])
        chance = np.exp(number * np.log(lam) - lam - logs)
        total += float(np.sum(chance * (np.sqrt(lam) - np.sqrt(number)) ** 2))
    return float(np.sqrt(total / expected.sum()))


def _priors(patches: Wave, specimen: Wave, positions: Real, probe: Wave) -> Arrays:
    lights = np.broadcast_to(light_of(probe), patches.shape)
    names = ("amplitude_variation", "phase_variation", "amplitude_deviation", "phase_deviation", "amplitude_variance")
    found = {name: np.array(getattr(numpy_priors, name)(patches, lights)) for name in names}
    found["object_mae"] = np.array(numpy_priors.object_mae(patches, labels_of(specimen, positions), lights))
    found["total_variation"] = np.array(np.mean([total_variation(patch) for patch in patches]))
    return found


def _merges(patches: Wave, positions: Real, probe: Wave) -> Arrays:
    """Overlapping patches weighted by light, and alike where the probe has more than 5 % of its brightest pixel."""
    light = light_of(probe)
    uniform = np.where(light > 0.05 * light.max(), light.max(), 0.0)
    found: Arrays = {}
    corner, _, shape = corners(positions)
    for name, weight in (("light", light), ("uniform", uniform)):
        found[f"merged_{name}"], total, found[f"spread_{name}"] = stitched(patches, weight, corner, shape)
        if name == "light":
            found["light"] = total
    return found


def _steps(given: Arrays) -> Arrays:
    """Least-squares steps of object and probe from the specimen's mirror image; the probe's with one mode."""
    counts, good = given["counts"].astype(float), given["good"]
    corner, rest, shape = corners(given["positions_px"])
    first = np.min([split_position(position)[0] for position in given["positions_px"]], axis=0) - SIDE // 2
    window = given["specimen"].astype(complex)[:, ::-1][first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    found: Arrays = {}
    for modes in (1, 2):
        probe = calibrated(given["probe"][:modes].astype(complex), counts, good)
        found[f"object_step_{modes}"], step = least_squares_step(
            window, probe, corner, rest, counts, good.astype(float), DAMPING
        )
        if modes == 1:
            found["probe_step"] = step
    return found
