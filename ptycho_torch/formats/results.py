"""Reconstructions in files: this package's folders and those of Ptychodus, PtyPy, PtyRAD and PtychoShelves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.errors import ConfigError, ScanFileError
from ptycho_torch.formats.arrays import ArrayTable, open_arrays
from ptycho_torch.formats.kinds import NPY_SIGNATURE, describe, read_start
from ptycho_torch.formats.npz import read_object
from ptycho_torch.formats.probes import read_probe
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME, read_product
from ptycho_torch.formats.ptychoshelves_result import read_ptychoshelves_result
from ptycho_torch.formats.ptypy_result import read_ptypy_result
from ptycho_torch.formats.ptyrad_result import TENSORS, read_ptyrad_result
from ptycho_torch.formats.result import (
    ResultFile,
    check_object,
    check_result_positions,
    check_result_probe,
    list_errors,
)
from ptycho_torch.migrations.results import RESULT
from ptycho_torch.storage.hdf5_tree import contains, is_hdf5
from ptycho_torch.storage.npy import read_array
from ptycho_torch.storage.untrusted import explain_damage, join_names

OBJECT_NAME, PROBE_NAME, POSITIONS_NAME, METRICS_NAME = "object.npz", "probe.npy", "positions.npz", "metrics.json"
HALF_NAMES = ("half_1.npz", "half_2.npz")
READABLE = (
    "the folder of a result, an NPZ or NPY file, a product of Ptychodus, .ptyr, HDF5 of PtyRAD, .mat of PtychoShelves"
)
_OBJECTS = ("object", "obj", "object_roi", "reconstruction")
# of a file that is compared with
_TRUTHS = (*_OBJECTS, "objectGuess", "truth")
_PROBES = ("probe", "probeGuess", "probes")
_LARGEST_JSON_BYTES = 2**26


def list_result_files(result: Path) -> list[Path]:
    """The files of a result: one file, or those of a folder that are read."""
    if not result.is_dir():
        return [result]
    names = (OBJECT_NAME, PROBE_NAME, POSITIONS_NAME, METRICS_NAME, *HALF_NAMES)
    found = [result / name for name in names if (result / name).is_file()]
    return found if (result / OBJECT_NAME).is_file() else [result / PRODUCT_NAME]


def read_result(path: Path | str) -> ResultFile:
    """Read the reconstruction in a file or in the folder of a run.

    Raises:
        ScanFileError: it is missing, damaged, of an unknown kind, or a part of it is unusable.
    """
    return _read(Path(path), _OBJECTS)


def read_truth(path: Path | str) -> ResultFile:
    """Read an object to compare with: a result, or the `objectGuess` of a scan.

    Raises:
        ScanFileError: see `read_result`.
    """
    return _read(Path(path), _TRUTHS)


def read_halves(path: Path) -> tuple[Canvas, Canvas] | None:
    """Read the objects of two halves of the scan in the folder of a run; None if it has none.

    Raises:
        ScanFileError: one of them is damaged.
    """
    places = [path / name for name in HALF_NAMES]
    if not all(place.is_file() for place in places):
        return None
    return read_object(places[0]), read_object(places[1])


def _read(path: Path, objects: tuple[str, ...]) -> ResultFile:
    if path.is_dir():
        return _read_product_file(path / PRODUCT_NAME) if _is_product_folder(path) else _read_folder(path)
    if not path.is_file():
        raise ScanFileError(f"{path}: the file or folder does not exist; readable are {READABLE}")
    if read_start(path).startswith(NPY_SIGNATURE):
        with explain_damage(path, "NPY file", ScanFileError), path.open("rb") as file:
            return ResultFile(program="an NPY file", pixels=check_object(read_array(file, path.stat().st_size), path))
    for names, read in (
        (("content/obj",), read_ptypy_result),
        ((TENSORS,), read_ptyrad_result),
        (("probe_position_x_m",), _read_product_file),
    ):
        if is_hdf5(path) and contains(path, *names):
            return read(path)
    try:
        with open_arrays(path) as table:
            return _read_named(table, objects)
    except ScanFileError as error:
        if "is not a readable" not in str(error) or is_hdf5(path):
            raise
        raise ScanFileError(f"{path}: {describe(path)}; readable are {READABLE}") from error


def _is_product_folder(folder: Path) -> bool:
    return not (folder / OBJECT_NAME).is_file() and (folder / PRODUCT_NAME).is_file()


def _read_folder(folder: Path) -> ResultFile:
    """Read the folder of a run of this package, with the positions that it has refined."""
    canvas = read_object(folder / OBJECT_NAME)
    probe, positions, metrics = (folder / name for name in (PROBE_NAME, POSITIONS_NAME, METRICS_NAME))
    refined = None
    if positions.is_file():
        with open_arrays(positions) as table:
            refined = check_result_positions(table.read("refined_px"), positions, "refined_px")
    epochs = _read_metrics(metrics) if metrics.is_file() else {}
    errors, free_errors = (list_errors(_to_numbers(epochs.get(name))) for name in ("R_by_epoch", "R_free_by_epoch"))
    return ResultFile(
        program="ptycho_torch",
        pixels=check_object(canvas.pixels, folder / OBJECT_NAME),
        origin_px=canvas.origin_px,
        pixel_m=canvas.pixel_m,
        probe=check_result_probe(read_probe(probe), probe) if probe.is_file() else None,
        positions_px=refined,
        errors=errors,
        free_errors=free_errors,
    )


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        return RESULT.upgrade(_read_json(path), path)
    except ConfigError as error:
        raise ScanFileError(f"{path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    with explain_damage(path, "JSON file", ScanFileError), path.open("rb") as file:
        text = file.read(_LARGEST_JSON_BYTES + 1)
        values = json.loads(text) if len(text) <= _LARGEST_JSON_BYTES else None
    return values if isinstance(values, dict) else {}


def _to_numbers(values: object) -> NDArray[Any] | None:
    is_list = isinstance(values, list) and all(isinstance(value, int | float) for value in values)
    return np.array(values, np.float64) if is_list else None


def _read_product_file(path: Path) -> ResultFile:
    """Read a product of Ptychodus; of a probe that varies, the first OPR mode."""
    product = read_product(path)
    probe = product.probe[0] if product.probe.ndim == 4 else product.probe
    losses = product.series["loss_values"]
    return ResultFile(
        program="Ptychodus",
        pixels=check_object(product.object, path),
        pixel_m=product.pixel_m[0],
        probe=check_result_probe(probe, path),
        positions_px=product.positions_px(probe.shape[-1])[np.argsort(product.indexes, kind="stable")],
        errors=list_errors(losses),
    )


def _read_named(table: ArrayTable, objects: tuple[str, ...]) -> ResultFile:
    """Read arrays of usual names: this package's object, a result of PtychoShelves, or a file that names its object."""
    if "object" in table.shapes and "origin_px" in table.shapes:
        canvas = read_object(table.path)
        return ResultFile(
            program="ptycho_torch",
            pixels=check_object(canvas.pixels, table.path),
            origin_px=canvas.origin_px,
            pixel_m=canvas.pixel_m,
        )
    if table.kind == "MATLAB file" and {"object", "probe"} <= set(table.shapes):
        return read_ptychoshelves_result(table)
    name = _find_name(table, objects)
    if name is None:
        raise table.make_error(f"'object' is missing; the file contains {join_names(table.shapes)}")
    probe = _find_name(table, _PROBES)
    return ResultFile(
        program=f"an {table.kind}" if table.kind[0] in "HN" else f"a {table.kind}",
        pixels=check_object(np.squeeze(table.read(name)), table.path, name),
        probe=None if probe is None else check_result_probe(_drop_first(table.read(probe)), table.path, probe),
    )


def _find_name(table: ArrayTable, wanted: tuple[str, ...]) -> str | None:
    last = {name: name.replace(".", "/").rpartition("/")[2] for name in table.shapes}
    return next((name for want in wanted for name in sorted(table.shapes) if last[name] == want), None)


def _drop_first(values: NDArray[Any]) -> NDArray[Any]:
    """Axes of length one before the modes are dropped; of OPR modes, the first is taken."""
    while values.ndim > 3:
        values = values[0]
    return values
