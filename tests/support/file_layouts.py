"""The layout of files: which names they contain, and of which types, so that a change of a format is seen."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

# settings and figures may be added: an older version leaves them out with a warning
_OPEN = ("experiment", "settings", "results", "environment", "versions", "options", "formats", "corrections")
# of Lightning, which brings its own up to date
_FOREIGN = ("callbacks", "loops")
# unknown in an installed package, or without torch
_MAY_LACK = ("git", "threads")
# what has no value in one file may have one in another
_UNSET = "unset"
Layout = dict[str, str]


def describe_folder(folder: Path) -> dict[str, Layout]:
    """The layout of every file of a release, by its format."""
    found = {}
    for name, (path, read) in FILES.items():
        if (folder / path).is_file():
            found[name] = dict(sorted(read(folder / path)))
    return found


def find_changes(before: Layout, now: Layout, may_add: str = "") -> list[str]:
    """What differs between two layouts of a format, in words; names of the kind `may_add` may be new."""
    # an empty list tells nothing of its parts
    empty = {name for name, kind in now.items() if kind == "list" and f"{name}[]" not in now}
    lost = [
        f"{name} ({kind}) is gone"
        for name, kind in before.items()
        if name not in now and not any(name.startswith(f"{place}[]") for place in empty)
    ]
    other = [
        f"{name} was {kind} and is {now[name]}"
        for name, kind in before.items()
        if name in now and now[name] != kind and _UNSET not in (kind, now[name])
    ]
    new = [f"{name} ({kind}) is new" for name, kind in now.items() if name not in before and kind != may_add]
    return lost + other + new


def describe(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Names and types of all values; those of one list, and of mappings by number, count as one."""
    if isinstance(value, dict):
        last = place.rpartition(".")[2]
        yield place or ".", "mapping"
        if last in (*_OPEN, *_FOREIGN):
            return
        for key, part in value.items():
            if key in _MAY_LACK:
                continue
            yield from describe(part, f"{place}.{key}" if isinstance(key, str) else f"{place}[]")
    elif isinstance(value, list | tuple):
        yield place, "list"
        for part in value:
            yield from describe(part, f"{place}[]")
    elif isinstance(value, torch.Tensor | np.ndarray):
        yield place, f"{str(value.dtype).removeprefix('torch.')} of {value.ndim} axes"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, "number"
    else:
        yield place, _UNSET if value is None else type(value).__name__


def _read_torch(path: Path) -> Iterator[tuple[str, str]]:
    return describe(torch.load(path, map_location="cpu", weights_only=True))


def _read_json(path: Path) -> Iterator[tuple[str, str]]:
    return describe(json.loads(path.read_text(encoding="utf-8")))


def _read_yaml(path: Path) -> Iterator[tuple[str, str]]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return iter(
        [(name, "section" if isinstance(part, dict) else type(part).__name__) for name, part in content.items()]
    )


def _read_bundle(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name, "member"
        yield from describe(json.loads(archive.read("record.json")), "record.json")
        for model in ("autoencoder", "diffraction_to_obj"):
            with np.load(io.BytesIO(archive.read(f"{model}/weights.npz"))) as arrays:
                yield from describe(dict(arrays), model)


def _read_table(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return iter([(name, "column") for name in next(csv.reader(file))])


def _read_arrays(path: Path) -> Iterator[tuple[str, str]]:
    with np.load(path) as arrays:
        return iter(list(describe(dict(arrays))))


# what may be added to a format: settings, and figures of merit
MAY_ADD = {"settings": "section", "result": "number", "result of a network": "number"}
FILES: dict[str, tuple[str, Callable[[Path], Iterator[tuple[str, str]]]]] = {
    "bundle": ("trained/wts.h5.zip", _read_bundle),
    "checkpoint": ("trained/checkpoints/last.ckpt", _read_torch),
    "losses": ("trained/logs/metrics.csv", _read_table),
    "result": ("refined/metrics.json", _read_json),
    "result of a network": ("inferred/metrics.json", _read_json),
    "object": ("refined/object.npz", _read_arrays),
    "run": ("trained/run.json", _read_json),
    "settings": ("settings.yaml", _read_yaml),
    "state": ("interrupted/state.ckpt", _read_torch),
}
