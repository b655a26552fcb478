"""PtyPy's prepared data, `.ptyd`: patterns in chunks with weights, positions in metres, and the geometry.

Positions are (row, column) as the axes of the object; energies are in keV, lengths in metres; zero frequency at
`meta/center`. Its results, `.ptyr`, contain the probe in `content/probe`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.geometry import Geometry, photon_wavelength_m
from ptycho_torch.data.recording import LazyArray, PatternStack, Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, RecordingReader
from ptycho_torch.formats.joined import join_stacks
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, contains, open_tree

_CHUNKS = "chunks"
_ROOTS = ("meta", "common", "info")


@contextlib.contextmanager
def open_ptyd(path: Path) -> Iterator[Recording]:
    """Open the patterns that have positions; their chunks may lie in other files that the file links to.

    Raises:
        ScanFileError: the file is damaged, or no chunk has patterns with positions.
    """
    with open_tree(path, ScanFileError) as tree:
        chunks = sorted(tree.list_names(_CHUNKS), key=lambda name: (len(name), name))
        found = [_find_chunk(tree, f"{_CHUNKS}/{name}") for name in chunks]
        whole = [chunk for chunk in found if chunk is not None]
        if not whole:
            raise tree.make_error("is a PtyPy file without patterns that have positions")
        positions = np.concatenate([chunk[1] for chunk in whole])
        center = _read_pair(tree, "center")
        yield Recording(
            name=path.name,
            patterns=PatternStack(join_stacks([chunk[0] for chunk in whole], path)),
            positions=positions.astype(np.float64),
            position_unit="m",
            units="counts",
            zero_frequency="centre" if center is not None else "auto",
            beam_centre_px=center,
            geometry=_read_geometry(tree),
            bad_pixels=_find_bad_pixels(tree, chunks),
            is_far_field=_read_text(tree, "propagation") != "nearfield",
        )


def _find_chunk(tree: Hdf5Tree, place: str) -> tuple[LazyArray, NDArray[Any]] | None:
    patterns, positions = tree.find(f"{place}/data"), tree.read(f"{place}/positions")
    if patterns is None or positions is None or positions.ndim != 2 or positions.shape[1] < 2:
        return None
    if len(positions) != patterns.shape[0]:
        raise tree.make_error(f"{place} has {patterns.shape[0]} patterns and {len(positions)} positions")
    return patterns, positions[:, :2]


def _find_bad_pixels(tree: Hdf5Tree, chunks: list[str]) -> NDArray[np.bool_] | None:
    """Pixels of weight zero, in any pattern if each has its own weights."""
    names = [f"{_CHUNKS}/{name}/weights" for name in chunks]
    names += [f"{root}/{key}" for root in _ROOTS for key in ("weight2d", "weights")]
    bad: NDArray[np.bool_] | None = None
    for name in names:
        weights = tree.find(name)
        if weights is None or len(weights.shape) not in (2, 3) or weights.dtype.kind not in "biuf":
            continue
        for values in _read_weights(weights):
            found = (values == 0).any(axis=0)
            if bad is not None and bad.shape != found.shape:
                raise tree.make_error(f"{name!r} has shape {weights.shape}, other weights {bad.shape}")
            bad = found if bad is None else bad | found
    return bad


def _read_weights(weights: LazyArray) -> Iterator[NDArray[Any]]:
    """Read weights (row, column), or (pattern, row, column) in parts, without those of patterns that have none."""
    if len(weights.shape) == 2:
        yield np.asarray(weights[()])[None]
        return
    for _, values in PatternStack(weights).read_parts():
        yield values[values.any(axis=(1, 2))]


def _read_geometry(tree: Hdf5Tree) -> Geometry:
    energy_kev = tree.read_number(*(f"{root}/energy" for root in _ROOTS))
    pixel = _read_pair(tree, "psize")
    if pixel is not None and not np.isclose(pixel[0], pixel[1], rtol=1e-3):
        raise tree.make_error(f"detector pixels are {pixel[0]:g} × {pixel[1]:g} m; they must be square")
    return Geometry(
        wavelength_m=photon_wavelength_m(energy_kev * 1e3) if energy_kev else None,
        distance_m=tree.read_number(*(f"{root}/distance" for root in _ROOTS)),
        detector_pixel_m=None if pixel is None else pixel[0],
    )


def _read_pair(tree: Hdf5Tree, key: str) -> tuple[float, float] | None:
    """Read a value for rows and columns, which is stored once if both are equal."""
    for root in _ROOTS:
        values = tree.read(f"{root}/{key}")
        if values is not None and values.dtype.kind in "iuf" and values.size in (1, 2) and values.all():
            row, column = np.broadcast_to(np.ravel(values), 2).astype(float).tolist()
            return row, column
    return None


def _read_text(tree: Hdf5Tree, key: str) -> str:
    return next(filter(None, (tree.read_text(f"{root}/{key}") for root in _ROOTS)), "")


def find_result_probe(tree: Hdf5Tree) -> NDArray[Any] | None:
    """Read the probe of a result, (mode, h, w); None if the file is no result of PtyPy."""
    for name in tree.list_names("content/probe"):
        probe = tree.read(f"content/probe/{name}/data")
        if probe is not None:
            return probe
    return None


FORMAT = Format(
    name="PtyPy's .ptyd",
    recognises=lambda path: contains(path, f"{_CHUNKS}/0", "meta/num_frames"),
    files=lambda path: [path],
    read=RecordingReader(open_ptyd),
    endings=(".ptyd",),
)
