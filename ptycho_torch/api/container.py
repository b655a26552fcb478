"""PtychoDataContainerTorch: grouped data as a model is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class PtychoDataContainerTorch:
    """Grouped data; nothing yet."""

    def __init__(self, grouped: Mapping[str, Any], probe: ArrayLike) -> None:
        self.X = self.Y = self.Y_I = self.Y_phi = self.coords_nominal = self.coords_true = self.coords = np.zeros(1)
        self.probe = self.nn_indices = self.global_offsets = self.local_offsets = self.norm_Y_I = np.zeros(1)
