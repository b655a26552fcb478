"""Grouped data as a container, and any kind of data that a workflow accepts as a container or a scan."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.contracts.legacy.parameters import LegacyTask, LegacyTraining
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch, sample_patterns
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored_counts import find_extremes
from ptycho_torch.errors import ConfigError, DataError
from ptycho_torch.formats import read_one_scan

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

_RAW = ("xcoords", "ycoords", "diff3d", "probeGuess")


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


def to_scan(data: object, config: LegacyTask) -> Scan:
    """Patterns and positions of any kind of data, as many as `n_subsample` keeps.

    Normalised patterns, which have no pixel of one photon or more, get `nphotons`. A container was sampled when it was
    made: it may contain fewer patterns than `n_subsample`, and all of them are taken then.

    Args:
        data: RawDataTorch, an object with the same attributes, PtychoDataContainerTorch, Scan, or the path of a file.
        config: canonical parameters; the size of the patterns must be theirs.

    Raises:
        DataError: the data are of an unknown kind, or do not make a scan.
        ConfigError: the patterns have another size.
        GroupingError: there are fewer patterns than `n_subsample`.
    """
    scan = _read_whole(data, config)
    if scan.patch_px != config.model.N:
        raise ConfigError(f"LegacyModel.N is {config.model.N}; the patterns have {scan.patch_px} px")
    if isinstance(config, LegacyTraining) and find_extremes(scan.counts)[1] < 1:
        _log.info("%s: normalised patterns are scaled to %g photons each", scan.name, config.nphotons)
        scan = replace(scan, counts=np.asarray(scan.counts) * np.float32(config.nphotons / scan.photons_per_pattern))
    if config.n_subsample is None:
        return scan
    kept = min(config.n_subsample, len(scan)) if isinstance(data, PtychoDataContainerTorch) else config.n_subsample
    in_order = getattr(config, "sequential_sampling", False)
    return scan.take(sample_patterns(len(scan), kept, config.subsample_seed, in_order=in_order))


def ensure_container(data: object, config: LegacyTask) -> PtychoDataContainerTorch:
    """Any kind of data as a container of groups; a container is returned as it is.

    Coordinates in it count from pixel [0, 0] of the scan's object, if there is one. Of several probe modes it contains
    the first.

    Raises:
        DataError: the data are of an unknown kind, or do not make a scan.
        ConfigError: the patterns have another size.
        GroupingError: the groups cannot be made from these patterns.
    """
    if isinstance(data, PtychoDataContainerTorch):
        return data
    scan = to_scan(data, config)
    if scan.probe is None:
        raise DataError(f"{scan.name}: lacks a probe; a container must contain one")
    if len(scan.probe) > 1:
        _log.info("%s: a container contains the first of the probe's %d modes", scan.name, len(scan.probe))
    if scan.background is not None:
        _log.warning("%s: a container cannot contain the background; it is left out", scan.name)
    rows, columns = (scan.positions_px - (0 if scan.truth is None else scan.truth.origin_px)).T
    raw = RawDataTorch(
        columns,
        rows,
        np.sqrt(scan.counts),
        scan.probe,
        objectGuess=None if scan.truth is None else scan.truth.pixels,
        config=config,
    )
    reach = min(config.neighbor_count, len(scan) - 1)
    return PtychoDataContainerTorch(raw.generate_grouped_data(scan.patch_px, reach), scan.probe[0])


def _read_whole(data: object, config: LegacyTask) -> Scan:
    match data:
        case Scan():
            return data
        case PtychoDataContainerTorch():
            return _unpack(data)
        case str() | Path():
            return read_one_scan(data)
        case RawDataTorch():
            return data.scan()
    if all(hasattr(data, name) for name in _RAW):
        arrays = {name: getattr(data, name) for name in _RAW}
        return RawDataTorch(**arrays, objectGuess=getattr(data, "objectGuess", None), config=config).scan()
    raise DataError(
        f"data are of the unknown type {type(data).__name__}; they must be RawDataTorch, PtychoDataContainerTorch, "
        "Scan or a path"
    )


def _unpack(container: PtychoDataContainerTorch) -> Scan:
    """The patterns of a container, each once; `norm_Y_I` scales the normalised amplitudes back to the measured ones."""
    amplitude, indices = np.asarray(container.X), np.asarray(container.nn_indices)
    _, first = np.unique(indices, return_index=True)
    place, channel = np.unravel_index(first, indices.shape)
    counts = np.square(amplitude[place, :, :, channel] * float(container.norm_Y_I))
    # relative read_coordinates are the mean minus the position, in (x, y)
    centres = np.asarray(container.global_offsets)[place, 0, :, 0]
    positions = centres - np.asarray(container.local_offsets)[place, 0, :, channel]
    return Scan(
        counts=counts.astype(np.float32),
        positions_px=positions[:, ::-1],
        probe=np.asarray(container.probe)[None],
        truth=None if container.YY_full is None else Canvas(np.asarray(container.YY_full)),
        name="container",
    )
