"""Scans from records: one mapping for each pattern, in a list, a data set of torch, or one of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.assemble import assemble
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError

PATTERN, POSITION = "pattern", "position_px"


class Records(Protocol):
    """A collection of records that are read when they are asked for."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, number: int, /) -> Mapping[str, Any]:
        """Read a record: `pattern` (h, w) and `position_px`, the row and column, beside anything else."""


class RecordedPatterns:
    """The patterns of records, read where they are indexed; `numpy.asarray` must convert them."""

    def __init__(self, records: Records, name: str) -> None:
        self._records, self._name = records, name
        if len(records) == 0:
            raise DataError(f"{name}: is empty; it must have at least one record")
        first = self._read(0)
        self.shape, self.dtype = (len(records), *first.shape), first.dtype

    def __getitem__(self, index: slice) -> NDArray[Any]:
        """Read consecutive patterns.

        Raises:
            DataError: one is missing, or has another shape than the first.
        """
        numbers = range(len(self._records))[index]
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for place, number in enumerate(numbers):
            pattern = self._read(number)
            if pattern.shape != self.shape[1:]:
                raise DataError(
                    f"{self._name}: the pattern of record {number} has shape {pattern.shape}, "
                    f"the first one {self.shape[1:]}"
                )
            found[place] = pattern
        return found

    def _read(self, number: int) -> NDArray[Any]:
        return np.asarray(_take(self._records, number, PATTERN, self._name))


def collect_scan(
    records: Records,
    *,
    probe: NDArray[np.complexfloating] | None = None,
    settings: DataSettings | None = None,
    name: str = "records",
) -> Scan:
    """Collect records to a scan.

    Args:
        records: one for each pattern, a mapping with `pattern` (h, w) and `position_px`, (row, column) of the object
            pixel under patch pixel [h//2, w//2]; a data set of torch or of Hugging Face, or a list.
        probe: (h, w) or (mode, h, w) initial guess of the probe, in any unit.
        settings: meaning of the patterns and part of the detector to use; None to detect what the patterns are.
        name: name of the scan.

    Raises:
        DataError: there are no records, one lacks a part, or they do not form a usable scan.
        ConfigError: the settings do not fit the patterns.
    """
    return assemble(describe_records(records, name), settings or DataSettings(), probe)


def describe_records(records: Records, name: str) -> Recording:
    """Describe records as a recording.

    Raises:
        DataError: see `collect_scan`.
    """
    patterns = RecordedPatterns(records, name)
    try:
        positions = np.array([_take(records, number, POSITION, name) for number in range(len(records))], np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: a {POSITION} is not a row and a column ({str(error)[:80]})") from error
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise DataError(f"{name}: each {POSITION} must be a row and a column; together they have {positions.shape}")
    return Recording(name=name, patterns=PatternStack(patterns), positions=positions, position_unit="px")


def _take(records: Records, number: int, key: str, name: str) -> Any:  # noqa: ANN401 - whatever a record contains
    record = records[number]
    if not isinstance(record, Mapping) or key not in record:
        raise DataError(f"{name}: record {number} has no {key}")
    return record[key]
