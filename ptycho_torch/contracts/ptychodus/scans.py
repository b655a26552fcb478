"""The client's data to scans: a folder of exported files, a standard workflow directory, or arrays in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.contracts.ptychodus.placement import ClientCanvas
from ptycho_torch.data.conventions import detect_units
from ptycho_torch.data.make_scan import make_scan
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.formats import read_scans

# the client centres its patterns; whether they are counts or amplitudes it does not say
_READING = DataSettings(zero_frequency="centre")
_LEAST_PATTERNS = 2


def read_training_scans(folder: Path) -> list[Scan]:
    """All scans of a folder: exported files, or where there are none the two files of a workflow directory.

    Raises:
        ScanFileError: the folder holds no scan, or one that cannot be read.
        DataError: a scan is too small or makes no sense.
    """
    scans = read_scans(folder, _READING)
    for scan in scans:
        _check_patterns(scan.name, len(scan))
    return scans


def scan_in_memory(
    patterns: NDArray[Any], probe: NDArray[Any] | None, client_px: NDArray[np.float64], stored_as: str = "counts"
) -> tuple[Scan, ClientCanvas]:
    """A scan of the client's arrays, and the array that it expects back; the scan's positions are meant in that array.

    Args:
        patterns: (pattern, N, N) counts, zero frequency at [N//2, N//2].
        probe: (mode, N, N) probe to compare with the one that training found; None where there is none.
        client_px: (pattern, 2) row and column in pixels of the client's object array.
        stored_as: what floats are that are not whole: `counts` or `amplitude`, as in training.

    Raises:
        DataError: the arrays do not make a scan.
    """
    client_px = np.asarray(client_px, np.float64).reshape(-1, 2)
    _check_patterns("the scan", min(len(patterns), len(client_px)))
    if not np.isfinite(client_px).all():
        raise DataError("the scan: positions hold NaN or infinite values")
    patch_px = int(patterns.shape[-1])
    place = ClientCanvas.of(client_px, patch_px)
    scan = make_scan(
        name="the scan",
        stored=np.asarray(patterns),
        positions_px=client_px + place.offset_px,
        settings=replace(_READING, units=_units(patterns, stored_as)),
        probe=None if probe is None else np.asarray(probe),
    )
    return scan, place


def _units(patterns: NDArray[Any], stored_as: str) -> Literal["counts", "amplitude"]:
    found = detect_units(np.asarray(patterns))[0] if patterns.size else "counts"
    return "counts" if found == "counts" or stored_as == "counts" else "amplitude"


def _check_patterns(name: str, patterns: int) -> None:
    if patterns < _LEAST_PATTERNS:
        raise DataError(
            f"{name}: has {patterns} pattern{'' if patterns == 1 else 's'}; two or more that overlap are needed"
        )
