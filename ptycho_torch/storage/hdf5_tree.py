"""HDF5 files of other programs: datasets at any depth, read lazily, with links to files beside it.

A link, a virtual dataset or external storage is followed only to existing files in the folder of the file or below it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import PtychoError
from ptycho_torch.storage.untrusted import abbreviate, check_declared_size, explain_damage, summarise_error

_MOST_LINKS = 16
_MOST_LISTED = 2000
_MOST_SOURCES = 10_000
_LONGEST_TEXT_BYTES = 2**20
_PLUGIN = "hdf5plugin"


class Hdf5Tree:
    """Datasets of an open file by their paths, `entry/data`, checked when they are found.

    Args:
        path: path of the file, for messages and for links to files beside it.
        file: the open file.
        error: class of the errors about its contents.
        opened: closes the files that links name.
    """

    def __init__(self, path: Path, file: h5py.File, error: type[PtychoError], opened: contextlib.ExitStack) -> None:
        self._path, self._file, self._error, self._opened = path, file, error, opened
        self._files: dict[Path, h5py.File] = {path.resolve(): file}

    def make_error(self, problem: str) -> PtychoError:
        """Make the error that reports a problem of the file."""
        return self._error(f"{self._path}: {problem}")

    def list_names(self, group: str = "/") -> list[str]:
        """List the names in a group; empty if there is no such group."""
        found = self._resolve(self._path.resolve(), group)
        return list(found) if isinstance(found, h5py.Group) else []

    def has_group(self, name: str) -> bool:
        """Whether there is a group of that name."""
        return isinstance(self._resolve(self._path.resolve(), name), h5py.Group)

    def find(self, *names: str) -> Any:  # noqa: ANN401 - h5py carries no annotations
        """Find the first of the named datasets that exists, unread; None if there is none.

        Raises:
            PtychoError: a link leads nowhere or out of the folder, a filter is missing, or a size cannot be true.
        """
        for name in names:
            found = self._resolve(self._path.resolve(), name)
            if isinstance(found, h5py.Dataset) and found.shape is not None:
                self._check(found)
                return found
        return None

    def read(self, *names: str) -> NDArray[Any] | None:
        """Read the first of the named datasets that exists; None if there is none."""
        found = self.find(*names)
        return None if found is None else np.asarray(found[()])

    def read_number(self, *names: str) -> float | None:
        """Read the first of the named datasets that is a finite number, or that number many times; None if none is."""
        for name in names:
            found = self.find(name)
            if found is None or found.dtype.kind not in "iufb" or not 0 < found.size <= _MOST_LISTED:
                continue
            values = np.ravel(found[()]).astype(np.float64)
            if np.isfinite(values[0]) and bool((values == values[0]).all()):
                return float(values[0])
        return None

    def read_text(self, name: str, attribute: str | None = None) -> str:
        """Read a dataset, or one of its attributes, as a string; empty if there is none."""
        found = self._resolve(self._path.resolve(), name)
        if found is None:
            return ""
        if attribute is not None:
            value = found.attrs.get(attribute, "") if attribute in found.attrs else ""
        elif isinstance(found, h5py.Dataset) and found.size == 1 and found.dtype.itemsize <= _LONGEST_TEXT_BYTES:
            value = found[()]
        else:
            return ""
        value = np.ravel(np.asarray(value))[0] if np.size(value) == 1 else ""
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def list_arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """List path, shape and type of the datasets in the file itself; links are not followed."""
        found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

        def visit(name: str, node: object) -> bool | None:
            if isinstance(node, h5py.Dataset) and node.shape is not None:
                found[name] = (node.shape, node.dtype)
            return True if len(found) >= _MOST_LISTED else None

        self._file.visititems(visit)
        return found

    def _resolve(self, path: Path, name: str, followed: int = 0) -> Any:  # noqa: ANN401 - h5py carries no annotations
        """Follow a name from the root of an opened file; None if it does not exist."""
        node = self._files[path]
        parts = [part for part in name.split("/") if part and part != "."]
        for place, part in enumerate(parts):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            rest = "/".join(parts[place + 1 :])
            if followed >= _MOST_LINKS and not isinstance(link, h5py.HardLink):
                raise self.make_error(f"{abbreviate(name)!r} is a link that leads back to itself")
            if isinstance(link, h5py.SoftLink):
                start = "" if link.path.startswith("/") else f"{node.name}/"
                return self._resolve(path, f"{start}{link.path}/{rest}", followed + 1)
            if isinstance(link, h5py.ExternalLink):
                other = self._locate(path, str(link.filename), name)
                if other not in self._files:
                    with explain_damage(other, "HDF5 file", self._error):
                        self._files[other] = self._opened.enter_context(h5py.File(other, "r"))
                return self._resolve(other, f"{link.path}/{rest}", followed + 1)
            node = node[part]
        return node

    def _locate(self, path: Path, wanted: str, name: str) -> Path:
        """Find the file that a part of another file names; it must exist in its folder or below."""
        folder = path.parent
        try:
            other = (folder / wanted).resolve()
            is_inside, exists = other.is_relative_to(folder), other.is_file()
        except (OSError, RuntimeError, ValueError):
            is_inside, exists = True, False
        shown = abbreviate(wanted)
        if not is_inside:
            raise self.make_error(
                f"{abbreviate(name)!r} is in {shown!r}, outside of the folder; copy that file beside it"
            )
        if not exists:
            raise self.make_error(
                f"{abbreviate(name)!r} is in {shown!r}, which does not exist; copy it beside the file"
            )
        return other

    def _check(self, dataset: h5py.Dataset) -> None:
        """Check what a dataset needs to be read: the files that hold its values, their size, and filters."""
        stored, place = dataset.id.get_storage_size(), Path(dataset.file.filename)
        if dataset.is_virtual:
            sources = {source.file_name for source in dataset.virtual_sources()[:_MOST_SOURCES]}
            stored += sum(
                (place if source == "." else self._locate(place.resolve(), source, dataset.name)).stat().st_size
                for source in sources
            )
        for source, *_ in dataset.external or ():
            stored += self._locate(place.resolve(), str(source), dataset.name).stat().st_size
        try:
            check_declared_size(repr(dataset.name), int(dataset.size) * dataset.dtype.itemsize, stored)
        except ValueError as error:
            raise self.make_error(summarise_error(error)) from error
        filters = dataset.id.get_create_plist()
        for number in range(filters.get_nfilters()):
            code, _, _, label = filters.get_filter(number)
            if not _has_filter(code):
                title = abbreviate(label.decode("utf-8", "replace")) or "without a name"
                raise self.make_error(
                    f"{abbreviate(dataset.name)!r} is compressed by filter {code} ({title}), which is not installed; "
                    f"`python -m pip install {_PLUGIN}` adds the usual ones"
                )


def _has_filter(code: int) -> bool:
    """Whether values compressed by a filter can be read; loads the package of filters if only that has it."""
    if h5py.h5z.filter_avail(code):
        return True
    if importlib.util.find_spec(_PLUGIN) is not None:
        importlib.import_module(_PLUGIN)
    return bool(h5py.h5z.filter_avail(code))


@contextlib.contextmanager
def open_tree(path: Path, error: type[PtychoError]) -> Iterator[Hdf5Tree]:
    """Open a file for reading; a missing or damaged file raises `error`, also inside the block."""
    with explain_damage(path, "HDF5 file", error), h5py.File(path, "r") as file, contextlib.ExitStack() as opened:
        yield Hdf5Tree(path, file, error, opened)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5, possibly after a header of another program."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def contains(path: Path, *names: str) -> bool:
    """Whether a path is a readable HDF5 file with a dataset, a group or a link of one of these names."""
    if not is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return any(_has_name(file, name) for name in names)
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def _has_name(group: Any, name: str) -> bool:  # noqa: ANN401 - h5py carries no annotations
    """Whether a name exists, without following a link at its end."""
    first, _, rest = name.partition("/")
    link = group.get(first, getlink=True) if isinstance(group, h5py.Group) else None
    if link is None or not rest:
        return link is not None
    return isinstance(link, h5py.HardLink) and _has_name(group[first], rest)
