"""Rows: the entries of a stored array along its first axes, read by their numbers.

Rows of a file are read by their offsets. The pages of a mapped file would count as memory of the process as far as they
were read, and a file that is cut short while it is mapped ends the process.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import mmap
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError


class TemporaryFolder:
    """A folder of this process that is removed with its last user, or when the process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ptycho_torch-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        _folders[self.path] = self


_folders: weakref.WeakValueDictionary[Path, TemporaryFolder] = weakref.WeakValueDictionary()


class Rows(Protocol):
    """Arrays of one shape and type, read by their numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __len__(self) -> int:
        """Number of rows."""

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows, (number, *shape), in the given order."""

    def take(self, numbers: NDArray[np.int64]) -> Rows:
        """Some of the rows, in the given order, unread."""


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows of an array in memory, or of one mapped from a file without a name.

    Attributes:
        values: (row, …) the array; its first axis counts the rows before `chosen`.
        chosen: numbers of the rows to use; None for all.
    """

    values: NDArray[Any]
    chosen: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return self.values.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.values) if self.chosen is None else len(self.chosen)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Copy rows, and give the memory of mapped pages back."""
        found: NDArray[Any] = np.asarray(self.values[numbers if self.chosen is None else self.chosen[numbers]])
        _release_pages(self.values)
        return found

    def take(self, numbers: NDArray[np.int64]) -> ArrayRows:
        """Some of the rows, in the given order."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])


@dataclass(frozen=True, eq=False)
class FileRows:
    """Rows at known places of a file.

    Attributes:
        path: the file.
        offsets: (row,) first byte of each.
        shape: shape of a row.
        dtype: type of the values.
        stamp: size and time of the last change of the file, when the offsets were found.
        folder: the temporary folder of the file, if it is to be removed with the last rows in it.
    """

    path: Path
    offsets: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: tuple[int, int]
    folder: TemporaryFolder | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.offsets)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows, neighbours in the file at once.

        Raises:
            ScanFileError: the file is missing or has changed, or ends too early.
        """
        found = np.empty((len(numbers), *self.shape), self.dtype)
        if not found.size:
            return found
        offsets, size = self.offsets[numbers], found[0].nbytes
        starts = np.concatenate([[0], np.flatnonzero(np.diff(offsets) != size) + 1, [len(numbers)]]).tolist()
        target, descriptor = found.reshape(-1).view(np.uint8).data, self._descriptor
        for first, last in itertools.pairwise(starts):
            self._read_into(target[first * size : last * size], int(offsets[first]), descriptor)
        self._check_stamp(descriptor)
        return found

    def _read_into(self, target: memoryview, offset: int, descriptor: int) -> None:
        while target:
            done = os.preadv(descriptor, [target], offset)
            if not done:
                raise ScanFileError(f"{self.path}: ends before its last pattern; it was cut short while it was in use")
            target, offset = target[done:], offset + done

    @cached_property
    def _descriptor(self) -> int:
        """The open file, which is closed with the last use of these rows."""
        try:
            found = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise ScanFileError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        weakref.finalize(self, os.close, found)
        self._check_stamp(found)
        return found

    def _check_stamp(self, descriptor: int) -> None:
        if stamp_file(descriptor) != self.stamp:
            raise ScanFileError(f"{self.path}: has changed since its patterns were found; read it again")

    def take(self, numbers: NDArray[np.int64]) -> FileRows:
        """Some of the rows, in the given order."""
        return replace(self, offsets=self.offsets[numbers])

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; the folder stays with the process that made it."""
        return {**{name: value for name, value in self.__dict__.items() if name != "_descriptor"}, "folder": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes, with the folder if this process made it."""
        self.__dict__.update(state, folder=_folders.get(state["path"].parent))


def stamp_file(file: int | Path) -> tuple[int, int]:
    """Size and time of the last change of a file, or of an open one by its descriptor."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns


def locate_rows(array: Any, axes: int = 2) -> Rows | None:  # noqa: ANN401 - datasets of h5py carry no annotations
    """Find where the rows of an array are stored, so that they can be read in any order.

    Args:
        array: an array in memory or mapped, or a dataset of h5py.
        axes: number of the last axes that form a row.

    Returns:
        The rows in the order of the array; None if they are compressed, or not stored one after the other.
    """
    if isinstance(array, h5py.Dataset):
        return _locate_in_hdf5(array, axes)
    if not isinstance(array, np.ndarray) or array.ndim <= axes or not array.size:
        return None
    lead, shape = array.shape[:-axes], array.shape[-axes:]
    if not array[(0,) * len(lead)].flags.c_contiguous:
        return None
    root = _find_mapping(array)
    if root is None or root.filename is None:
        values = array.reshape(-1, *shape)
        return ArrayRows(values) if np.may_share_memory(values, array) else None
    first = array.ctypes.data - root.ctypes.data + int(root.offset)
    places = sum(
        np.arange(length, dtype=np.int64).reshape(-1, *[1] * (len(lead) - axis - 1)) * stride
        for axis, (length, stride) in enumerate(zip(lead, array.strides, strict=False))
    )
    path = Path(root.filename)
    return FileRows(path, np.ravel(first + places), shape, array.dtype, stamp_file(path))


def _find_mapping(array: NDArray[Any]) -> np.memmap[Any, Any] | None:
    """The whole mapping of which an array is a view; None if it is not mapped."""
    found, view = None, cast("Any", array)
    while isinstance(view, np.ndarray):
        base = cast("Any", view.base)
        if isinstance(view, np.memmap) and isinstance(base, mmap.mmap):
            found = view
        view = base
    return found


def _release_pages(array: NDArray[Any]) -> None:
    """Give the memory of a mapped array back; its pages stay in the file, or in the cache of the system."""
    root = _find_mapping(array)
    if root is not None:
        with contextlib.suppress(OSError, ValueError):
            cast("Any", root.base).madvise(mmap.MADV_DONTNEED)


def _locate_in_hdf5(dataset: Any, axes: int) -> FileRows | None:  # noqa: ANN401
    lead, shape = dataset.shape[:-axes], dataset.shape[-axes:]
    plain = dataset.dtype.kind in "iuf" and lead and dataset.size and not dataset.is_virtual and not dataset.external
    if not plain or dataset.id.get_create_plist().get_nfilters():
        return None
    offsets = _locate_chunks(dataset, lead, shape) if dataset.chunks else _locate_contiguous(dataset, lead, shape)
    if offsets is None:
        return None
    path = Path(dataset.file.filename)
    rows = FileRows(path, offsets, shape, dataset.dtype, stamp_file(path))
    # a header before the file, or a driver with several files, would displace what the library states
    for number in (0, len(rows) - 1):
        try:
            row = rows.read(np.array([number]))[0]
        except ScanFileError:
            return None
        if row.tobytes() != dataset[np.unravel_index(number, lead)].tobytes():
            return None
    return rows


def _locate_contiguous(dataset: Any, lead: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.int64] | None:  # noqa: ANN401
    first = dataset.id.get_offset()
    if first is None:
        return None
    return first + np.arange(math.prod(lead), dtype=np.int64) * (math.prod(shape) * dataset.dtype.itemsize)


def _locate_chunks(dataset: Any, lead: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.int64] | None:  # noqa: ANN401
    """Offsets of rows in chunks that contain whole ones; None if chunks divide rows, or some were never written."""
    length = dataset.chunks[: len(lead)]
    if dataset.chunks[len(lead) :] != shape:
        return None
    grid = [-(-whole // part) for whole, part in zip(lead, length, strict=True)]
    starts = np.full(grid, -1, np.int64)

    def note(chunk: Any) -> None:  # noqa: ANN401
        place = tuple(first // part for first, part in zip(chunk.chunk_offset, length, strict=False))
        starts[place] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    if (starts < 0).any():
        return None
    places = np.unravel_index(np.arange(math.prod(lead)), lead)
    chunk = tuple(place // part for place, part in zip(places, length, strict=True))
    inside = np.ravel_multi_index(tuple(place % part for place, part in zip(places, length, strict=True)), length)
    found: NDArray[np.int64] = starts[chunk] + inside * (math.prod(shape) * dataset.dtype.itemsize)
    return found
