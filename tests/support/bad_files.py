"""Files that are not what they seem, by what is wrong with them; each function returns the path to name."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from foreign_files import Written, write_block, write_cxi, write_dectris, write_matlab_5, write_merlin, write_ptyd
from PIL import Image
from scipy.io import savemat

SIDE = 16
RNG = np.random.default_rng(3)
COUNTS = RNG.poisson(30, (6, SIDE, SIDE)).astype(np.float32)
POSITIONS = RNG.uniform(0, 20, (6, 2))
SCAN = Written(COUNTS, POSITIONS, np.ones((SIDE, SIDE), np.complex64), (2, 3), 3.0)

Maker = Callable[[Path], Path]


def raw(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def npz(**arrays: Any) -> Maker:
    def make(folder: Path) -> Path:
        np.savez(folder / "scan.npz", **arrays)
        return folder / "scan.npz"

    return make


def hdf5(fill: Callable[[h5py.File], object], name: str = "scan.h5") -> Maker:
    def make(folder: Path) -> Path:
        with h5py.File(folder / name, "w") as file:
            fill(file)
        return folder / name

    return make


def cut(write: Callable[[Written, Path], Path], share: float = 0.5) -> Maker:
    def make(folder: Path) -> Path:
        path = write(SCAN, folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        return path

    return make


def changed(change: Callable[[h5py.File], object], write: Callable[[Written, Path], Path] = write_cxi) -> Maker:
    def make(folder: Path) -> Path:
        path = write(SCAN, folder)
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def image(mode: str, ending: str, size: tuple[int, int] = (SIDE, SIDE)) -> Maker:
    def make(folder: Path) -> Path:
        path = folder / f"picture{ending}"
        Image.new(mode, size, 1).save(path)
        return path

    return make


def huge_image(folder: Path) -> Path:
    """A TIFF that declares 60 000 × 60 000 px."""
    path = image("I;16", ".tif")(folder)
    content = path.read_bytes()
    for tag in (256, 257):
        small = struct.pack("<HHII", tag, 4, 1, SIDE)
        assert content.count(small) == 1
        content = content.replace(small, struct.pack("<HHII", tag, 4, 1, 60_000))
    path.write_bytes(content)
    return path


def archive(name: str, *members: str) -> Maker:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as file:
            for member in members:
                file.writestr(member, "text")
        return folder / name

    return make


def looping_link(folder: Path) -> Path:
    (folder / "a.h5").symlink_to(folder / "b.h5")
    (folder / "b.h5").symlink_to(folder / "a.h5")
    return folder / "a.h5"


def folder_of(**files: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / "scans").mkdir()
        for name, content in files.items():
            (folder / "scans" / name.replace("__", ".")).write_bytes(content)
        return folder / "scans"

    return make


def tiff_folder(*sizes: tuple[int, int], mode: str = "I;16") -> Maker:
    def make(folder: Path) -> Path:
        (folder / "frames").mkdir()
        for number, size in enumerate(sizes):
            Image.new(mode, size).save(folder / "frames" / f"{number}.tif")
        return folder / "frames"

    return make


def several_images(folder: Path) -> Path:
    frames = tiff_folder((SIDE, SIDE), (SIDE, SIDE))(folder)
    pages = [Image.fromarray(pattern.astype(np.uint16)) for pattern in COUNTS]
    pages[0].save(frames / "1.tif", save_all=True, append_images=pages[1:])
    return frames


def unknown_filter(folder: Path) -> Path:
    """The number of a filter in the file is changed to one that no one has."""
    path = write_cxi(SCAN, folder)
    with h5py.File(path, "a") as file:
        del file["entry_1/instrument_1/detector_1/data"]
        file["entry_1/instrument_1/detector_1"].create_dataset("data", data=COUNTS, compression="lzf")
    content = path.read_bytes()
    number, other = (32000).to_bytes(2, "little"), (32099).to_bytes(2, "little")
    assert content.count(number + b"\x08\0") == 1
    path.write_bytes(content.replace(number + b"\x08\0", other + b"\x08\0"))
    return path


def huge_member(folder: Path) -> Path:
    """An array that declares far more values than its file has bytes."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 4096, 4096), }".ljust(117) + b"\n"
    stream = io.BytesIO()
    np.save(stream, POSITIONS)
    with zipfile.ZipFile(folder / "scan.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        file.writestr("scan.npy", stream.getvalue())
    return folder / "scan.npz"


def single_array(folder: Path) -> Path:
    np.save(folder / "a.npy", COUNTS)
    return folder / "a.npy"


def half_a_dectris(folder: Path) -> Path:
    path = write_dectris(SCAN, folder)
    (folder / "scan_data_000002.h5").unlink()
    return path


def matlab_cells(folder: Path) -> Path:
    savemat(folder / "s.mat", {"dp": np.array([[1, "a"]], object)})
    return folder / "s.mat"


def near_field(file: h5py.File) -> None:
    """Pixels of 200 nm at an effective distance of 10 mm: the shadow moves by many pixels from pattern to pattern."""
    detector = file["entry_1/instrument_1/detector_1"]
    for name, value in (("distance", 0.01), ("x_pixel_size", 2e-7), ("y_pixel_size", 2e-7)):
        detector[name][...] = value
    file["entry_1/sample_1/geometry_1/translation"][...] *= 100
    del detector["data"]
    detector.create_dataset("data", data=np.ones((6, 512, 512), np.uint8), compression="gzip")


def without(*names: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        for name in names:
            del file[name]

    return change


def put(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6, SIDE, SIDE), "f4")
    layout[...] = h5py.VirtualSource("gone.h5", "data", (6, SIDE, SIDE))
    file.create_virtual_dataset("data", layout)


_DETECTOR = "entry_1/instrument_1/detector_1"
_TRANSLATION = "entry_1/sample_1/geometry_1/translation"
_LINK = f"{_DETECTOR}/data"

# what is wrong, and a part of what is said
BAD_FILES: dict[str, tuple[Maker, str]] = {
    "nothing there": (lambda folder: folder / "absent.h5", "does not exist"),
    "empty": (raw("scan.cxi", b""), "is empty"),
    "text": (raw("scan.h5", b"some notes\nof a user\n"), "is a text file"),
    "PNG": (image("L", ".png"), "is a PNG image"),
    "JPEG": (image("L", ".jpg"), "is a JPEG image"),
    "PDF": (raw("scan.npz", b"%PDF-1.7 and so on"), "is a PDF document"),
    "gzip": (raw("scan.npz.gz", gzip.compress(b"x")), "is a gzip archive; unpack it"),
    "pickle": (raw("scan.npz", pickle.dumps({"data": [1, 2]})), "is a Python pickle, which is never opened"),
    "web page": (raw("scan.h5", b"<!DOCTYPE html><html>404</html>"), "is a web page"),
    "LFS pointer": (raw("scan.h5", b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "unknown bytes": (raw("scan.dat", bytes(range(100, 200))), "begins with"),
    "ZIP of documents": (archive("scan.npz", "a.txt", "b/c.doc"), "contains no arrays"),
    "truncated NPZ": (raw("scan.npz", b"PK\x03\x04 no more"), "not a readable NPZ"),
    "NPZ of objects": (npz(data=np.array([{}], object), scan=POSITIONS), "not a readable NPZ|pickled objects"),
    "huge NPZ": (huge_member, "declares|does not fill"),
    "NPZ without patterns": (
        npz(a=np.ones(3)),
        r"contain patterns, .* but contains a \(3,\); name them by --patterns",
    ),
    "NPZ without positions": (npz(diffraction=COUNTS), "no positions; .*name them by --positions"),
    "complex patterns": (npz(data=COUNTS * 1j, scan=POSITIONS), "of type complex"),
    "more patterns than positions": (npz(data=COUNTS, scan=POSITIONS[1:]), "positions have shape"),
    "a lost position": (npz(data=COUNTS, scan=np.where(POSITIONS.max() == POSITIONS, np.nan, POSITIONS)), "NaN"),
    "no axis of any length": (npz(data=COUNTS[:0], scan=POSITIONS[:0]), "the scan is empty"),
    "one axis too few": (npz(data=COUNTS[0], scan=POSITIONS), "patterns have shape"),
    "NaN everywhere": (npz(data=COUNTS * np.nan, scan=POSITIONS), "all 6 patterns consist of NaN"),
    "no light": (npz(data=0 * COUNTS, scan=POSITIONS), "no photons"),
    "a single NPY": (single_array, "is an NPY file"),
    "truncated HDF5": (cut(write_cxi), "not a readable HDF5"),
    "truncated .ptyd": (cut(write_ptyd), "not a readable HDF5"),
    "HDF5 of text": (hdf5(put("note", "nothing")), "must contain patterns"),
    "HDF5 of groups": (hdf5(lambda file: file.create_group("a/b/c")), "contains no arrays"),
    "CXI of one image": (
        hdf5(put("entry_1/data_1/data", COUNTS[0]), "scan.cxi"),
        "one image of 16 × 16 px and no",
    ),
    "CXI without patterns": (changed(without(_LINK)), "without patterns"),
    "CXI without geometry": (changed(without(f"{_DETECTOR}/distance")), "the size of an object pixel is unknown"),
    "CXI without positions": (changed(without(_TRANSLATION)), "no positions"),
    "CXI of near-field patterns": (changed(near_field), "near-field"),
    "a link that leads nowhere": (changed(put(_LINK, h5py.ExternalLink("gone.h5", "/data"))), "which does not exist"),
    "a link out of the folder": (
        changed(put(_LINK, h5py.ExternalLink("../../../etc/passwd", "/data"))),
        "outside of the folder",
    ),
    "a link to itself": (changed(put(_LINK, h5py.SoftLink(f"/{_LINK}"))), "leads back to itself"),
    "a virtual dataset of nothing": (hdf5(virtual), "which does not exist"),
    "a filter that no one has": (unknown_filter, "compressed by filter 32099"),
    "huge HDF5": (
        hdf5(lambda file: file.create_dataset("data", (10**6, 4096, 4096), "f4", chunks=(1, 64, 64))),
        "declares a size of",
    ),
    "Dectris without its data": (
        half_a_dectris,
        "which does not exist",
    ),
    "links in a circle": (looping_link, "is a link to a file that does not exist"),
    "MATLAB cells": (
        matlab_cells,
        "must contain patterns",
    ),
    "truncated MATLAB": (cut(write_matlab_5), "not a readable MATLAB file"),
    "truncated Merlin": (cut(write_merlin, 0.01), "not a readable Merlin|needs rsciio"),
    "truncated block file": (cut(write_block, 0.9), "not a readable block file"),
    "EMPAD that names another folder": (
        raw("scan.xml", b'<?xml version="1.0"?><root><raw_file filename="../other.raw"/></root>'),
        "does not name its raw values beside it",
    ),
    "one TIFF": (image("I;16", ".tif"), "is a TIFF image of one pattern"),
    "huge TIFF": (huge_image, "is not a readable image .*exceeds limit"),
    "folder of one TIFF": (lambda folder: image("I;16", ".tif")(folder).parent, "is a TIFF image of one pattern"),
    "TIFFs of several images": (several_images, "contains several images; it must contain one"),
    "TIFF of other sizes": (tiff_folder((16, 16), (16, 18)), "the image has shape"),
    "TIFF in colour": (tiff_folder((16, 16), (16, 16), mode="RGB"), "in colour"),
    "empty folder": (folder_of(), "contains no .npz file and no other"),
    "folder of notes": (folder_of(notes__txt=b"hello"), "contains no .npz file and no other"),
    "folder with an empty file": (folder_of(a__cxi=b""), "a.cxi"),
}
