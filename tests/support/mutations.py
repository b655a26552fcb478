"""Hostile input made from valid files: bytes that were changed at random, and values that no program writes."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

# as text, of settings and options
VALUES = (
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e-3", "0", "-1", "1", "2", "99999999999999999999", "true"),
    *(
        "",
        "none",
        "null",
        "~",
        "[]",
        "{}",
        "[1, 2]",
        "{a: 1}",
        "auto",
        "x" * 5000,
        "../../etc/passwd",
        "/dev/zero",
        "*",
    ),
    *(
        "\x1b[31mred\x1b[0m",
        "\x07\x08",
        "\u202eabc",
        "é" * 300,
        "1_000",
        "0x10",
        "1e400",
        "-",
        "--",
        "!!python/name:os",
    ),
)
_ARRAYS: tuple[Callable[[NDArray[Any]], Any], ...] = (
    lambda array: np.full_like(array, np.nan) if array.dtype.kind in "fc" else -array,
    lambda array: array * np.array(1e30, array.dtype) if array.dtype.kind in "fc" else array * 0 + 2**30,
    lambda array: array * 0,
    lambda array: array[:1],
    lambda array: array[:0],
    lambda array: array.astype("U8") if array.size < 10**5 else array.ravel(),
    lambda array: array.astype(np.int8) if array.dtype.kind in "iuf" else array.real,
    lambda array: array.astype(np.complex128),
    lambda array: array.ravel(),
    lambda array: array[None],
    lambda array: np.swapaxes(array, 0, -1),
    lambda array: np.float64(1e308),
    lambda array: np.linspace(0, 1e12, array.shape[0]),
    lambda array: array + np.where(np.arange(array.size).reshape(array.shape) == 0, 1e9, 0).astype(array.dtype),
    lambda array: np.repeat(array, 2, axis=-1),
    lambda array: np.array(["a", "b"]),
    lambda array: array[..., ::-1],
)


def change_bytes(content: bytes, choice: random.Random) -> bytes:
    """Cut, flip, overwrite, repeat or insert some bytes."""
    changed = bytearray(content)
    for _ in range(choice.choice((1, 1, 2, 5, 20))):
        place = choice.randrange(len(changed) or 1)
        length = choice.choice((1, 2, 4, 16, 200))
        kind = choice.randrange(6)
        if kind == 0:
            del changed[place:]
        elif kind == 1 and changed:
            changed[place] ^= 1 << choice.randrange(8)
        elif kind == 2:
            changed[place : place + length] = choice.choice((b"\xff", b"\x00", b"\x7f")) * length
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            changed[place:place] = choice.randbytes(length)
        else:
            del changed[place : place + length]
    return bytes(changed)


def change_array(array: NDArray[Any], choice: random.Random) -> Any:
    """Replace an array by one that does not belong in its place."""
    with np.errstate(all="ignore"):
        try:
            return choice.choice(_ARRAYS)(array)
        except (ValueError, TypeError, IndexError, OverflowError):
            return np.zeros(0)


def change_npz(content: bytes, choice: random.Random) -> bytes:
    """Replace, drop or rename arrays of an NPZ file."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    for name in choice.sample(sorted(arrays), min(len(arrays), choice.choice((1, 1, 2)))):
        kind = choice.randrange(8)
        if kind == 0:
            del arrays[name]
        elif kind == 1:
            arrays[choice.choice(("../x", "\x1b[2J", "a" * 3000, "diffraction"))] = arrays.pop(name)
        else:
            arrays[name] = change_array(arrays[name], choice)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def change_hdf5(content: bytes, choice: random.Random) -> bytes:
    """Replace or drop datasets and attributes of an HDF5 file."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = choice.choice(names)
        values, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        kind = choice.randrange(6)
        if kind == 0:
            file[name] = h5py.SoftLink(f"/{name}")
        elif kind == 1:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == 2:
            file.create_dataset(name, shape=(2**20, 2**10, 2**10), chunks=(1, 64, 64), dtype="f4")
        elif kind > 3:
            changed: Any = change_array(values, choice) if isinstance(values, np.ndarray) else b"text"
            file[name] = changed.astype("S") if getattr(changed, "dtype", np.dtype("f4")).kind == "U" else changed
        if name in file and kind > 3:
            file[name].attrs.update({key: choice.choice((value, 1e308, "x", -1)) for key, value in attributes.items()})
    return stream.getvalue()


def change_zip(content: bytes, choice: random.Random) -> bytes:
    """Replace, drop, rename or repeat members of an archive, whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    number = choice.randrange(len(members))
    name, member = members[number]
    changed = (
        (name, change_bytes(member, choice)),
        (name, b""),
        (f"../{name}", member),
        (f"/tmp/{name}", member),
        ("\x1b]0;x\x07" + name, member),
        (name, member * 2),
        (name, b"[" * 100_000),
    )
    members[number] = choice.choice(changed)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for each, data in members:
            archive.writestr(zipfile.ZipInfo(each), data)
    return stream.getvalue()


def change_checkpoint(content: bytes, choice: random.Random) -> bytes:
    """Replace or drop a value at a random place of a checkpoint, whose checksums are right."""
    values = torch.load(io.BytesIO(content), weights_only=True)
    place: Any = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = choice.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or choice.random() < 0.05:
            break
        place = inner
    replacements: tuple[Any, ...] = (None, -1, 2**70, float("nan"), "x", [], {}, True, [[[]]], torch.zeros(0))
    if isinstance(inner, torch.Tensor):
        replacements += (
            inner * float("nan"),
            inner[..., :1] if inner.ndim else inner,
            inner.to_sparse(),
            inner.to("meta"),
        )
        replacements += (torch.zeros(1).expand(2**33), inner.double(), inner.flatten(), inner.bool())
    if isinstance(place, dict) and choice.random() < 0.2:
        del place[key]
    else:
        place[key] = choice.choice(replacements)
    stream = io.BytesIO()
    torch.save(values, stream)
    return stream.getvalue()


def change_text(content: bytes, choice: random.Random) -> bytes:
    """Replace values, keys or lines of a file of settings."""
    lines = content.decode().splitlines()
    for _ in range(choice.choice((1, 1, 2, 4))):
        number = choice.randrange(len(lines))
        mark = ":" if ":" in lines[number] else "="
        key, found, _ = lines[number].partition(mark)
        kind = choice.randrange(8)
        if kind < 5 and found:
            lines[number] = f"{key}{mark} {choice.choice(VALUES)}"
        elif kind == 5:
            lines[number] = choice.choice(VALUES) + lines[number]
        elif kind == 6:
            lines[number] += choice.choice(
                ("[" * 20_000, "{a: " * 5_000, "&a [*a, *a]", "- " * 3_000, "\x00", "\ufeff")
            )
        else:
            lines.insert(number, lines[choice.randrange(len(lines))])
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def write_changed(source: Path, target: Path, change: Callable[[bytes, random.Random], bytes], seed: int) -> None:
    """Write a changed copy of a file; one whose structure cannot be changed is changed byte by byte."""
    choice, content = random.Random(seed), source.read_bytes()
    try:
        changed = change(content, choice)
    except (ValueError, TypeError, RuntimeError, KeyError, OSError):
        changed = change_bytes(content, choice)
    target.write_bytes(changed)
