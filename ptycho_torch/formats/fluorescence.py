"""Values of a second detector, which belong to the patterns of a scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.named import read_named

_MOST_CHANNELS = 256


def add_fluorescence(scan: Scan, reference: str | None, path: Path) -> Scan:
    """Add the values that a setting names to the patterns that are left of a scan; without a name, return it unchanged.

    Args:
        scan: the scan.
        reference: FILE, FILE:NAME or NAME of an array (pattern, channel), or (pattern,) for one channel, with a value
            for every pattern of the file.
        path: the file of the scan.

    Raises:
        ScanFileError: there is no such array, or it does not fit the scan.
    """
    if reference is None:
        return scan
    values = read_named(reference, path)
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2):
        raise ScanFileError(
            f"{reference}: has shape {values.shape} and type {values.dtype}; it must be real (pattern, channel)"
        )
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1] > _MOST_CHANNELS:
        raise ScanFileError(
            f"{reference}: has {values.shape[1]} channels; at most {_MOST_CHANNELS} are mapped, one for each line, "
            "not whole spectra"
        )
    numbers = np.arange(len(scan)) if scan.numbers is None else scan.numbers
    stored = int(numbers.max()) + 1
    if len(values) < stored:
        raise ScanFileError(f"{reference}: has values for {len(values)} patterns; the scan has {stored}")
    return replace(scan, fluorescence=values[numbers])
