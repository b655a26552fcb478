"""Dectris master files: links to the files of the patterns beside them, and the geometry, without positions.

Gaps and dead pixels have the largest value of the type, and a bit in `pixel_mask`. Lengths are in metres, the
wavelength is in ångströms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ptycho_torch.data.geometry import Geometry
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, RecordingReader
from ptycho_torch.formats.joined import join_stacks
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, contains, open_tree

_DATA = "entry/data"
_DETECTOR = "entry/instrument/detector"
_ANGSTROM_M = 1e-10


@contextlib.contextmanager
def open_dectris(path: Path) -> Iterator[Recording]:
    """Open the patterns of all linked files, in their order.

    Raises:
        ScanFileError: a file is damaged or missing.
    """
    with open_tree(path, ScanFileError) as tree:
        parts = [tree.find(name) for name in _list_parts(tree)]
        if not parts or any(part is None or part.ndim != 3 for part in parts):
            raise tree.make_error(f"is a Dectris master file without patterns in {_DATA}")
        stack = PatternStack(join_stacks(parts, path))
        mask = tree.read(f"{_DETECTOR}/detectorSpecific/pixel_mask", f"{_DETECTOR}/pixel_mask")
        row, column = (tree.read_number(f"{_DETECTOR}/beam_center_{axis}") or 0.0 for axis in "yx")
        is_on_detector = 0 < row < stack.frame[0] and 0 < column < stack.frame[1]
        yield Recording(
            name=path.name,
            patterns=stack,
            units="counts",
            beam_centre_px=(row, column) if is_on_detector else None,
            geometry=_read_geometry(tree),
            bad_pixels=None if mask is None or mask.shape != stack.frame else mask != 0,
        )


def list_files(path: Path) -> list[Path]:
    """List the master file and the files that it links to.

    Raises:
        ScanFileError: a file is damaged or missing.
    """
    with open_tree(path, ScanFileError) as tree:
        parts = [tree.find(name) for name in _list_parts(tree)]
        return [path, *dict.fromkeys(path.parent / Path(part.file.filename).name for part in parts if part is not None)]


def _list_parts(tree: Hdf5Tree) -> list[str]:
    return [f"{_DATA}/{name}" for name in sorted(tree.list_names(_DATA)) if name.startswith("data_")]


def _read_geometry(tree: Hdf5Tree) -> Geometry:
    names = ("beam/incident_wavelength", "monochromator/wavelength")
    wavelength = tree.read_number(*(f"entry/instrument/{name}" for name in names))
    return Geometry(
        wavelength_m=wavelength * _ANGSTROM_M if wavelength else None,
        distance_m=tree.read_number(f"{_DETECTOR}/detector_distance", f"{_DETECTOR}/distance") or None,
        detector_pixel_m=tree.read_number(f"{_DETECTOR}/x_pixel_size") or None,
    )


FORMAT = Format(
    name="Dectris master files",
    recognises=lambda path: contains(path, f"{_DATA}/data_000001"),
    files=list_files,
    read=RecordingReader(open_dectris),
    endings=(".h5",),
)
