"""HDF5 files: untrusted ones are read without following links, own ones are written atomically."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import PtychoError
from ptycho_torch.storage.untrusted import check_declared_size, explain_damage, join_names, summarise_error
from ptycho_torch.storage.writing import write_atomically

_LONGEST_TEXT_BYTES = 2**20
_LARGEST_CHUNK_BYTES = 2**30
# the oldest version of the format whose structures have checksums of their own
_VERSIONS = ("v110", "v110")
# by NumPy's letters
_KINDS = {"c": "complex", "f": "real", "i": "integer", "u": "unsigned", "b": "boolean"}


class Hdf5Contents:
    """Datasets and attributes of an open file, checked before they are read.

    Args:
        path: path of the file, for messages.
        file: the open file.
        error: class of the errors about its contents.
    """

    def __init__(self, path: Path, file: h5py.File, error: type[PtychoError]) -> None:
        self._path, self._file, self._error = path, file, error

    def make_error(self, problem: str) -> PtychoError:
        """Make the error that reports a problem of the file."""
        return self._error(f"{self._path}: {problem}")

    def read_array(self, name: str, kinds: str, axes: Sequence[int], *, finite: bool = True) -> NDArray[Any]:
        """Read a dataset.

        Args:
            name: its name.
            kinds: accepted kinds of types, by NumPy's letters.
            axes: accepted numbers of axes.
            finite: whether NaN and infinite values are refused.

        Raises:
            PtychoError: it is missing, a link, of another kind or shape, or its declared size exceeds the stored one.
        """
        dataset = self._find_dataset(name)
        if dataset.dtype.kind not in kinds or dataset.ndim not in axes:
            wanted = " or ".join(map(str, axes))
            raise self.make_error(
                f"{name!r} has shape {dataset.shape} and type {dataset.dtype}; "
                f"it must contain {' or '.join(_KINDS[kind] for kind in kinds)} values in {wanted} axes"
            )
        try:
            check_declared_size(repr(name), int(dataset.size) * dataset.dtype.itemsize, dataset.id.get_storage_size())
        except ValueError as error:
            raise self.make_error(summarise_error(error)) from error
        values: NDArray[Any] = dataset[()]
        if finite and not np.isfinite(values).all():
            raise self.make_error(f"{name!r} contains NaN or infinite values")
        return values

    def has_attribute(self, name: str) -> bool:
        """Whether the file has an attribute of that name."""
        return name in self._file.attrs

    def has_array(self, name: str) -> bool:
        """Whether the file has a dataset of that name, or a link."""
        return self._file.get(name, getlink=True) is not None

    def read_number(self, name: str, default: float | None = None, *, of: str | None = None) -> float:
        """Read an attribute of the file, or `of` one of its datasets, as a finite number; a boolean becomes 0 or 1.

        Raises:
            PtychoError: it is not a finite number, or it is missing and has no default.
        """
        attributes = self._file.attrs if of is None else self._find_dataset(of).attrs
        place = repr(name) if of is None else f"{name!r} of {of!r}"
        if name not in attributes:
            if default is None:
                raise self.make_error(f"{place} is missing")
            return default
        stored = attributes.get_id(name)
        if stored.dtype.kind not in "iufb" or stored.shape not in ((), (1,)):
            raise self.make_error(f"{place} has shape {stored.shape} and type {stored.dtype}; it must be one number")
        value = float(np.ravel(attributes[name])[0])
        if not np.isfinite(value):
            raise self.make_error(f"{place} is {value}; it must be finite")
        return value

    def read_text(self, name: str) -> str:
        """Read an attribute of the file as a string.

        Raises:
            PtychoError: it is not a string.
        """
        stored = self._file.attrs.get_id(name)
        kind = h5py.check_string_dtype(stored.dtype)
        if kind is None or stored.shape not in ((), None) or stored.dtype.itemsize > _LONGEST_TEXT_BYTES:
            raise self.make_error(f"{name!r} has shape {stored.shape} and type {stored.dtype}; it must be one string")
        value = self._file.attrs[name]
        if isinstance(value, h5py.Empty):
            return ""
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "replace").partition("\0")[0]

    def _find_dataset(self, name: str) -> h5py.Dataset:
        link = self._file.get(name, getlink=True)
        if link is None:
            raise self.make_error(f"{name!r} is missing; the file contains {join_names(self._file)}")
        if not isinstance(link, h5py.HardLink):
            raise self.make_error(f"{name!r} is a link; links are unsupported, copy the values into the file")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise self.make_error(f"{name!r} is not a dataset")
        if dataset.is_virtual or dataset.external:
            raise self.make_error(f"{name!r} refers to values in other files; copy them into this file")
        return dataset


@contextlib.contextmanager
def open_hdf5(path: Path, error: type[PtychoError]) -> Iterator[Hdf5Contents]:
    """Open a file for reading; a missing or damaged file raises `error`, also inside the block."""
    with explain_damage(path, "HDF5 file", error), h5py.File(path, "r") as file:
        yield Hdf5Contents(path, file, error)


def store_checked(file: h5py.File, name: str, array: NDArray[Any]) -> None:
    """Write an array with checksums, by which the library notices that a file was changed."""
    chunks = array.shape if array.nbytes < _LARGEST_CHUNK_BYTES else True
    options = {"chunks": chunks, "fletcher32": True} if array.size and array.ndim else {}
    file.create_dataset(name, data=array, **options)


@contextlib.contextmanager
def write_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for an atomic write.

    It is assembled in memory, so that a full disk is an error of the system and not one inside of HDF5.

    Raises:
        OutputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=_VERSIONS) as file:
        yield file
    with write_atomically(path) as target:
        target.write(buffer.getbuffer())
