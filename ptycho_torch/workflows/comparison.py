"""Whether two runs have the same results: figures, arrays and weights, but not times and places."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.formats.npz import load_arrays
from ptycho_torch.formats.results import METRICS_NAME
from ptycho_torch.migrations.chain import VERSION, WRITER
from ptycho_torch.migrations.results import RESULT
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.storage.npy import read_array

# what differs between two runs of the same work
_TIMES = ("seconds", "per_second", "time", "started", "finished")
_PLACES = ("last", "best", "index", "arguments", "folder", "options", "inputs")


@dataclass
class Comparison:
    """The outcome of a comparison.

    Attributes:
        compared: number of values and arrays that were compared.
        differences: what differs, each in one line.
    """

    compared: int = 0
    differences: list[str] = field(default_factory=list)


def compare_folders(before: Path, now: Path, tolerance: float = 0.0) -> Comparison:
    """Compare the results in two folders, file by file.

    Args:
        before: the folder of the first run.
        now: the folder of the second run.
        tolerance: largest relative difference of numbers that counts as none; arrays relative to their largest value.
    """
    result = Comparison()
    files = [{path.relative_to(root) for path in root.rglob("*") if path.suffix in _READERS} for root in (before, now)]
    for file in sorted(files[0] | files[1]):
        if file not in files[0] or file not in files[1]:
            result.differences.append(f"{file} is only in {before if file in files[0] else now}")
            continue
        read = _READERS[file.suffix]
        first, second = read(before / file), read(now / file)
        for key in sorted({*first, *second}):
            result.compared += 1
            problem = _find_difference(first.get(key), second.get(key), tolerance)
            if problem:
                result.differences.append(f"{file}: {key} {problem}")
    return result


def _find_difference(first: Any, second: Any, tolerance: float) -> str:  # noqa: ANN401 - arrays, numbers, text
    """What differs between two values; an empty string if nothing does."""
    if first is None or second is None:
        return "" if first is second else "is only in one of the two"
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape:
        return f"has the shapes {one.shape} and {two.shape}"
    if one.dtype.kind not in "biufc" or two.dtype.kind not in "biufc":
        return "" if np.array_equal(one, two) else f"is {first!s:.80} and {second!s:.80}"
    if np.array_equal(one, two, equal_nan=True):
        return ""
    wide = [values.astype(np.complex128) for values in (one, two)]
    largest = float(np.nanmax(np.abs(wide[0] - wide[1]), initial=0))
    scale = float(np.nanmax(np.abs(wide[0]), initial=0))
    if np.array_equal(np.isfinite(one), np.isfinite(two)) and largest <= tolerance * scale:
        return ""
    return f"is {first} and {second}" if one.ndim == 0 else f"differs by up to {largest:.3g} of {scale:.3g}"


def _read_leaves(path: Path) -> dict[str, Any]:
    """The values in a JSON file by dotted name, without those about times and places."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if path.name.endswith("run.json") and isinstance(content, dict):
        content = {name: content.get(name) for name in ("command", "status", "settings", "results")}
    elif path.name == METRICS_NAME and isinstance(content, dict):
        content = {
            name: value for name, value in RESULT.upgrade(content, path).items() if name not in (VERSION, WRITER)
        }
    leaves: dict[str, Any] = {}

    def collect(value: Any, place: tuple[str, ...]) -> None:  # noqa: ANN401 - JSON
        if isinstance(value, Mapping):
            for key, part in value.items():
                collect(part, (*place, str(key)))
        elif not place[-1].endswith(_TIMES) and place[-1] not in _PLACES:
            leaves[".".join(place)] = value

    collect(content, ("",))
    return {name.lstrip("."): value for name, value in leaves.items()}


def _read_table(path: Path) -> dict[str, Any]:
    """The columns of a CSV file as numbers, empty cells as NaN."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = rows[0] if rows else {}
    return {name: np.array([float(row[name] or math.nan) for row in rows]) for name in names}


def _read_weights(path: Path) -> dict[str, Any]:
    """The weights and probes in a checkpoint."""
    trained = load_network(path)
    weights = {name: value.numpy() for name, value in trained.generator.state_dict().items()}
    return {**weights, "probes": trained.probes, "steps": trained.steps}


def _read_npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"array": read_array(file, path.stat().st_size)}


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".json": _read_leaves,
    ".csv": _read_table,
    ".npz": load_arrays,
    ".npy": _read_npy,
    ".ckpt": _read_weights,
}
