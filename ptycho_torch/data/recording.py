"""Recording: what a file contains of a scan, in its own conventions and unread as far as possible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.geometry import Geometry
from ptycho_torch.data.scan import ScanSource
from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.rows import Rows, locate_rows

_PART_BYTES = 2**22
# an array whose last axis counts the patterns is read as a whole for each part
_LAST_PART_BYTES = 2**26


class LazyArray(Protocol):
    """An array whose parts are read when they are indexed: a dataset, a mapped file, or an array in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - indices and values of any kind, as in NumPy
        """Read a part."""


@dataclass(frozen=True, eq=False)
class PatternStack:
    """Patterns (pattern, row, column) of an array in another order of axes, read in parts.

    Attributes:
        source: the array: (pattern, row, column); (row of the raster, column of the raster, row, column); or (row,
            column, pattern) if `is_last`.
        is_last: whether the last axis counts the patterns.
        is_transposed: whether columns come before rows, as in files of column-major programs.
        chosen: numbers of the patterns to use, in this order; None for all.
    """

    source: LazyArray
    is_last: bool = False
    is_transposed: bool = False
    chosen: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of patterns."""
        return self.stored if self.chosen is None else len(self.chosen)

    @property
    def stored(self) -> int:
        """Number of patterns in the array."""
        return self.source.shape[-1] if self.is_last else math.prod(self.source.shape[:-2])

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of a pattern."""
        rows, columns = self.source.shape[:2] if self.is_last else self.source.shape[-2:]
        return (columns, rows) if self.is_transposed else (rows, columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    @cached_property
    def rows(self) -> Rows | None:
        """The patterns where they are stored, columns before rows if `is_transposed`; None if they are compressed."""
        found = None if self.is_last else locate_rows(self.source)
        return found if found is None or self.chosen is None else found.take(self.chosen)

    def read_parts(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Read all patterns in parts that take little memory, with the numbers of the patterns in each."""
        each = max(1, math.prod(self.frame) * self.dtype.itemsize)
        length = max(1, (_LAST_PART_BYTES if self.is_last else _PART_BYTES) // each)
        chunks = getattr(self.source, "chunks", None)
        if self.rows is None and chunks and isinstance(chunks[0], int):
            # a chunk is unpacked as a whole
            chunk = chunks[-1] if self.is_last else math.prod(chunks[:-2])
            length = -(-length // chunk) * chunk
        parts = [slice(start, min(start + length, len(self))) for start in range(0, len(self), length)]
        with ThreadPoolExecutor(1) as reader:
            # a part is read while the one before is used
            coming = [reader.submit(self._read, part) for part in parts[:1]]
            for part, following in zip_longest(parts, parts[1:]):
                values = coming.pop().result()
                if following is not None:
                    coming.append(reader.submit(self._read, following))
                yield part, values

    def _read(self, part: slice) -> NDArray[Any]:
        if self.rows is not None:
            values = self.rows.read(np.arange(part.start, part.stop))
        elif self.chosen is None:
            values = self._read_stored(part.start, part.stop)
        else:
            numbers = self.chosen[part]
            low, high = int(numbers.min()), int(numbers.max()) + 1
            if high - low <= 2 * len(numbers):
                values = self._read_stored(low, high)[numbers - low]
            else:
                values = np.concatenate([self._read_stored(int(number), int(number) + 1) for number in numbers])
        return values.swapaxes(-2, -1) if self.is_transposed else values

    def _read_stored(self, start: int, stop: int) -> NDArray[Any]:
        source = self.source
        if self.is_last:
            return np.moveaxis(np.asarray(source[:, :, start:stop]), -1, 0)
        axes = len(source.shape)
        if axes == 3:
            return np.asarray(source[start:stop])
        # whole rows of the raster
        inner = math.prod(source.shape[1:-2])
        first, last = start // inner, -(-stop // inner)
        rows = np.asarray(source[first:last]).reshape(-1, *source.shape[-2:])
        return rows[start - first * inner : stop - first * inner]


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """A scan as a file contains it. None or `auto` where the file and its format leave something open.

    Attributes:
        name: name of the scan in messages.
        patterns: the patterns.
        positions: (pattern, 2) row and column of the probe on the sample, growing as those of the patterns do.
        position_unit: unit of the positions: object pixels, metres, or `auto` to tell them apart.
        raster: rows and columns of the scan, if the positions follow from it.
        step_m: distance of neighbouring positions of a raster along rows and columns.
        units: meaning of the values of the patterns.
        zero_frequency: where the direct beam lies.
        beam_centre_px: row and column of the direct beam in the patterns, if it may lie elsewhere.
        geometry: wavelength, distance and pixel sizes.
        bad_pixels: (h, w) True on bad pixels.
        probe: (h, w) or (mode, h, w).
        background: (h, w) mean values that do not come from the sample.
        dark: (h, w) values that the detector records without light.
        flat: (h, w) relative sensitivity of the detector's pixels.
        true_object: (height, width) complex, pixel [0, 0] at position (0, 0) in pixels.
        object_may_be_small: ignore a true object that does not cover the scan.
        is_far_field: whether the file states that the patterns are far-field ones.
        source: what results can be written in the form of.
        contents: what else the file contains, for messages.
    """

    name: str
    patterns: PatternStack
    positions: NDArray[np.float64] | None = None
    position_unit: Literal["auto", "px", "m"] = "auto"
    raster: tuple[int, int] | None = None
    step_m: tuple[float, float] | None = None
    units: Literal["auto", "counts", "amplitude"] = "auto"
    zero_frequency: Literal["auto", "centre", "corner"] = "auto"
    beam_centre_px: tuple[float, float] | None = None
    geometry: Geometry = field(default_factory=Geometry)
    bad_pixels: NDArray[Any] | None = None
    probe: NDArray[Any] | None = None
    background: NDArray[Any] | None = None
    dark: NDArray[Any] | None = None
    flat: NDArray[Any] | None = None
    true_object: NDArray[Any] | None = None
    object_may_be_small: bool = False
    is_far_field: bool = True
    source: ScanSource | None = None
    contents: str = ""

    def __post_init__(self) -> None:
        """Raise ScanFileError unless the patterns are at least one, of real numbers."""
        shape, kind = self.patterns.source.shape, self.patterns.dtype
        if len(shape) not in (3, 4) or 0 in shape:
            problem = "the scan is empty: patterns" if 0 in shape else "patterns"
            raise ScanFileError(f"{self.name}: {problem} have shape {shape}; it must be (pattern, row, column)")
        if kind.kind not in "iuf":
            raise ScanFileError(
                f"{self.name}: patterns are of type {kind}; they must be integer counts or float amplitudes"
            )
