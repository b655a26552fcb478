"""Results of other programs: read as they were written, and refused in one line if they are damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from foreign_results import WRITERS, StoredObject, write_own, write_product, write_ptyr, write_ptyrad, write_shelves_7
from scipy.io import savemat
from scipy.ndimage import fourier_shift

from ptycho_torch.cli.main import main
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, ScanFileError
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.formats.result import ResultFile
from ptycho_torch.formats.results import read_halves, read_result, read_truth

PIXEL_M = 2e-8


@pytest.fixture(scope="module")
def stored(small_scan: Scan) -> StoredObject:
    truth = small_scan.require_object()
    probe = np.concatenate([small_scan.require_probe(), 0.1 * np.roll(small_scan.require_probe(), 3, axis=1)])
    return StoredObject(truth.pixels, probe, small_scan.positions_px - truth.origin_px, truth.origin_px, PIXEL_M)


@pytest.mark.parametrize("program", WRITERS)
def test_object_probe_and_positions_are_those_that_were_written(
    program: str, stored: StoredObject, tmp_path: Path
) -> None:
    found = read_result(WRITERS[program](stored, tmp_path))
    np.testing.assert_allclose(found.pixels, stored.pixels, atol=1e-5)
    assert found.origin_px == (stored.origin_px if program == "ptycho_torch" else None)
    if found.probe is not None:
        np.testing.assert_allclose(found.probe, stored.probe, atol=1e-4)
    assert (found.probe is None) == (program == "an NPY file")
    if found.positions_px is not None:
        np.testing.assert_allclose(found.positions_px, stored.positions_px, atol=1e-3)
    assert (found.positions_px is None) == (program in ("ptycho_torch", "an NPZ file", "an NPY file"))
    if found.pixel_m is not None:
        assert found.pixel_m == pytest.approx(PIXEL_M)
    epochs = {"Ptychodus": 3, "PtyRAD": 2, "PtychoShelves 5": 2, "PtychoShelves 7.3": 2}
    assert len(found.errors) == epochs.get(program, 0)


def test_the_folder_of_a_run_has_refined_positions_epochs_and_halves(stored: StoredObject, tmp_path: Path) -> None:
    folder = write_own(stored, tmp_path)
    assert read_halves(folder) is None
    np.savez(folder / "positions.npz", given_px=stored.positions_px, refined_px=stored.positions_px + 0.25)
    (folder / "metrics.json").write_text('{"R_by_epoch": [0.3, 0.2], "R_free_by_epoch": [0.4, null]}')
    for name in ("half_1.npz", "half_2.npz"):
        np.savez(folder / name, object=stored.pixels, origin_px=stored.origin_px, pixel_m=np.nan)
    found = read_result(folder)
    assert found.positions_px is not None
    np.testing.assert_allclose(found.positions_px, stored.positions_px + 0.25)
    assert (found.errors, found.free_errors) == ((0.3, 0.2), ())
    halves = read_halves(folder)
    assert halves is not None
    assert halves[0].origin_px == stored.origin_px


def test_only_a_truth_may_be_the_object_of_a_scan(small_scan: Scan, tmp_path: Path) -> None:
    write_scan(small_scan, tmp_path / "scan.npz")
    np.testing.assert_array_equal(read_truth(tmp_path / "scan.npz").pixels, small_scan.require_object().pixels)
    with pytest.raises(ScanFileError, match="'object' is missing"):
        read_result(tmp_path / "scan.npz")


def edit(write: Callable[[StoredObject, Path], Path], name: str, value: Any) -> Callable[[StoredObject, Path], Path]:
    """A writer whose file lacks a dataset, or has another value in it."""

    def write_damaged(stored: StoredObject, folder: Path) -> Path:
        path = write(stored, folder)
        with h5py.File(path, "r+") as file:
            shape = file[name].shape if isinstance(file[name], h5py.Dataset) else ()
            attributes = dict(file[name].attrs)
            del file[name]
            if value is not None:
                file[name] = value(shape) if callable(value) else value
                file[name].attrs.update(attributes)
        return path

    return write_damaged


def write_bytes(content: bytes) -> Callable[[StoredObject, Path], Path]:
    def write(stored: StoredObject, folder: Path) -> Path:
        (folder / "odd.h5").write_bytes(content)
        return folder / "odd.h5"

    return write


def write_npz(**arrays: Any) -> Callable[[StoredObject, Path], Path]:
    def write(stored: StoredObject, folder: Path) -> Path:
        np.savez(folder / "odd.npz", **arrays)
        return folder / "odd.npz"

    return write


def write_mat(**arrays: Any) -> Callable[[StoredObject, Path], Path]:
    def write(stored: StoredObject, folder: Path) -> Path:
        savemat(folder / "odd.mat", arrays)
        return folder / "odd.mat"

    return write


def nan(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan)


ODD_TYPE = np.zeros((3, 3), [("left", "f8"), ("right", "i4")])
WAVE = np.ones((40, 40), np.complex64)
DAMAGED = {
    "ptyr without objects": (edit(write_ptyr, "content/obj/SscanG00", None), "contains 0 objects"),
    "ptyr without data": (edit(write_ptyr, "content/obj/SscanG00/data", None), "is missing"),
    "ptyr of text": (edit(write_ptyr, "content/obj/SscanG00/data", "text"), "must be complex"),
    "ptyr of pairs": (edit(write_ptyr, "content/obj/SscanG00/data", ODD_TYPE), "a structure"),
    "ptyr of NaN": (edit(write_ptyr, "content/obj/SscanG00/data", lambda shape: nan(shape) * 1j), "NaN"),
    "ptyr of zeros": (edit(write_ptyr, "content/obj/SscanG00/data", np.zeros((1, 9, 9), complex)), "zero"),
    "ptyr of one axis": (edit(write_ptyr, "content/obj/SscanG00/data", np.ones(9, complex)), "shape"),
    "ptyr of two modes": (edit(write_ptyr, "content/obj/SscanG00/data", np.ones((2, 9, 9), complex)), "2 modes"),
    "ptyr, odd probe": (edit(write_ptyr, "content/probe/SscanG00/data", np.ones((9, 8), complex)), "(9, 8)"),
    "ptyr, probe of another size": (edit(write_ptyr, "content/probe/SscanG00/data", WAVE), "40 px"),
    "ptyr, grids of NaN": (edit(write_ptyr, "content/obj/SscanG00/grids", nan), "pixels of"),
    "ptyr, odd positions": (edit(write_ptyr, "content/positions/SscanG00", np.ones((4, 3))), "positions"),
    "PtyRAD without phase": (edit(write_ptyrad, "optimizable_tensors/objp", None), "objp is missing"),
    "PtyRAD, another shape": (edit(write_ptyrad, "optimizable_tensors/objp", np.ones((1, 2, 3, 4))), "objp (1, 2"),
    "PtyRAD, whole numbers": (edit(write_ptyrad, "optimizable_tensors/obja", np.ones((1, 1, 9, 9), int)), "real"),
    "PtyRAD without probe": (edit(write_ptyrad, "optimizable_tensors/probe", None), "probe is missing"),
    "PtyRAD, shifts of others": (
        edit(write_ptyrad, "optimizable_tensors/probe_pos_shifts", np.ones((3, 2))),
        "3 probe",
    ),
    "product without probe": (edit(write_product, "probe", None), "'probe' is missing"),
    "product of NaN": (edit(write_product, "object", lambda shape: nan(shape) * 1j), "NaN"),
    "shelves of NaN": (edit(write_shelves_7, "object", lambda shape: nan(shape) * 1j), "NaN"),
    "shelves, a cell": (edit(write_shelves_7, "object", ODD_TYPE), "a structure"),
    "shelves, five axes": (edit(write_shelves_7, "probe", np.ones((2, 2, 2, 2, 2), complex)), "too many axes"),
    "MATLAB without object": (write_mat(probe=WAVE), "'object' is missing"),
    "MATLAB, cells": (write_mat(object=np.array([WAVE, 1], object), probe=WAVE), "missing"),
    "NPZ without object": (write_npz(probe=WAVE), "'object' is missing"),
    "NPZ, real object": (write_npz(object=np.ones((40, 40))), "must be complex"),
    "NPZ, pickled object": (write_npz(object=np.array([{}], object)), "object"),
    "HDF5 cut off": (write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)), "odd.h5"),
    "a picture": (write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40)), "is a PNG image"),
    "nothing": (write_bytes(b""), "is empty"),
    "a pickle": (write_bytes(b"\x80\x04\x95" + bytes(20)), "pickle"),
}


@pytest.fixture(scope="module")
def scan_file(small_scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "scan.npz"
    write_scan(small_scan, path)
    return path


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_refused_in_one_line(
    name: str, stored: StoredObject, scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, told = DAMAGED[name]
    words = ["--result", str(write(stored, tmp_path)), "--data", str(scan_file), "--output_dir", str(tmp_path / "out")]
    assert main(["evaluate", *words, "--quiet"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("ptycho-torch evaluate: ")
    assert told in error
    assert not (tmp_path / "out").exists()


def test_what_does_not_belong_to_the_scan_is_refused(small_scan: Scan, stored: StoredObject) -> None:
    from ptycho_torch.evaluate.placement import place_result  # noqa: PLC0415 - needs torch

    file = ResultFile(program="x", pixels=stored.pixels, probe=stored.probe, pixel_m=3e-8)
    with pytest.raises(DataError, match="30 nm"):
        place_result(file, replace(small_scan, pixel_m=PIXEL_M))
    with pytest.raises(DataError, match="does not lie under"):
        place_result(replace(file, pixels=np.ones((8, 8), np.complex64)), small_scan)
    with pytest.raises(DataError, match="no probe"):
        place_result(replace(file, probe=None), replace(small_scan, probe=None))


@pytest.mark.parametrize("is_conjugate", [False, True])
def test_an_object_is_found_where_it_predicts_the_patterns(
    is_conjugate: bool, small_scan: Scan, stored: StoredObject
) -> None:
    from ptycho_torch.evaluate.placement import place_result  # noqa: PLC0415 - needs torch

    # three rows more than below and a column less than on the right
    pixels = np.pad(stored.pixels, ((5, 0), (2, 3)), constant_values=1)
    file = ResultFile(program="x", pixels=pixels, probe=stored.probe[:1])
    if is_conjugate:
        assert file.probe is not None
        file = replace(file, pixels=file.pixels.conj(), probe=file.probe.conj())
    placed = place_result(file, small_scan)
    np.testing.assert_allclose(placed.scan.positions_px, np.add(stored.positions_px, (5, 2)), atol=0.13)
    np.testing.assert_allclose(placed.canvas.pixels, pixels)


def test_an_object_is_found_to_a_fraction_of_a_pixel(small_scan: Scan, stored: StoredObject) -> None:
    from ptycho_torch.evaluate.placement import place_result  # noqa: PLC0415 - needs torch

    pixels = np.fft.ifft2(fourier_shift(np.fft.fft2(np.pad(stored.pixels, 4, mode="reflect")), (0.25, -0.5)))
    placed = place_result(ResultFile(program="x", pixels=pixels.astype(np.complex64)), small_scan)
    np.testing.assert_allclose(placed.scan.positions_px, np.add(stored.positions_px, (4.25, 3.5)), atol=0.13)


def test_positions_of_another_order_are_not_those_of_the_scan(small_scan: Scan, stored: StoredObject) -> None:
    from ptycho_torch.evaluate.placement import place_result  # noqa: PLC0415 - needs torch

    file = ResultFile(program="x", pixels=stored.pixels, positions_px=stored.positions_px[::-1].copy())
    np.testing.assert_allclose(place_result(file, small_scan).scan.positions_px, stored.positions_px, atol=0.13)
