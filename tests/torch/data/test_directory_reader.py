from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import list_scan_files, read_one_scan, read_probe, read_scans


def write(path: Path, level: int, side: int = 16) -> Path:
    """A scan of three patterns all of whose counts are `level`, and a probe of that value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        diff3d=np.full((3, side, side), level),
        xcoords=np.array([1.0, 2.0, 3.0]),
        ycoords=np.array([5.0, 6.0, 7.0]),
        probeGuess=np.full((side, side), level + 0j),
    )
    return path


def levels(source: Path, probes: Path | None = None) -> list[tuple[float, float]]:
    """Counts and probe of every scan that is read."""
    found = []
    for scan in read_scans(source, probes=probes):
        assert scan.probe is not None
        found.append((float(scan.counts[0, 0, 0]), float(scan.probe[0, 0, 0].real)))
    return found


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, level in (("b.npz", 2), ("a.npz", 1), ("c.npz", 3)):
        write(tmp_path / name, level)
    (tmp_path / "notes.txt").write_text("not a scan")
    write(tmp_path / "inside" / "d.npz", 4)
    assert levels(tmp_path) == [(1, 1), (2, 2), (3, 3)]
    assert [path.name for path in list_scan_files(tmp_path)] == ["a.npz", "b.npz", "c.npz"]


def test_one_file_is_a_folder_of_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", 7)
    assert levels(path) == [(7, 7)]
    assert read_one_scan(path).name == "a.npz"
    assert read_one_scan(tmp_path).name == "a.npz"


@pytest.mark.parametrize("kind", ["npy", "npz file", "npz folder"])
def test_one_probe_serves_all_scans(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "scans" / "a.npz", 1)
    write(tmp_path / "scans" / "b.npz", 2)
    probes = tmp_path / "probes"
    probes.mkdir()
    if kind == "npy":
        np.save(probes / "any.npy", np.full((16, 16), 9 + 0j))
        source = probes / "any.npy"
    else:
        np.savez(probes / "any.npz", probe=np.full((16, 16), 9 + 0j))
        source = probes if kind == "npz folder" else probes / "any.npz"
    assert levels(tmp_path / "scans", source) == [(1, 9), (2, 9)]


def test_several_probes_belong_to_the_scans_of_their_names(tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    probes.mkdir()
    for name, level in (("a", 1), ("b", 2)):
        write(tmp_path / "scans" / f"{name}.npz", level)
        np.save(probes / f"{name}.npy", np.full((16, 16), 10.0 * level))
    assert levels(tmp_path / "scans", probes) == [(1, 10), (2, 20)]
    (probes / "b.npy").rename(probes / "other.npy")
    with pytest.raises(ScanFileError, match=r"no probe .*b\.npz"):
        read_scans(tmp_path / "scans", probes=probes)


def test_patterns_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", 1, 16)
    write(tmp_path / "b.npz", 1, 32)
    with pytest.raises(ScanFileError, match=r"a\.npz 16 px, b\.npz 32 px"):
        read_scans(tmp_path)


def test_asking_for_one_of_several_names_one(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", 1)
    write(tmp_path / "b.npz", 1)
    with pytest.raises(ScanFileError, match=r"2 scans.* a\.npz"):
        read_one_scan(tmp_path)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScanFileError, match=r"absent: .*does not exist"):
        read_scans(tmp_path / "absent")
    with pytest.raises(ScanFileError, match=r"no \.npz file"):
        read_scans(tmp_path)


def test_a_file_without_a_probe_is_refused_as_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", wave=np.ones((16, 16)))
    with pytest.raises(ScanFileError, match=r"probeGuess or probe.* contains wave"):
        read_probe(tmp_path / "a.npz")
    (tmp_path / "b.npy").write_bytes(b"not an array")
    with pytest.raises(ScanFileError, match=r"b\.npy: is not a readable NPY file"):
        read_probe(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ScanFileError, match=r"c\.npy: contains pickled objects"):
        read_probe(tmp_path / "c.npy")
