"""PtychoDataContainerTorch: grouped data in the form that a model receives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


class PtychoDataContainerTorch:
    """Grouped data in thirteen arrays: tensors if torch is installed, NumPy arrays otherwise.

    Args:
        grouped: the result of `RawDataTorch.generate_grouped_data`.
        probe: (N, N) complex, or one mode (1, N, N).

    Attributes:
        X: (B, N, N, C) float32 normalised amplitude.
        Y: (B, N, N, C) complex64 patches of the object; None, like the next two, if no object is known.
        Y_I: (B, N, N, C) float32 amplitude of Y.
        Y_phi: (B, N, N, C) float32 phase of Y, in radians.
        coords_nominal: (B, 1, 2, C) float32 mean minus nominal position, (x, y).
        coords_true: (B, 1, 2, C) float32 mean minus corrected position.
        coords: the nominal ones, which a model receives.
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
        try:
            patches, relative, whole = _check_patches(grouped["Y"]), grouped["coords_relative"], grouped["objectGuess"]
            nominal = grouped["coords_start_relative"].astype(np.float32)
            scale = np.linalg.norm(grouped["diffraction"]) / np.linalg.norm(grouped["X_full"])
            self.X = _deliver(grouped["X_full"])
            self.Y = None if patches is None else _deliver(patches)
            self.Y_I = None if patches is None else _deliver(np.abs(patches))
            self.Y_phi = None if patches is None else _deliver(np.angle(patches))
            self.coords_nominal = _deliver(nominal)
            self.coords_true = _deliver(relative.astype(np.float32))
            self.coords = _deliver(nominal)
            self.probe = _deliver(_take_one_mode(np.asarray(probe), grouped["X_full"].shape[1]))
            self.nn_indices = _deliver(grouped["nn_indices"].astype(np.int32))
            self.global_offsets = _deliver(grouped["coords_offsets"])
            self.local_offsets = _deliver(relative)
            self.norm_Y_I = _deliver(np.array(scale, np.float32))
            self.YY_full = None if whole is None else _deliver(whole)
        except KeyError as error:
            raise DataError(f"grouped data lack {error}; RawDataTorch.generate_grouped_data makes it") from error


def _check_patches(patches: NDArray[Any] | None) -> NDArray[np.complex64] | None:
    if patches is not None and patches.dtype != np.complex64:
        raise DataError(f"Y is of type {patches.dtype}; it must be complex64 (DATA-001)")
    return patches


def _take_one_mode(probe: NDArray[Any], side: int) -> NDArray[np.complex64]:
    single = probe[0] if probe.ndim == 3 and len(probe) == 1 else probe
    if single.shape != (side, side):
        raise DataError(f"the probe has shape {probe.shape}; it must be one mode of ({side}, {side})")
    return single.astype(np.complex64)


def _deliver(array: NDArray[Any]) -> NDArray[Any] | Tensor:
    """A copy of an array, as a tensor if torch is installed."""
    try:
        import torch  # noqa: PLC0415 - NumPy arrays are made without it
    except ModuleNotFoundError:
        return np.array(array)
    return torch.from_numpy(np.array(array))
