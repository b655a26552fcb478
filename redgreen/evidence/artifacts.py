"""Audit what a run left: path, bytes, digest, and the arrays of known formats; without torch or numpy."""

from __future__ import annotations

import ast
import hashlib
import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from redgreen.codec import OMITTED
from redgreen.evidence.markdown import code, row, table
from redgreen.registry.model import ArtifactSpec

PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MOST_CONTENTS: Final = 200  # arrays listed of one file
LARGEST_PICKLE: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """One array of a file; the name is empty where the file holds only one."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a run left: the label of its process, and its path below the temporary folder of the process.

    `kind` is what it is read as; it ends in `?!` when the file is damaged. Only the audit has `glob` and `contents`.
    """

    process: str
    path: str
    bytes: int
    sha256: str
    kind: str
    glob: str | None = field(default=None, metadata=OMITTED)
    contents: tuple[ArrayFacts, ...] | None = field(default=None, metadata=OMITTED)

    def shorten(self) -> Artifact:
        """Return what result.json says about it."""
        return replace(self, glob=None, contents=None)


@dataclass(frozen=True, slots=True)
class Audit:
    """artifact_audit.json: what the processes of a run left, and what is missing."""

    artifacts: tuple[Artifact, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, artifacts: Iterable[Artifact], processes: Iterable[str], specs: Sequence[ArtifactSpec]) -> Audit:
        """Audit what processes left, each on its own, against what was declared."""
        left = tuple(artifacts)
        missing = {label: find_missing([each for each in left if each.process == label], specs) for label in processes}
        return cls(left, tuple(f"{label}: {problem}" for label, problems in missing.items() for problem in problems))


def describe_artifacts(folder: Path, specs: Iterable[ArtifactSpec], process: str = "main") -> list[Artifact]:
    """Describe every file below the temporary folder of a process that one of the globs names."""
    found: dict[str, Artifact] = {}
    for spec in specs:
        for path in sorted(folder.glob(spec.glob)):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file() or name in found:
                continue
            kind, contents = describe_file(path)
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size, shown = path.stat().st_size, tuple(contents[:MOST_CONTENTS])
            found[name] = Artifact(process, name, size, sha256, kind, spec.glob, shown)
    return list(found.values())


def find_missing(entries: Sequence[Artifact], specs: Iterable[ArtifactSpec]) -> list[str]:
    """Report what was declared and is missing, too small, or damaged."""
    problems = []
    for spec in specs:
        fitting = [entry for entry in entries if entry.glob == spec.glob]
        large = [entry for entry in fitting if entry.bytes >= spec.min_bytes]
        if len(large) < spec.min_count:
            problems.append(
                f"{spec.glob}: {len(large)} files of at least {spec.min_bytes} bytes, expected {spec.min_count}"
                + (f" ({len(fitting) - len(large)} smaller)" if len(fitting) > len(large) else "")
            )
        problems += [f"{each.path}: not readable as {each.kind[:-2]}" for each in fitting if each.kind.endswith("?!")]
    return problems


def render_audit(entries: Iterable[Artifact]) -> str:
    """Render the audit as a Markdown document."""
    rows = []
    for entry in entries:
        arrays = entry.contents or ()
        contents = [f"{part.name}: {part.dtype} {list(part.shape)}".removeprefix(": ") for part in arrays]
        shown = "; ".join(contents[:8]) + (f"; {len(contents) - 8} more" if len(contents) > 8 else "")
        told = code(shown) if shown else "-"
        rows.append(row(code(entry.path), str(entry.bytes), entry.kind, told, f"`{entry.sha256[:12]}`"))
    heads = ("file", "bytes", "kind", "contents (dtype, shape)", "sha256")
    return "\n".join(("# Artifact audit", "", *table(heads, rows))) + "\n"


def describe_file(path: Path) -> tuple[str, list[ArrayFacts]]:
    """Return the kind of a file and its arrays; a kind that ends in `?!` means that the file is damaged."""
    kind = path.suffix.lower()[1:]
    readers = {"npy": _read_npy, "npz": _read_npz, "png": _read_png, "ckpt": _read_checkpoint, "pt": _read_checkpoint}
    reader = readers.get(kind)
    if reader is None:
        return "file", []
    try:
        return kind, reader(path)
    except Exception:  # noqa: BLE001 - archives, headers and pickles that are damaged raise almost anything
        return f"{kind}?!", []


def _read_npy_header(stream: BinaryIO | Any) -> tuple[str, tuple[int, ...]]:  # noqa: ANN401 - zip members are streams too
    if stream.read(6) != b"\x93NUMPY":
        raise ValueError("not an npy file")
    major = stream.read(2)[0]
    size = struct.unpack("<H", stream.read(2))[0] if major == 1 else struct.unpack("<I", stream.read(4))[0]
    header = ast.literal_eval(stream.read(size).decode("latin1" if major < 3 else "utf-8"))
    return _name_dtype(header["descr"]), tuple(header["shape"])


def _name_dtype(code: object) -> str:
    names = {"f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128", "b1": "bool"}
    names |= {
        f"{sign}{size}": f"{word}{size * 8}" for sign, word in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)
    }
    return names.get(str(code)[1:], str(code))


def _read_npy(path: Path) -> list[ArrayFacts]:
    with path.open("rb") as stream:
        dtype, shape = _read_npy_header(stream)
    return [ArrayFacts("", dtype, shape)]


def _read_npz(path: Path) -> list[ArrayFacts]:
    contents = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as stream:
                    dtype, shape = _read_npy_header(stream)
                contents.append(ArrayFacts(name[:-4], dtype, shape))
    return contents


def _read_png(path: Path) -> list[ArrayFacts]:
    with path.open("rb") as stream:
        head = stream.read(33)
        stream.seek(-12, io.SEEK_END)
        if head[:8] != b"\x89PNG\r\n\x1a\n" or stream.read()[4:8] != b"IEND":
            raise ValueError("not a whole png file")
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    return [ArrayFacts("", f"uint{max(8, depth)}", (height, width, PNG_CHANNELS[colour]))]


class _Stub:
    """Stands for any class in the pickle; nothing of it is imported or run."""

    def _ignore(self, *_: object, **__: object) -> None:
        return

    __init__ = __setstate__ = __setitem__ = append = _ignore


class _Unpickler(pickle.Unpickler):
    """Reads names, dtypes and shapes of a torch archive; loads no class and runs no code of the file."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - whatever the pickle names
        known: dict[tuple[str, str], object] = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda dtype, _offset, shape, *_: ArrayFacts("", dtype, shape),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("collections", "OrderedDict"): OrderedDict,  # a state_dict carries attributes, which a plain dict cannot
        }
        if module == "torch" and name.endswith("Storage"):
            return name
        return known.get((module, name), _Stub)

    def persistent_load(self, pid: Any) -> str:  # noqa: ANN401 - torch's tuple
        words = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"}
        words |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
        words |= {"ComplexFloat": "complex64", "ComplexDouble": "complex128"}
        name = str(pid[1]).removesuffix("Storage")
        return words.get(name, name)


def _read_checkpoint(path: Path) -> list[ArrayFacts]:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if not members:
            raise ValueError("not a torch archive")
        member = members[0]
        if archive.getinfo(member).file_size > LARGEST_PICKLE:
            return []
        loaded = _Unpickler(io.BytesIO(archive.read(member))).load()
    return list(_find_arrays("", loaded, 8))


def _find_arrays(name: str, value: object, depth: int) -> Iterator[ArrayFacts]:
    """Yield the arrays in nested containers, each with the way to it as its name."""
    inside: Iterable[tuple[str, object]] = ()
    if isinstance(value, ArrayFacts):
        yield replace(value, name=name)
    elif isinstance(value, dict):
        inside = ((f"{name}.{key}".lstrip("."), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        inside = ((f"{name}[{index}]", inner) for index, inner in enumerate(value))
    for way, inner in inside if depth else ():
        yield from _find_arrays(way, inner, depth - 1)
