"""NPZ and NPY files that are not what they claim: one line each, and no memory for claims."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho_torch.api.data_bridge import MemmapDatasetBridge
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import read_npz, read_probe
from ptycho_torch.storage.hdf5 import open_hdf5

PAIRS = np.zeros(6, [("a", "f4"), ("b", "f4")])
DAYS = np.zeros(6, "M8[D]")


def scan(**changes: Any) -> dict[str, Any]:
    return {"diff3d": np.ones((6, 16, 16)), "xcoords": np.arange(6.0), "ycoords": np.arange(6.0)} | changes


def plain(**changes: Any) -> dict[str, Any]:
    return {"data": np.ones((6, 16, 16)), "scan": np.stack([np.arange(6.0)] * 2, axis=1)} | changes


def npy(values: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def claiming(shape: str, content: bytes = b"", kind: str = "'<f4'") -> bytes:
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def complaint(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(ScanFileError) as raised:
        read(path)
    line = str(raised.value)
    assert line.isprintable()
    assert len(line) < 1000 + len(str(path))
    return line


@pytest.mark.parametrize("values", [np.full(6, "a"), np.ones(6) * 1j, DAYS, DAYS - DAYS, PAIRS, np.ones(6, bool)])
@pytest.mark.parametrize("layout", ["xcoords", "ycoords", "scan"])
def test_positions_are_real_numbers(layout: str, values: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """[DC-1.7]"""
    arrays = plain(scan=np.stack([values] * 2, axis=1)) if layout == "scan" else scan(**{layout: values})
    np.savez(tmp_path / "s.npz", **arrays)
    assert f"{layout} is of type" in complaint(read_npz, tmp_path / "s.npz")


@pytest.mark.parametrize("values", [DAYS, DAYS - DAYS, PAIRS, np.full(6, "a"), np.ones(6, bool)])
@pytest.mark.parametrize(
    ("name", "wanted"), [("diff3d", "patterns are of type"), ("bad_pixels", "mask is of type"), ("probeGuess", "probe")]
)
def test_images_are_numbers(name: str, wanted: str, values: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """[DC-1.7]"""
    if name == "bad_pixels" and values.dtype == bool:
        return
    image = np.broadcast_to(values[:, None, None], (6, 16, 16))
    np.savez(tmp_path / "s.npz", **scan(**{name: image if name == "diff3d" else image[0]}))
    assert wanted in complaint(read_npz, tmp_path / "s.npz")


@pytest.mark.parametrize("values", [DAYS, PAIRS, np.full(6, "a")])
def test_an_object_of_no_numbers_is_refused_even_where_it_is_constant(
    values: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    np.savez(tmp_path / "s.npz", **scan(objectGuess=np.broadcast_to(values[:, None], (6, 6))))
    assert "the object is of type" in complaint(read_npz, tmp_path / "s.npz")


MEMBERS = {
    "no array": b"just text",
    "nothing": b"",
    "broken header": claiming("(((((("),
    "claims much": claiming("(100000000000000,)"),
    "claims more than it holds": claiming("(9,)", bytes(8)),
    "values without a size": claiming("(1000000000,)", kind="'<U0'"),
    "no type": claiming("(1,)", bytes(4), kind="()"),
    "unknown version": b"\x93NUMPY\x07\x00" + claiming("(1,)", bytes(4))[8:],
    "a header of many lines": claiming("(1,)" + " " * 20_000, bytes(4)),
}


@pytest.mark.parametrize("case", MEMBERS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_no_array_is_refused(case: str, method: int, tmp_path: Path) -> None:
    """[DC-1.7]"""
    members = {f"{name}.npy": npy(values) for name, values in scan().items()}
    path = packed(tmp_path / "s.npz", members | {"xcoords.npy": MEMBERS[case]}, method)
    for read in (read_npz, read_probe, lambda path: MemmapDatasetBridge(path).raw_data()):
        assert "s.npz: is not a readable NPZ file" in complaint(read, path)


def test_other_members_are_ignored(tmp_path: Path) -> None:
    """[DC-1.1]"""
    members = {f"{name}.npy": npy(values) for name, values in scan().items()}
    assert len(read_npz(packed(tmp_path / "s.npz", members | {"README.txt": b"measured on a sunny day"})).counts) == 6


@pytest.mark.parametrize("case", MEMBERS)
def test_a_probe_that_is_no_array_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "p.npy").write_bytes(MEMBERS[case])
    assert "p.npy: is not a readable NPY file" in complaint(read_probe, tmp_path / "p.npy")


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    packed(tmp_path / "p.npy", {"probe.npy": npy(np.ones((16, 16)))})
    assert "p.npy: is not a readable NPY file" in complaint(read_probe, tmp_path / "p.npy")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_expands_beyond_belief_is_not_unpacked(method: int, tmp_path: Path) -> None:
    """[DC-1.7]"""
    members = {f"{name}.npy": npy(values) for name, values in scan().items()}
    path = packed(tmp_path / "s.npz", members | {"xcoords.npy": npy(np.zeros(2**23 + 100))}, method)
    assert path.stat().st_size < 2**16
    for read in (read_npz, lambda path: MemmapDatasetBridge(path).raw_data()):
        assert "deflate" in complaint(read, path)


@pytest.mark.parametrize(("claimed", "wanted"), [(2**27, "128 MiB, more than its"), (2**37, "size of 128 GiB")])
def test_a_member_that_claims_too_much_is_not_unpacked(claimed: int, wanted: str, tmp_path: Path) -> None:
    """[DC-1.7]"""
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in scan().items():
            archive.writestr(f"{name}.npy", npy(values))
        archive.infolist()[0].file_size = claimed
    for read in (read_npz, lambda path: MemmapDatasetBridge(path).raw_data()):
        assert wanted in complaint(read, path)


def test_many_members_may_not_share_the_same_bytes(tmp_path: Path) -> None:
    """[DC-1.7]"""
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(2**22)))
        first = archive.infolist()[0]
        for number in range(100):
            other = zipfile.ZipInfo(f"{number}.npy")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(other, field, getattr(first, field))
            archive.filelist.append(other)
    assert "as a whole" in complaint(read_npz, path)


def test_dark_patterns_that_pack_well_are_read(tmp_path: Path) -> None:
    patterns = np.zeros((6, 1200, 1200))
    patterns[:, 600, 600] = 100
    np.savez_compressed(tmp_path / "s.npz", **scan(diff3d=patterns))
    assert read_npz(tmp_path / "s.npz").patch_px == 1200


def test_names_from_a_file_stay_in_their_line(tmp_path: Path) -> None:
    """[DC-1.7]"""
    names = ["a\nptycho-torch: all is well", "\x1b[31m", "b" * 5000, *(f"c{number:03}" for number in range(500))]
    archive = packed(tmp_path / "s.npz", {f"{name}.npy": npy(np.ones(3)) for name in names})
    table = tmp_path / "s.h5"
    with h5py.File(table, "w") as file:
        for name in names:
            file[name] = 1.0

    def read_table(path: Path) -> None:
        with open_hdf5(path, ScanFileError) as contents:
            contents.read_array("object", "c", (2,))

    for read, path in ((read_npz, archive), (read_probe, archive), (read_table, table)):
        line = complaint(read, path)
        assert r"a\nptycho-torch" in line
        assert re.search("and 49[13] more", line)


def test_a_missing_key_is_told_with_a_few_names(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"k{number}": np.ones(1) for number in range(50)}
    np.savez(tmp_path / "s.npz", diff3d=np.ones((6, 16, 16)), **arrays)
    assert "and no positions; the file contains diff3d (6, 16, 16), k0 (1,), k1 (1,)" in complaint(
        read_npz, tmp_path / "s.npz"
    )
