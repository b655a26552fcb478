"""What every format keeps to: it is found by what a path holds, reads back what it wrote, and refuses damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import find, list_scan_files, read_one_scan, read_scans
from ptycho_torch.formats.find import FORMATS, find_scans
from ptycho_torch.formats.format import Format, starts_with

SIDE = 16


@pytest.fixture
def scan() -> Scan:
    """Counts in whole numbers at sub-pixel positions of an object."""
    rng, offset = np.random.default_rng(2), np.arange(SIDE) - SIDE // 2
    bright = 300 * np.exp(-(offset[:, None] ** 2 + offset**2) / 12)
    return Scan(
        counts=rng.poisson(bright, (6, SIDE, SIDE)).astype(np.float32),
        positions_px=rng.uniform(10, 30, (6, 2)),
        probe=np.ones((1, SIDE, SIDE), np.complex64),
        truth=Canvas(np.exp(1j * rng.uniform(0, 1, (48, 48))).astype(np.complex64), (0.0, 0.0)),
        name="sample",
    )


def written(format: Format, scan: Scan, folder: Path) -> Path:
    """A scan in a format; the name of the path says nothing of it where the format is one of files."""
    assert format.write is not None
    path = folder / "sample.dat"
    format.write(scan, path)
    return path


@pytest.fixture(params=[format for format in FORMATS if format.write], ids=lambda format: format.name)
def format(request: pytest.FixtureRequest) -> Format:
    """Each format that can be written."""
    found: Format = request.param
    return found


def test_a_scan_is_found_and_reads_back(format: Format, scan: Scan, tmp_path: Path) -> None:
    path = written(format, scan, tmp_path)
    assert find_scans(path) == [(path, format)]
    assert all(file.is_file() for file in list_scan_files(path))
    found = read_one_scan(path)
    np.testing.assert_array_equal(found.counts, scan.counts)
    np.testing.assert_allclose(found.positions_px, scan.positions_px, atol=1e-6)


def test_no_other_format_recognises_it(format: Format, scan: Scan, tmp_path: Path) -> None:
    path = written(format, scan, tmp_path)
    # the last one takes every HDF5 file that no other recognises
    assert [other for other in FORMATS[:-1] if other.recognises(path)] == [format]


def test_each_of_its_files_stands_for_it(format: Format, scan: Scan, tmp_path: Path) -> None:
    path = written(format, scan, tmp_path)
    assert [find_scans(file) for file in list_scan_files(path)] == [[(path, format)]] * len(list_scan_files(path))


def test_a_file_that_is_cut_off_is_refused(format: Format, scan: Scan, tmp_path: Path) -> None:
    path = written(format, scan, tmp_path)
    for file in list_scan_files(path):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ScanFileError, match=f"{file.name}: is not a readable"):
            read_scans(path)
        file.write_bytes(whole)


def test_in_a_folder_a_file_that_is_cut_off_is_not_skipped(format: Format, scan: Scan, tmp_path: Path) -> None:
    for ending in format.endings:
        folder = tmp_path / f"folder{ending}"
        folder.mkdir()
        written(format, scan, folder).rename(folder / f"a{ending}")
        (folder / f"b{ending}").write_bytes(b"")
        with pytest.raises(ScanFileError, match=f"b{ending}: is not a readable"):
            read_scans(folder)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["other"] = np.zeros(3)


@pytest.mark.parametrize("name", ["foreign.dat", "foreign.npz"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty; readable are"),
        (None, r"is an HDF5 file .* but contains other \(3,\); name them by --patterns"),
        (b"\x1b[31m red", r"begins with b'\\x1b\[31m re'; readable are"),
    ],
)
def test_a_foreign_file_is_described(name: str, content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is None:
        hdf5(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ScanFileError, match=what) as raised:
        read_scans(path)
    assert content is None or all(format.name in str(raised.value) for format in FORMATS)
    assert "\n" not in str(raised.value)


def test_one_row_adds_a_format(scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Format(
        name="a toy file",
        recognises=lambda path: starts_with(path, b"TOY"),
        files=lambda path: [path],
        read=lambda path, settings=None, *, probe=None: replace(scan, name=path.name),
        endings=(".toy",),
    )
    monkeypatch.setattr(find, "FORMATS", (*FORMATS, toy))
    (tmp_path / "b.toy").write_bytes(b"TOY")
    (tmp_path / "a.toy").write_bytes(b"TOY")
    assert read_one_scan(tmp_path / "b.toy").name == "b.toy"
    assert [found.name for found in read_scans(tmp_path)] == ["a.toy", "b.toy"]
    (tmp_path / "other").write_bytes(b"else")
    with pytest.raises(ScanFileError, match=r"is a text file; readable are .*; a toy file"):
        read_scans(tmp_path / "other")
