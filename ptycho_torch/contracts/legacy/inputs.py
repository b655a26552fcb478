"""Whatever a workflow is given as data, as a scan and as a container."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.contracts.legacy.container import PtychoDataContainerTorch
from ptycho_torch.contracts.legacy.parameters import LegacyTask, LegacyTraining
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch, kept_patterns
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError
from ptycho_torch.formats import read_one_scan

_log = logging.getLogger(__name__)

_RAW = ("xcoords", "ycoords", "diff3d", "probeGuess")


def as_scan(data: object, config: LegacyTask) -> Scan:
    """Patterns and positions of any kind of data, as many as `n_subsample` keeps.

    Patterns without a pixel of one photon or more are normalised ones and get `nphotons`. A container was sampled when
    it was made: it may hold fewer patterns than `n_subsample`, and all of them are taken then.

    Args:
        data: RawDataTorch, an object with the same attributes, PtychoDataContainerTorch, Scan, or the path of a file.
        config: canonical parameters; the size of the patterns must be theirs.

    Raises:
        DataError: the data are of no known kind, or do not make a scan.
        ConfigError: the patterns have another size.
        GroupingError: there are fewer patterns than `n_subsample`.
    """
    scan = _whole_scan(data, config)
    if scan.patch_px != config.model.N:
        raise ConfigError(f"LegacyModel.N is {config.model.N}; the patterns have {scan.patch_px} px")
    scan = _dosed(scan, config)
    if config.n_subsample is None:
        return scan
    kept = min(config.n_subsample, len(scan)) if isinstance(data, PtychoDataContainerTorch) else config.n_subsample
    in_order = isinstance(config, LegacyTraining) and config.sequential_sampling
    return scan.take(kept_patterns(len(scan), kept, config.subsample_seed, in_order=in_order))


def ensure_container(data: object, config: LegacyTask) -> PtychoDataContainerTorch:
    """Any kind of data as a container of groups; a container stays what it is.

    Coordinates in it count from pixel [0, 0] of the scan's object, where there is one. Of several probe modes it holds
    the first.

    Raises:
        DataError: the data are of no known kind, or do not make a scan.
        ConfigError: the patterns have another size.
        GroupingError: the groups cannot be made from these patterns.
    """
    if isinstance(data, PtychoDataContainerTorch):
        return data
    scan = as_scan(data, config)
    if scan.probe is None:
        raise DataError(f"{scan.name}: there is no probe; a container holds one")
    if len(scan.probe) > 1:
        _log.info("%s: a container holds the first of the probe's %d modes", scan.name, len(scan.probe))
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


def _dosed(scan: Scan, config: LegacyTask) -> Scan:
    """Normalised patterns at the dose that the parameters tell; others tell their own."""
    if not isinstance(config, LegacyTraining) or float(scan.counts.max()) >= 1:
        return scan
    _log.info("%s: normalised patterns are taken to have %g photons each", scan.name, config.nphotons)
    return replace(scan, counts=scan.counts * np.float32(config.nphotons / scan.photons_per_pattern))


def _whole_scan(data: object, config: LegacyTask) -> Scan:
    match data:
        case Scan():
            return data
        case RawDataTorch():
            return data.scan()
        case PtychoDataContainerTorch():
            return _out_of(data)
        case str() | Path():
            return read_one_scan(data)
    if all(hasattr(data, name) for name in _RAW):
        return _of_others(data, config).scan()
    raise DataError(
        f"data of type {type(data).__name__} are of no known kind; RawDataTorch, PtychoDataContainerTorch, Scan or a "
        "path is needed"
    )


def _of_others(data: Any, config: LegacyTask) -> RawDataTorch:  # noqa: ANN401 - whatever has these attributes
    return RawDataTorch(
        data.xcoords,
        data.ycoords,
        data.diff3d,
        data.probeGuess,
        objectGuess=getattr(data, "objectGuess", None),
        config=config,
    )


def _out_of(container: PtychoDataContainerTorch) -> Scan:
    """The patterns of a container, each once; `norm_Y_I` brings the normalised amplitudes back to the measured ones."""
    amplitude, indices = np.asarray(container.X), np.asarray(container.nn_indices)
    _, first = np.unique(indices, return_index=True)
    place, channel = np.unravel_index(first, indices.shape)
    counts = np.square(amplitude[place, :, :, channel] * float(container.norm_Y_I))
    # relative coordinates are the mean minus the position, in (x, y)
    centres = np.asarray(container.global_offsets)[place, 0, :, 0]
    positions = centres - np.asarray(container.local_offsets)[place, 0, :, channel]
    return Scan(
        counts=counts.astype(np.float32),
        positions_px=positions[:, ::-1],
        probe=np.asarray(container.probe)[None],
        truth=None if container.YY_full is None else Canvas(np.asarray(container.YY_full)),
        name="container",
    )
