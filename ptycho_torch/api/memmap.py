"""MemmapDatasetBridge: grouped data from a file that is larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.config.legacy import LegacyTask


class MemmapDatasetBridge:
    """The groups that `RawDataTorch` makes, from a file; nothing yet."""

    def __init__(self, npz_path: Path | str, config: LegacyTask | None = None) -> None:
        pass

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
        """Nothing yet."""
        return {"diffraction": np.zeros(1), "nn_indices": np.zeros((1, 1), np.int64)}
