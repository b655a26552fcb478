"""The sample of a version: patterns with the outputs of its network, by which it is checked on any machine.

The patterns are simulated with the probe, the dose and the detector of the first training scan: no measured data are
stored.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import SimulationSettings
from ptycho_torch.errors import RegistryError
from ptycho_torch.evaluate.residual import residual
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.storage.archive import pack_arrays, read_arrays
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import write_atomically

_PATTERNS = 4
_LARGEST_BYTES = 2**30
# the figures of the outputs begin with it
FIGURE = "sample_"


@dataclass(frozen=True, eq=False)
class Sample:
    """Patterns and what a network makes of them.

    Attributes:
        counts: (pattern, h, w) photons, 0 on bad pixels of the detector.
        outputs: (pattern, h, w) complex64 patches.
    """

    counts: NDArray[np.float32]
    outputs: NDArray[np.complex64]

    def write(self, path: Path) -> None:
        """Write the arrays; the same ones give the same bytes."""
        with write_atomically(path) as file:
            file.write(pack_arrays({"counts": self.counts, "outputs": self.outputs}))

    def measure_difference(self, outputs: NDArray[np.complex64]) -> float:
        """Largest difference of other outputs from the stored ones, relative to the largest stored value."""
        if outputs.shape != self.outputs.shape or not np.isfinite(outputs).all():
            return float("inf")
        scale = float(np.abs(self.outputs).max())
        return float(np.abs(outputs - self.outputs).max()) / (scale or 1.0)


def make_sample(trained: TrainedNetwork) -> Sample:
    """Simulate patterns for a network, always the same ones, and apply it to them."""
    side = trained.patch_px
    settings = SimulationSettings(
        object_px=min(8192, 3 * side), patch_px=side, path="spiral", step_px=side / 4, photons=trained.photons[0]
    )
    counts = simulate_scan(settings, trained.probes[0]).counts[:_PATTERNS] * trained.good[0]
    return Sample(counts, apply_network(trained, counts))


@torch.inference_mode()
def apply_network(trained: TrainedNetwork, counts: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Patches (pattern, h, w) that a network makes of patterns (pattern, h, w), on the processor."""
    probe, good = (torch.from_numpy(np.array(part[0])) for part in (trained.probes, trained.good))
    amplitude = make_network_input(torch.from_numpy(np.array(counts)), trained.photons[0])
    patches: NDArray[np.complex64] = trained.generator(amplitude, probe[None], good[None].float()).numpy()
    return patches


@torch.inference_mode()
def measure_figures(trained: TrainedNetwork, sample: Sample) -> dict[str, float]:
    """Figures of the stored outputs: how they explain the patterns, and the size of their values."""
    probe, outputs = torch.from_numpy(np.array(trained.probes[0])), torch.from_numpy(np.array(sample.outputs))
    good = torch.from_numpy(trained.good[0].astype(np.float32))
    expected = expect_counts(outputs, probe[None]) * good
    found = residual([(expected, torch.from_numpy(np.array(sample.counts)))], torch.Generator().manual_seed(0))
    return {f"{FIGURE}R": found.value, f"{FIGURE}amplitude": float(outputs.abs().mean())}


def read_sample(path: Path, side: int) -> Sample:
    """Read a sample as an untrusted file.

    Args:
        path: the file.
        side: side of the network's patterns.

    Raises:
        RegistryError: it is damaged, or does not fit the network.
    """
    with explain_damage(path, "sample of a model", RegistryError):
        arrays = read_arrays(io.BytesIO(path.read_bytes()), _LARGEST_BYTES)
        counts, outputs = arrays["counts"], arrays["outputs"]
        kinds = (np.float32, np.complex64)
        if any(part.shape[1:] != (side, side) or part.ndim != 3 for part in (counts, outputs)):
            raise ValueError(f"its patterns do not have {side} px")
        if (counts.dtype, outputs.dtype) != tuple(map(np.dtype, kinds)) or not np.isfinite(counts).all():
            raise ValueError("its arrays have other types or values that are not finite")
    return Sample(counts, outputs)
