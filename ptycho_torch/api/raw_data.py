"""RawDataTorch: patterns and positions under the names of the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.config.legacy import LegacyTask
from ptycho_torch.data.scan import Scan

_KEYS = (
    "diffraction",
    "X_full",
    "Y",
    "objectGuess",
    "coords_nn",
    "coords_offsets",
    "coords_relative",
    "coords_start_nn",
    "coords_start_offsets",
    "coords_start_relative",
)


class RawDataTorch:
    """Diffraction patterns of a sample with the positions they were taken at."""

    def __init__(
        self,
        xcoords: ArrayLike,
        ycoords: ArrayLike,
        diff3d: NDArray[Any],
        probeGuess: ArrayLike | None = None,
        scan_index: ArrayLike | None = None,
        objectGuess: ArrayLike | None = None,
        config: LegacyTask | None = None,
        *,
        xcoords_start: ArrayLike | None = None,
        ycoords_start: ArrayLike | None = None,
    ) -> None:
        self.scan_index = np.zeros(0, np.int64)

    def generate_grouped_data(
        self,
        N: int,
        K: int | None = None,
        nsamples: int | None = None,
        gridsize: int | None = None,
        *,
        seed: int | None = None,
        sequential_sampling: bool | None = None,
    ) -> dict[str, Any]:
        """Nothing yet: one zero under each name."""
        return {name: np.zeros((1, 1, 2, 1)) for name in _KEYS} | {"nn_indices": np.zeros((1, 1), np.int64)}

    def scan(self) -> Scan:
        """Nothing yet."""
        return Scan(counts=np.ones((1, 16, 16), np.float32), positions_px=np.zeros((1, 2)))
