"""What every reader keeps to: the same scan, written as other programs write it, reads as the same scan."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from foreign_files import (
    DETECTOR_PIXEL_M,
    GEOMETRY,
    PIXEL_M,
    RASTER,
    SIDE,
    STEP_PX,
    Written,
    make_written,
    write_block,
    write_cxi,
    write_cxi_compressed,
    write_cxi_turned,
    write_dectris,
    write_emd,
    write_empad,
    write_fold_slice,
    write_hdf5,
    write_matlab_5,
    write_matlab_7,
    write_merlin,
    write_nxcxi,
    write_nxptycho,
    write_ptychonn,
    write_ptychopinn,
    write_ptychopinn_old,
    write_ptyd,
    write_tiffs,
    write_workflow_folder,
)
from scipy.io import savemat

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.formats import list_scan_files, read_one_scan, read_scans

STEM: dict[str, Any] = {"step_m": STEP_PX * PIXEL_M, "pixel_m": PIXEL_M}


# how each is written, the settings that the README tells to add, and whether the file contains a probe
CASES: dict[str, tuple[Callable[[Written, Path], Path], dict[str, Any], bool]] = {
    "CXI": (write_cxi, {}, True),
    "CXI, compressed": (write_cxi_compressed, {}, True),
    "CXI, turned detector": (write_cxi_turned, {}, True),
    "NXcxi_ptycho": (write_nxcxi, {}, False),
    "NXptycho": (write_nxptycho, {}, False),
    "Ptychodus": (write_workflow_folder, {}, True),
    "ptyd": (write_ptyd, {}, False),
    "PtychoPINN": (write_ptychopinn, {}, True),
    "PtychoPINN, old": (write_ptychopinn_old, {}, True),
    "PtychoNN": (write_ptychonn, {}, True),
    "MATLAB 5": (write_matlab_5, {}, True),
    "MATLAB 7.3": (write_matlab_7, {}, True),
    "fold_slice": (write_fold_slice, {}, False),
    "HDF5 by names": (
        write_hdf5,
        {"patterns": "measurement/eiger/images", "positions": "measurement/stage"} | GEOMETRY,
        True,
    ),
    "TIFF folder": (write_tiffs, {"positions": "{folder}/positions.csv"}, False),
    "Dectris": (write_dectris, {"raster_columns": RASTER[1], "step_m": STEP_PX * PIXEL_M}, False),
    "EMPAD": (
        write_empad,
        STEM | {"raster_columns": RASTER[1], "crop_px": SIDE, "pixel_m": PIXEL_M * SIDE / 128},
        False,
    ),
    "Merlin": (write_merlin, STEM | {"raster_columns": RASTER[1]}, False),
    "block file": (write_block, {"pixel_m": PIXEL_M}, False),
    "EMD": (write_emd, {}, False),
}
NEEDS = {"Merlin": "rsciio", "CXI, compressed": "hdf5plugin"}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, DataSettings]:
    """Name of a format, the path of a scan in it, and the settings with which it is read."""
    package = NEEDS.get(request.param)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    write, settings, _ = CASES[request.param]
    path = write(make_written(), tmp_path)
    if str(settings.get("positions", "")).startswith("{folder}"):
        settings = settings | {"positions": settings["positions"].format(folder=tmp_path)}
    return request.param, path, DataSettings(**settings)


def attempt(path: Path, settings: DataSettings) -> Scan | str:
    """The scan, or why it cannot be read."""
    try:
        return read_one_scan(path, settings)
    except DataError as error:
        return str(error)


def test_the_scan_is_the_one_that_was_written(case: tuple[str, Path, DataSettings]) -> None:
    """[DC-7.2]"""
    name, path, settings = case
    wanted, found = make_written(), attempt(path, settings)
    assert isinstance(found, Scan), f"the file was not read: {found}"
    np.testing.assert_allclose(found.counts, wanted.counts, rtol=1e-5, atol=1e-3)
    moved = found.positions_px - found.positions_px[0]
    np.testing.assert_allclose(moved, wanted.positions_px - wanted.positions_px[0], atol=2e-3)
    assert found.good_pixels.all()
    if CASES[name][2]:
        assert found.probe is not None
        np.testing.assert_allclose(found.probe[0], wanted.probe, rtol=1e-5)


def test_what_a_reader_finds_does_not_depend_on_the_name(case: tuple[str, Path, DataSettings]) -> None:
    """[DC-7.1]"""
    _, path, settings = case
    if path.is_dir() or path.suffix == ".raw" or len(list_scan_files(path)) > 1:
        pytest.skip("its files find each other by their names")
    wanted = read_one_scan(path, settings)
    found = read_one_scan(path.rename(path.with_name("other.dat")), settings)
    np.testing.assert_array_equal(found.counts, wanted.counts)
    np.testing.assert_array_equal(found.positions_px, wanted.positions_px)


def test_the_object_pixel_follows_from_the_geometry(tmp_path: Path) -> None:
    for name in ("CXI", "NXcxi_ptycho", "NXptycho", "ptyd"):
        folder = tmp_path / name
        folder.mkdir()
        found = read_one_scan(CASES[name][0](make_written(), folder))
        assert found.pixel_m == pytest.approx(PIXEL_M, rel=1e-4), name


def change_hdf5(path: Path, **changed: Any) -> Path:
    """Replace datasets of a file; `None` removes one. The names have two underscores for a slash."""
    with h5py.File(path, "a") as file:
        for name, value in changed.items():
            del file[name.replace("__", "/")]
            if value is not None:
                file[name.replace("__", "/")] = value
    return path


def raster_of_matlab(scan: Written, folder: Path) -> Path:
    patterns = scan.counts.reshape(*RASTER, SIDE, SIDE).transpose(2, 3, 1, 0)
    savemat(folder / "cbed.mat", {"cbed": patterns.astype(np.uint16)})
    return folder / "cbed.mat"


def probe_of_matlab(scan: Written, folder: Path) -> Path:
    """Variables side by side, as MATLAB's `save` writes a workspace; its list of variables has no complex ones."""
    patterns, positions = np.moveaxis(scan.counts.astype(np.uint16), 0, -1), scan.positions_px
    savemat(folder / "run.mat", {"dp": patterns, "ppY": positions[:, :1], "ppX": positions[:, 1:], "probe": scan.probe})
    return folder / "run.mat"


def oblong_last(scan: Written, folder: Path) -> Path:
    """Patterns (row, column, pattern) that are not square, with a mask of the same sides."""
    patterns = np.moveaxis(np.pad(scan.counts, ((0, 0), (4, 4), (0, 0))), 0, -1)
    mask = np.pad(np.zeros((SIDE, SIDE), bool), ((4, 4), (0, 0)), constant_values=True)
    np.savez(folder / "cube.npz", cube=patterns, places=scan.positions_px * PIXEL_M, mask=mask)
    return folder / "cube.npz"


def raster_of_cxi(scan: Written, folder: Path) -> Path:
    path = write_cxi(scan, folder)
    with h5py.File(path) as file:
        translation = file["entry_1/sample_1/geometry_1/translation"][()].reshape(*RASTER, 3)
    patterns = scan.counts.reshape(*RASTER, SIDE, SIDE).astype(np.uint16)
    return change_hdf5(
        path,
        entry_1__instrument_1__detector_1__data=patterns,
        entry_1__sample_1__geometry_1__translation=translation,
    )


def virtual_dataset(scan: Written, folder: Path) -> Path:
    write_dectris(scan, folder)
    half, count = len(scan.counts) // 2, len(scan.counts)
    layout = h5py.VirtualLayout(scan.counts.shape, "u4")
    for part, number in ((slice(0, half), 1), (slice(half, count), 2)):
        shape = (part.stop - part.start, SIDE, SIDE)
        layout[part] = h5py.VirtualSource(f"scan_data_{number:06}.h5", "entry/data/data", shape)
    with h5py.File(folder / "whole.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
        file["positions"] = np.ascontiguousarray(scan.positions_px.T)
    return folder / "whole.h5"


def ptyd_in_parts(scan: Written, folder: Path) -> Path:
    """Chunks in files of their own, one mask for all patterns, one pixel size for both axes."""
    path = write_ptyd(scan, folder)
    with h5py.File(path, "a") as file:
        for name in list(file["chunks"]):
            del file[f"chunks/{name}/weights"]
            with h5py.File(folder / f"scan.ptyd.part{name}", "w") as part:
                file.copy(f"chunks/{name}", part, "chunk")
            del file[f"chunks/{name}"]
            file[f"chunks/{name}"] = h5py.ExternalLink(f"scan.ptyd.part{name}", "chunk")
        file["info/weight2d"] = np.ones((SIDE, SIDE))
        del file["meta/psize"]
        file["meta/psize"] = DETECTOR_PIXEL_M
    return path


VARIANTS: dict[str, tuple[Callable[[Written, Path], Path], dict[str, Any]]] = {
    "CXI in electronvolts": (
        lambda scan, folder: change_hdf5(write_cxi(scan, folder), entry_1__instrument_1__source_1__energy=8800.0),
        {},
    ),
    "CXI without data_1": (lambda scan, folder: change_hdf5(write_cxi(scan, folder), entry_1__data_1=None), {}),
    "CXI as a raster": (raster_of_cxi, {}),
    "a virtual dataset": (virtual_dataset, {}),
    "ptyd in parts": (ptyd_in_parts, {}),
    "variables of MATLAB": (probe_of_matlab, {"units": "counts"}),
    "oblong patterns in the last axis": (
        oblong_last,
        {"patterns": "cube", "positions": "places", "units": "counts", "pixel_m": PIXEL_M * SIDE / (SIDE + 8)},
    ),
    "a raster of MATLAB": (raster_of_matlab, {"step_px": STEP_PX, "units": "counts"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_that_are_in_use(variant: str, tmp_path: Path) -> None:
    write, settings = VARIANTS[variant]
    wanted, found = make_written(), read_one_scan(write(make_written(), tmp_path), DataSettings(**settings))
    np.testing.assert_allclose(found.counts, wanted.counts)
    moved = found.positions_px - found.positions_px[0]
    np.testing.assert_allclose(moved, wanted.positions_px - wanted.positions_px[0], atol=5e-3)
    assert found.good_pixels.all()
    if variant in ("variables of MATLAB", "CXI as a raster"):
        np.testing.assert_array_equal(found.require_probe()[0], wanted.probe)


def test_a_folder_of_scans_with_probes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    first = make_written()
    second = replace(first, probe=first.probe * 2j)
    for name, written in (("a", first), ("b", second)):
        write_cxi(written, tmp_path).rename(tmp_path / "scans" / f"{name}.cxi")
    scans = read_scans(tmp_path / "scans")
    assert [scan.name for scan in scans] == ["a.cxi", "b.cxi"]
    for scan, wanted in zip(scans, (first, second), strict=True):
        np.testing.assert_allclose(scan.require_probe()[0], wanted.probe)


def test_files_that_belong_to_another_are_no_scans(tmp_path: Path) -> None:
    for name, write in (("dectris", write_dectris), ("fold_slice", write_fold_slice)):
        (tmp_path / name).mkdir()
        path = write(make_written(), tmp_path / name)
        found = read_scans(tmp_path / name, DataSettings(raster_columns=RASTER[1], step_px=STEP_PX))
        assert [scan.name for scan in found] == [path.name]


def test_a_result_of_ptypy_is_a_starting_probe(tmp_path: Path) -> None:
    written = make_written()
    with h5py.File(tmp_path / "result.ptyr", "w") as file:
        file["content/probe/Sscan_00G00/data"] = np.stack([written.probe, 0.1 * written.probe])
    scan = read_one_scan(write_ptyd(written, tmp_path), probes=tmp_path / "result.ptyr")
    np.testing.assert_allclose(scan.require_probe(), np.stack([written.probe, 0.1 * written.probe]))


def test_what_states_that_it_is_near_field_is_refused(tmp_path: Path) -> None:
    folder = write_workflow_folder(make_written(), tmp_path)
    with h5py.File(folder / "product.h5", "a") as file:
        file.attrs["far_field"] = False
    path = write_ptyd(make_written(), tmp_path)
    with h5py.File(path, "a") as file:
        file["meta/propagation"] = "nearfield"
    for near in (folder, path):
        with pytest.raises(DataError, match="near-field"):
            read_one_scan(near)
