"""Inputs of a network with its answer, by which other programs, machines and releases are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.errors import ExportError
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.noise import draw_counts
from ptycho_torch.physics.scale import make_network_input
from ptycho_torch.storage.archive import pack_arrays, read_arrays
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import write_atomically

# largest difference of an answer, as a share of its largest value: other processors round otherwise
TOLERANCE = 1e-4
_PATTERNS = 4
_ROUGHNESS = 0.5
_KINDS = {"amplitude": np.float32, "probe": np.complex64, "good": np.float32, "patches": np.complex64}
_LARGEST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class Example:
    """What a network answered.

    Attributes:
        amplitude: (pattern, h, w) normalised amplitudes.
        probe: (1, mode, h, w) probe in √photons.
        good: (1, h, w) 1 on good detector pixels, 0 on bad ones.
        patches: (pattern, h, w) complex patches, the answer.
    """

    amplitude: Tensor
    probe: Tensor
    good: Tensor
    patches: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of a network."""
        return self.amplitude, self.probe, self.good

    @classmethod
    def make(cls, trained: TrainedNetwork, seed: int = 0) -> Self:
        """Let a network answer simulated patterns of rough phase objects under its first probe."""
        generator = torch.Generator().manual_seed(seed)
        probe = torch.from_numpy(np.array(trained.probes[:1]))
        good = torch.from_numpy(trained.good[:1].astype(np.float32))
        phases = _ROUGHNESS * torch.randn((_PATTERNS, *probe.shape[-2:]), generator=generator)
        patches, probes = torch.polar(torch.ones_like(phases), phases), probe.expand(_PATTERNS, -1, -1, -1)
        counts = draw_counts(expect_counts(patches, probes), generator) * good
        amplitude = make_network_input(counts, trained.photons[0])
        return cls(amplitude, probe, good, _answer(trained.generator, (amplitude, probe, good)))

    def measure_difference(self, patches: Tensor) -> float:
        """The largest difference of another answer, as a share of the largest value of this one."""
        if patches.shape != self.patches.shape or not torch.isfinite(patches).all():
            return float("inf")
        return float((patches - self.patches).abs().max() / self.patches.abs().max())

    def check(self, network: Generator | torch.nn.Module, name: str) -> float:
        """Check that a network gives this answer; returns the difference.

        Args:
            network: a network or a program.
            name: what it was read from, for the error.

        Raises:
            ExportError: it gives another one, or cannot take the inputs.
        """
        difference = self.measure_difference(self.answer(network, name))
        if difference > TOLERANCE:
            raise ExportError(
                f"{name}: its answer to the test tensors differs by {difference:.2g}; {TOLERANCE:g} is allowed"
            )
        return difference

    def answer(self, network: Generator | torch.nn.Module, name: str) -> Tensor:
        """Let a network answer the inputs; returns (pattern, h, w) patches.

        Args:
            network: a network or a program.
            name: what it was read from, for the error.

        Raises:
            ExportError: it cannot take the inputs.
        """
        try:
            return _answer(network, self.inputs)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ExportError(f"{name}: cannot compute the test tensors ({str(error).splitlines()[0]:.100})") from error

    def write(self, path: Path) -> None:
        """Write the tensors as NPZ."""
        arrays = {name: getattr(self, name).numpy() for name in _KINDS}
        with write_atomically(path) as file:
            file.write(pack_arrays(arrays))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the tensors from an untrusted file.

        Raises:
            ExportError: it is damaged, or lacks a tensor.
        """
        with explain_damage(path, "NPZ file of test tensors", ExportError), path.open("rb") as file:
            arrays = read_arrays(file, _LARGEST_BYTES)
            return cls(**{name: torch.from_numpy(_require(arrays, name, kind)) for name, kind in _KINDS.items()})


def _answer(network: torch.nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        patches: Tensor = network(*inputs)
    return patches


def _require(arrays: dict[str, NDArray[Any]], name: str, kind: type) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != kind or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.dtype}, empty or not finite; it must be {np.dtype(kind)}")
    return np.array(array)
