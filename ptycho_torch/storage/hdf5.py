"""HDF5 files from outside, read without following them anywhere, and HDF5 files of our own, written whole."""

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


class Hdf5Contents:
    """Datasets and attributes of an open file, checked before they are read.

    Args:
        path: the file, for messages.
        file: the same, open.
        error: what to raise where something is wrong with it.
    """

    def __init__(self, path: Path, file: h5py.File, error: type[PtychoError]) -> None:
        self._path, self._file, self._error = path, file, error

    def fail(self, problem: str) -> PtychoError:
        """The error that says what is wrong with the file."""
        return self._error(f"{self._path}: {problem}")

    def array(self, name: str, kinds: str, axes: Sequence[int], *, finite: bool = True) -> NDArray[Any]:
        """A dataset.

        Args:
            name: its name.
            kinds: NumPy's letters for the kinds of types that it may have.
            axes: how many axes it may have.
            finite: refuse NaN and infinite values.

        Raises:
            PtychoError: it is missing, is of another kind or shape, lies elsewhere, or claims more than there is.
        """
        dataset = self._dataset(name)
        if dataset.dtype.kind not in kinds or dataset.ndim not in axes:
            wanted = " or ".join(map(str, axes))
            raise self.fail(
                f"{name!r} has shape {dataset.shape} and type {dataset.dtype}; "
                f"{_words(kinds)} in {wanted} axes are needed"
            )
        try:
            check_declared_size(repr(name), int(dataset.size) * dataset.dtype.itemsize, dataset.id.get_storage_size())
        except ValueError as error:
            raise self.fail(summarise_error(error)) from error
        values: NDArray[Any] = dataset[()]
        if finite and not np.isfinite(values).all():
            raise self.fail(f"{name!r} holds NaN or infinite values")
        return values

    def has(self, name: str) -> bool:
        """Whether there is a dataset, or a link that should lead to one, or an attribute of that name."""
        return name in self._file.attrs or self._file.get(name, getlink=True) is not None

    def number(self, name: str, default: float | None = None, *, of: str | None = None) -> float:
        """An attribute of the file, or `of` one of its datasets, as a finite number; a switch is 0 or 1.

        Raises:
            PtychoError: it is no such number, or it is missing and there is no default.
        """
        attributes = self._file.attrs if of is None else self._dataset(of).attrs
        place = repr(name) if of is None else f"{name!r} of {of!r}"
        if name not in attributes:
            if default is None:
                raise self.fail(f"{place} is missing")
            return default
        stored = attributes.get_id(name)
        if stored.dtype.kind not in "iufb" or stored.shape not in ((), (1,)):
            raise self.fail(f"{place} has shape {stored.shape} and type {stored.dtype}; one number is needed")
        value = float(np.ravel(attributes[name])[0])
        if not np.isfinite(value):
            raise self.fail(f"{place} is {value}; a finite number is needed")
        return value

    def text(self, name: str) -> str | None:
        """An attribute of the file as text, or None where there is none of that name.

        Raises:
            PtychoError: it is no text.
        """
        if name not in self._file.attrs:
            return None
        stored = self._file.attrs.get_id(name)
        kind = h5py.check_string_dtype(stored.dtype)
        if kind is None or stored.shape not in ((), None) or stored.dtype.itemsize > _LONGEST_TEXT_BYTES:
            raise self.fail(f"{name!r} has shape {stored.shape} and type {stored.dtype}; one text is needed")
        value = self._file.attrs[name]
        if isinstance(value, h5py.Empty):
            return ""
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "replace").partition("\0")[0]

    def _dataset(self, name: str) -> h5py.Dataset:
        link = self._file.get(name, getlink=True)
        if link is None:
            raise self.fail(f"{name!r} is missing; it holds {join_names(self._file) or 'nothing'}")
        if not isinstance(link, h5py.HardLink):
            raise self.fail(f"{name!r} is a link; links are not followed, copy the values into the file")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise self.fail(f"{name!r} is no dataset")
        if dataset.is_virtual or dataset.external:
            raise self.fail(f"{name!r} keeps its values in other files; copy them into this one")
        return dataset


def _words(kinds: str) -> str:
    names = {"c": "complex", "f": "real", "i": "whole", "b": "boolean"}
    return " or ".join(word for kind, word in names.items() if kind in kinds) + " values"


@contextlib.contextmanager
def open_hdf5(path: Path, error: type[PtychoError]) -> Iterator[Hdf5Contents]:
    """Open a file for reading.

    Args:
        path: the file.
        error: what to raise where it is missing, or what is read from it inside the block is damaged.
    """
    with explain_damage(path, "HDF5 file", error), h5py.File(path, "r") as file:
        yield Hdf5Contents(path, file, error)


@contextlib.contextmanager
def write_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file that takes its name only when everything was written.

    It is put together in memory: a full disk then shows as an error of the system instead of one inside of HDF5.

    Raises:
        OutputError: it cannot be written there.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    with write_atomically(path) as target:
        target.write(buffer.getbuffer())
