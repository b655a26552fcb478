"""PtyPy's results, `.ptyr`: `content/obj` and `content/probe` with one group per storage, positions in metres.

A storage has `data` (layer, h, w), and its coordinates: `_origin` and `_psize`, position of pixel [0, 0] and side of a
pixel in metres, or `grids` (axis, layer, h, w), the positions of all pixels. `content/positions` has the coordinates of
all views of the object's storage of the same name, which are as many for each pattern as there are pairs of modes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.result import ResultFile, check_object, check_result_positions, check_result_probe
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, open_tree
from ptycho_torch.storage.untrusted import abbreviate

_OBJECTS, _PROBES, _POSITIONS = "content/obj", "content/probe", "content/positions"


def read_ptypy_result(path: Path) -> ResultFile:
    """Read the first object, its probe and its positions.

    Raises:
        ScanFileError: the file is damaged, or a part of it is missing or unusable.
    """
    with open_tree(path, ScanFileError) as tree:
        names = tree.list_names(_OBJECTS)
        if len(names) != 1:
            raise tree.make_error(
                f"{_OBJECTS} contains {len(names)} objects ({', '.join(map(abbreviate, names[:3])) or 'none'}); "
                "it must contain one"
            )
        place = f"{_OBJECTS}/{names[0]}"
        data = tree.read(f"{place}/data")
        if data is None:
            raise tree.make_error(f"{place}/data is missing")
        data = np.asarray(data)
        if data.ndim == 3 and len(data) > 1:
            raise tree.make_error(f"the object has {len(data)} modes; it must have one")
        probes = tree.list_names(_PROBES)
        probe = tree.read(f"{_PROBES}/{probes[0]}/data") if probes else None
        scale = _read_scale(tree, place)
        positions = tree.read(f"{_POSITIONS}/{names[0]}")
        return ResultFile(
            program="PtyPy",
            pixels=check_object(data, path, f"{place}/data"),
            pixel_m=None if scale is None else scale[1],
            probe=None if probe is None else check_result_probe(probe, path),
            positions_px=None if positions is None or scale is None else _to_pixels(positions, scale, path),
        )


def _read_scale(tree: Hdf5Tree, place: str) -> tuple[NDArray[np.float64], float] | None:
    """Position of pixel [0, 0] and side of a pixel in metres; None if the file does not contain them."""
    origin, side = (_read_pair(tree, f"{place}/{name}") for name in ("_origin", "_psize"))
    if origin is None or side is None:
        grids = tree.find(f"{place}/grids")
        if grids is None or grids.dtype.kind != "f" or len(grids.shape) != 4 or min(grids.shape[-2:]) < 2:
            return None
        corner = np.asarray(grids[:2, 0, :2, :2], np.float64)
        origin = corner[:, 0, 0]
        side = np.array([corner[0, 1, 0] - corner[0, 0, 0], corner[1, 0, 1] - corner[1, 0, 0]])
    if not np.isfinite([*origin, *side]).all() or side.min() <= 0 or not np.isclose(side[0], side[1], rtol=1e-3):
        raise tree.make_error(f"{place} has pixels of {side[0]:g} × {side[1]:g} m; they must be square")
    return origin, float(side[0])


def _read_pair(tree: Hdf5Tree, name: str) -> NDArray[np.float64] | None:
    values = tree.read(name)
    if values is None or values.dtype.kind not in "iuf" or values.size != 2:
        return None
    return np.ravel(values).astype(np.float64)


def _to_pixels(positions: NDArray[Any], scale: tuple[NDArray[np.float64], float], path: Path) -> NDArray[np.float64]:
    """Positions in pixels of the object, once for each pattern."""
    values = (check_result_positions(positions, path, _POSITIONS) - scale[0]) / scale[1]
    views = 1
    while views < len(values) and np.array_equal(values[views], values[0]):
        views += 1
    repeated = len(values) % views == 0 and (values.reshape(-1, views, 2) == values[::views, None]).all()
    return values[::views] if repeated else values
