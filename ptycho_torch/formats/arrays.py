"""Named arrays in files of any layout: NPZ, HDF5, MATLAB; listed without their values, loaded when they are used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from ptycho_torch.data.recording import LazyArray
from ptycho_torch.errors import PtychoError, ScanFileError
from ptycho_torch.storage import archive
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, is_hdf5, open_tree
from ptycho_torch.storage.untrusted import abbreviate, check_declared_size, explain_damage

ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
MATLAB_5 = b"MATLAB 5.0 MAT-file"
MATLAB_7 = b"MATLAB 7.3 MAT-file"
_MOST_SHOWN = 12
# element sizes of MATLAB's classes; other classes contain no numbers
_MATLAB_TYPES = {
    "double": "f8", "single": "f4", "logical": "u1",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ArrayTable:
    """The arrays of a file by name.

    Attributes:
        path: the file.
        kind: what it is, as in "is not a readable HDF5 file".
        shapes: shape and type by name.
        load: loads or maps the array of a name.
        is_column_major: whether axes are in the reverse of the order in which their program names them.
    """

    path: Path
    kind: str
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
    load: Callable[[str], LazyArray | None]
    is_column_major: bool = False

    def find(self, name: str) -> LazyArray:
        """Find an array by its name, or by the last part of it if no other has the same; not yet read.

        Raises:
            ScanFileError: there is none, or several have that name.
        """
        wanted = name.strip("/")
        ends = [known for known in self.shapes if known.rpartition("/")[2] == wanted]
        key = wanted if wanted in self.shapes or len(ends) != 1 else ends[0]
        if key not in self.shapes and len(ends) > 1:
            raise self.make_error(f"contains {abbreviate(wanted)!r} {len(ends)} times: {', '.join(ends[:3])}")
        found = self.load(key)
        if found is None:
            raise self.make_error(f"{abbreviate(wanted)!r} is missing; the file contains {self.describe()}")
        return found

    def read(self, name: str) -> NDArray[Any]:
        """Read an array; complex values that are stored as pairs become complex, column-major axes are reversed.

        Raises:
            ScanFileError: see `find`.
        """
        values = np.asarray(self.find(name)[()])
        if values.dtype.names in (("real", "imag"), ("r", "i")):
            real, imaginary = (values[part] for part in values.dtype.names)
            values = real + 1j * imaginary
        return values.T if self.is_column_major else values

    def describe(self) -> str:
        """List the largest arrays with their shapes, as part of a message."""
        order = sorted(self.shapes, key=lambda name: (-int(np.prod(self.shapes[name][0], dtype=np.float64)), name))
        shown = [f"{abbreviate(name)} {self.shapes[name][0]}" for name in order[:_MOST_SHOWN]]
        more = [f"and {len(order) - _MOST_SHOWN} more"] if len(order) > _MOST_SHOWN else []
        return ", ".join([*shown, *more]) or "no arrays"

    def make_error(self, problem: str) -> PtychoError:
        """Make the error that reports a problem of the file."""
        return ScanFileError(f"{self.path}: {problem}")


@contextlib.contextmanager
def open_arrays(path: Path) -> Iterator[ArrayTable]:
    """Open an NPZ, MATLAB or HDF5 file.

    Raises:
        ScanFileError: it is missing, damaged, or none of these.
    """
    if is_hdf5(path):
        with open_tree(path, ScanFileError) as tree:
            yield tabulate(path, tree)
        return
    with explain_damage(path, "file", ScanFileError), path.open("rb") as file:
        first = file.read(len(MATLAB_5))
        if first == MATLAB_5:
            with explain_damage(path, "MATLAB file", ScanFileError):
                yield _tabulate_matlab(path)
        else:
            with explain_damage(path, "NPZ file", ScanFileError):
                yield ArrayTable(path, "NPZ file", archive.list_arrays(file), lambda key: archive.load_array(file, key))


def tabulate(path: Path, tree: Hdf5Tree) -> ArrayTable:
    """Tabulate the arrays of an open HDF5 file; those of MATLAB 7.3 are column-major."""
    is_matlab = starts_as_matlab(path)
    shapes = {name: found for name, found in tree.list_arrays().items() if not name.startswith("#")}
    return ArrayTable(path, "MATLAB file" if is_matlab else "HDF5 file", shapes, tree.find, is_matlab)


def starts_as_matlab(path: Path) -> bool:
    """Whether an HDF5 file begins with the header of MATLAB 7.3."""
    with explain_damage(path, "file", ScanFileError), path.open("rb") as file:
        return file.read(len(MATLAB_7)) == MATLAB_7


def _tabulate_matlab(path: Path) -> ArrayTable:
    """Tabulate the variables of a MATLAB file before version 7.3, with the fields of structures as `name.field`."""
    listed = {name: (shape, kind) for name, shape, kind in whosmat(str(path))}
    for name, (shape, kind) in listed.items():
        size = int(np.prod(shape, dtype=object)) * np.dtype(_MATLAB_TYPES.get(kind, "u1")).itemsize
        check_declared_size(name, size, path.stat().st_size)
    shapes = {
        name: (tuple(shape), np.dtype(_MATLAB_TYPES[kind]))
        for name, (shape, kind) in listed.items()
        if kind in _MATLAB_TYPES
    }
    fields: dict[str, NDArray[Any]] = {}
    structures = [name for name, (_, kind) in listed.items() if kind == "struct"]
    if structures:
        stored = loadmat(str(path), variable_names=structures, squeeze_me=False, struct_as_record=True)
        for name in structures:
            fields |= _flatten(name, stored[name])
    shapes |= {name: (values.shape, values.dtype) for name, values in fields.items()}

    def load(name: str) -> LazyArray | None:
        if name in fields:
            return fields[name]
        if name not in listed:
            return None
        values = loadmat(str(path), variable_names=[name])[name]
        if values.dtype.hasobject:
            raise ScanFileError(
                f"{path}: {abbreviate(name)!r} is a MATLAB {listed[name][1]}; patterns must be a numeric array"
            )
        return np.asarray(values)

    return ArrayTable(path, "MATLAB file", shapes, load)


def _flatten(name: str, structure: NDArray[Any], depth: int = 0) -> dict[str, NDArray[Any]]:
    """The numeric fields of a structure by their dotted names."""
    if structure.dtype.names is None or structure.size != 1 or depth > 3:
        return {}
    found: dict[str, NDArray[Any]] = {}
    for field in structure.dtype.names:
        value = np.asarray(structure.flat[0][field])
        if value.dtype.names is not None:
            found |= _flatten(f"{name}.{field}", value, depth + 1)
        elif value.dtype.kind in "biufc":
            found[f"{name}.{field}"] = value
    return found
