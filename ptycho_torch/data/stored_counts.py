"""Counts of scans that are too large to be held in memory: read from the file whenever they are used."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.conversion import Conversion
from ptycho_torch.errors import OutputError
from ptycho_torch.storage.rows import FileRows, Rows, TemporaryFolder, stamp_file

_log = logging.getLogger(__name__)

# counts up to this size are held in memory
LARGEST_HELD_BYTES = 2**26
# pixels of the patterns that are read at once
_PART_PX = 2**20


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredCounts:
    """Photons (pattern, N, N) float32 of a scan, which stay where they are stored until they are indexed.

    It stands for an array in `Scan.counts`: it has a shape, a type and a length, and indexing its first axis reads
    patterns. `numpy.asarray` reads all of them.

    Attributes:
        rows: the patterns as they are stored.
        conversion: makes counts of them; None if counts are stored.
        is_transposed: whether columns are stored before rows.
        good_pixels: (N, N) False on bad pixels, where all counts are 0.
        photons: (pattern,) photons of each pattern.
        highest: a bound of all counts.
    """

    rows: Rows
    conversion: Conversion | None
    is_transposed: bool
    good_pixels: NDArray[np.bool_]
    photons: NDArray[np.float64]
    highest: float

    @property
    def side_px(self) -> int:
        """N."""
        return len(self.good_pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of patterns, rows and columns."""
        return len(self.rows), self.side_px, self.side_px

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the counts."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 3

    @property
    def size(self) -> int:
        """Number of detector pixels of all patterns."""
        return len(self.rows) * self.side_px**2

    def __len__(self) -> int:
        """Number of patterns."""
        return len(self.rows)

    def __getitem__(self, patterns: Any) -> NDArray[np.float32]:  # noqa: ANN401 - indices of any kind, as in NumPy
        """Read patterns; an index is that of the first axis of an array."""
        numbers = np.arange(len(self))[patterns]
        return self._read(np.atleast_1d(numbers))[0] if np.ndim(numbers) == 0 else self._read(numbers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401
        """Read all patterns into memory."""
        found = np.empty(self.shape, np.float32)
        for part, counts in read_parts(self):
            found[part] = counts
        return found if dtype is None else found.astype(dtype, copy=False)

    def _read(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        values = self.rows.read(numbers)
        values = values.swapaxes(-2, -1) if self.is_transposed else values
        return values.astype(np.float32) if self.conversion is None else self.conversion.apply(values)

    def take(self, numbers: NDArray[np.int64]) -> StoredCounts:
        """Some of the patterns, in the given order, unread."""
        return replace(self, rows=self.rows.take(numbers), photons=self.photons[numbers])

    def as_array(self) -> NDArray[np.float32]:
        """This object in the place of an array."""
        return cast("NDArray[np.float32]", self)


def is_held(patterns: int, side_px: int) -> bool:
    """Whether counts of so many patterns are held in memory."""
    return 4 * patterns * side_px**2 <= LARGEST_HELD_BYTES


def read_parts(counts: NDArray[np.float32] | StoredCounts) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Read all patterns in parts that take little memory, with their numbers."""
    length = max(1, _PART_PX // counts.shape[1] ** 2)
    for start in range(0, len(counts), length):
        part = slice(start, min(start + length, len(counts)))
        yield part, counts[part]


def take_counts(counts: NDArray[np.float32], patterns: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """Take some patterns, in the given order, also of stored counts: in memory if they are few, otherwise unread."""
    stored: Any = counts
    if not isinstance(stored, StoredCounts):
        return counts[patterns]
    numbers = np.arange(len(stored))[patterns]
    return stored[numbers] if is_held(len(numbers), stored.side_px) else stored.take(numbers).as_array()


def find_extremes(counts: NDArray[np.float32]) -> tuple[float, float]:
    """Lowest and highest count; of stored counts, which are not negative, 0 and a bound."""
    stored: Any = counts
    if isinstance(stored, StoredCounts):
        return 0.0, stored.highest
    return float(counts.min()), float(counts.max())


def measure_mean(counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean pattern (N, N), also of stored counts."""
    stored: Any = counts
    if not isinstance(stored, StoredCounts):
        return counts.mean(axis=0, dtype=np.float64)
    total = np.zeros(stored.shape[1:])
    for _, part in read_parts(stored):
        total += part.sum(axis=0, dtype=np.float64)
    return total / len(stored)


def sum_photons(counts: NDArray[np.float32], good_pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Photons (pattern,) of each pattern on good pixels, also of stored counts."""
    stored: Any = counts
    if isinstance(stored, StoredCounts):
        if np.array_equal(good_pixels, stored.good_pixels):
            return stored.photons
        sums = [part.sum(axis=(1, 2), where=good_pixels, dtype=np.float64) for _, part in read_parts(stored)]
        return np.concatenate(sums)
    found: NDArray[np.float64] = counts.sum(axis=(1, 2), where=good_pixels, dtype=np.float64)
    return found


class CountsFile:
    """A temporary file to which counts are written part by part.

    Args:
        patterns: number of patterns that will be written.
        side_px: side of a pattern.
        dtype: type in which they are exact.

    Raises:
        OutputError: there is not enough space.
    """

    def __init__(self, patterns: int, side_px: int, dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = (side_px, side_px), dtype
        self._folder = TemporaryFolder()
        self._path = self._folder.path / "counts"
        needed = patterns * side_px**2 * dtype.itemsize
        free = shutil.disk_usage(self._folder.path).free
        if needed > free:
            raise OutputError(
                f"{self._path.parent.parent}: the counts of a scan need {needed / 1e9:.3g} GB there, and "
                f"{free / 1e9:.3g} GB are free; set TMPDIR to a folder with more space"
            )
        self._file = self._path.open("wb")

    def write(self, counts: NDArray[np.float32]) -> None:
        """Append patterns."""
        self._file.write(np.ascontiguousarray(counts.astype(self._dtype)).data)

    def close(self) -> FileRows:
        """Finish the file; returns its rows."""
        self._file.close()
        stamp = stamp_file(self._path)
        size = self._shape[0] * self._shape[1] * self._dtype.itemsize
        offsets = np.arange(stamp[0] // size, dtype=np.int64) * size
        return FileRows(self._path, offsets, self._shape, self._dtype, stamp, self._folder)
