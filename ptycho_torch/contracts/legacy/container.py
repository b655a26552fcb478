"""PtychoDataContainerTorch: grouped data as a model is given it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_NEEDED = (
    "diffraction",
    "X_full",
    "Y",
    "coords_offsets",
    "coords_relative",
    "coords_start_relative",
    "nn_indices",
    "objectGuess",
)


class PtychoDataContainerTorch:
    """Grouped data in thirteen arrays: tensors where torch is installed, NumPy arrays where it is not.

    Args:
        grouped: what `RawDataTorch.generate_grouped_data` returns.
        probe: (N, N) complex, or one mode (1, N, N).

    Attributes:
        X: (B, N, N, C) float32 normalised amplitude.
        Y: (B, N, N, C) complex64 patches of the object; None, like the next two, where no object is known.
        Y_I: (B, N, N, C) float32 amplitude of Y.
        Y_phi: (B, N, N, C) float32 phase of Y, in radians.
        coords_nominal: (B, 1, 2, C) float32 mean minus nominal position, (x, y).
        coords_true: (B, 1, 2, C) float32 mean minus corrected position.
        coords: the nominal ones, which a model is given.
        probe: (N, N) complex64.
        nn_indices: (B, C) int32 pattern numbers.
        global_offsets: (B, 1, 2, 1) float64 mean of the corrected positions.
        local_offsets: (B, 1, 2, C) float64 mean minus corrected position.
        norm_Y_I: () float32; X times it is the measured amplitude.
        YY_full: (rows, columns) complex64 whole object, or None.

    Raises:
        DataError: an array is missing, the patches are not complex64, or the probe does not fit.
    """

    def __init__(self, grouped: Mapping[str, Any], probe: ArrayLike) -> None:
        missing = [name for name in _NEEDED if name not in grouped]
        if missing:
            raise DataError(f"grouped data lack {missing[0]!r}; RawDataTorch.generate_grouped_data makes all of them")
        patches, relative = _complex_patches(grouped["Y"]), grouped["coords_relative"]
        nominal = grouped["coords_start_relative"].astype(np.float32)
        scale = np.linalg.norm(grouped["diffraction"]) / np.linalg.norm(grouped["X_full"])
        self.X = _delivered(grouped["X_full"])
        self.Y = None if patches is None else _delivered(patches)
        self.Y_I = None if patches is None else _delivered(np.abs(patches))
        self.Y_phi = None if patches is None else _delivered(np.angle(patches))
        self.coords_nominal = _delivered(nominal)
        self.coords_true = _delivered(relative.astype(np.float32))
        self.coords = _delivered(nominal)
        self.probe = _delivered(_one_mode(np.asarray(probe), grouped["X_full"].shape[1]))
        self.nn_indices = _delivered(grouped["nn_indices"].astype(np.int32))
        self.global_offsets = _delivered(grouped["coords_offsets"])
        self.local_offsets = _delivered(relative)
        self.norm_Y_I = _delivered(np.array(scale, np.float32))
        self.YY_full = None if grouped["objectGuess"] is None else _delivered(grouped["objectGuess"])


def _complex_patches(patches: NDArray[Any] | None) -> NDArray[np.complex64] | None:
    if patches is not None and patches.dtype != np.complex64:
        raise DataError(f"Y is of type {patches.dtype}; patches of the object are complex64 (DATA-001)")
    return patches


def _one_mode(probe: NDArray[Any], side: int) -> NDArray[np.complex64]:
    single = probe[0] if probe.ndim == 3 and len(probe) == 1 else probe
    if single.shape != (side, side):
        raise DataError(f"the probe has shape {probe.shape}; one mode of ({side}, {side}) is needed")
    return single.astype(np.complex64)


def _delivered(array: NDArray[Any]) -> NDArray[Any] | Tensor:
    """The array as a tensor where torch is installed; in either case it is nobody else's."""
    own = np.array(array)
    if importlib.util.find_spec("torch") is None:
        return own
    tensor: Tensor = importlib.import_module("torch").from_numpy(own)
    return tensor
