"""The client's working folder as a scan, and a scan as such a folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from client_files import (
    Content,
    assert_same,
    client_diffraction,
    client_product,
    metres,
    object_pixels,
    read_content,
)
from numpy_physics import far_field
from numpy_samples import LOPSIDED, compact_probe

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, ScanFileError
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.formats import list_scan_files, read_one_scan, read_scans
from ptycho_torch.formats.ptychodus_diffraction import read_diffraction, write_diffraction
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.formats.ptychodus_product import Product

INDEXES = np.array([3, 4, 7, 8, 11])


def counts(patterns: int = 5) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Faint patterns: without knowing better, whole numbers as small as these could be amplitudes."""
    offset = np.arange(16) - 8
    bright = 30 * np.exp(-(offset[:, None] ** 2 + offset**2) / 12)
    return np.random.default_rng(0).poisson(bright, (patterns, 16, 16)).astype(np.uint16)


def product(**changes: Any) -> Content:
    """A product with an object of one layer."""
    whole = client_product()
    return whole.changed(**{"object": whole.arrays["object"][:1], "object_layer_spacing_m": np.zeros(0)} | changes)


def folder_of(place: Path, beside: Content | None = None, patterns: Content | None = None) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (patterns or client_diffraction(counts(), INDEXES)).write(place / "diffraction.h5")
    (beside or product()).write(place / "product.h5")
    return place


def test_a_folder_becomes_a_scan(tmp_path: Path) -> None:
    """[DC-4.1] [DC-4.2] [DC-5.1]"""
    bad = np.zeros((16, 16), bool)
    bad[2, 3] = True
    patterns = client_diffraction(counts().astype(np.float32), INDEXES).changed(bad_pixels=bad)
    patterns.arrays["patterns"][:, 2, 3] = np.nan
    (scan,) = read_scans(folder_of(tmp_path / "sample", patterns=patterns))
    np.testing.assert_array_equal(scan.counts, np.where(bad, 0, counts()))
    np.testing.assert_array_equal(scan.good_pixels, ~bad)
    np.testing.assert_allclose(scan.positions_px, object_pixels(product()) + 0.5, atol=1e-6)
    assert scan.truth is not None
    np.testing.assert_array_equal(scan.truth.pixels, product().arrays["object"][0].astype(np.complex64))
    assert list(scan.truth.origin_px) == [0, 0]
    assert scan.name == "sample"
    assert isinstance(scan.source, Product)
    assert scan.source.attributes["name"] == "Prüfling 7"


@pytest.mark.parametrize(("height_m", "expected"), [(2e-8, 2e-8), (1e-8, None)])
def test_the_size_of_a_pixel_is_known_where_there_is_one(
    tmp_path: Path, height_m: float, expected: float | None
) -> None:
    """[DC-5.4]"""
    (scan,) = read_scans(folder_of(tmp_path, product(object__pixel_height_m=height_m)))
    assert scan.pixel_m == expected


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_the_probe_is_the_first_of_those_that_vary(tmp_path: Path, axes: int) -> None:
    """[DC-5.3]"""
    whole = product().arrays["probe"]
    content = product(probe=whole[(0,) * (4 - axes)]).without("opr_weights")
    (scan,) = read_scans(folder_of(tmp_path, content))
    assert scan.probe is not None
    np.testing.assert_array_equal(scan.probe, whole[0, : 1 if axes == 2 else 3].astype(np.complex64))


def test_the_physics_of_the_clients_convention(tmp_path: Path) -> None:
    """[DC-3.5] [DC-4.2]: patterns made by the client's rule are explained by the object where it is read to lie."""
    probe, side = compact_probe(24, photons=1e7), 24
    content = product(object=LOPSIDED.pixels(50, 52)[None], probe=probe, object__pixel_height_m=2e-8)
    rng = np.random.default_rng(3)
    centres = np.array([content.attributes["object/center_y_m"], content.attributes["object/center_x_m"]])
    drawn = rng.uniform(14, 34, (12, 2))
    place = (drawn - (np.array([50, 52]) - 1) / 2) * 2e-8 + centres
    content = content.changed(
        probe_position_y_m=place[:, 0], probe_position_x_m=place[:, 1], probe_position_indexes=np.arange(12)
    ).without("opr_weights", "probe_photon_counts")
    offset = np.arange(side) - (side - 1) / 2
    patterns = [
        np.sum(
            [
                np.abs(far_field(LOPSIDED.at(row + offset[:, None], column + offset[None, :]) * mode)) ** 2
                for mode in probe
            ],
            0,
        )
        for row, column in drawn
    ]
    (scan,) = read_scans(
        folder_of(tmp_path, content, client_diffraction(np.round(patterns).astype(np.uint32), np.arange(12)))
    )
    assert scan.truth is not None
    assert scan.probe is not None
    assert evaluate(scan, scan.truth, scan.probe, device=torch.device("cpu"))["R"] < 0.005
    shifted = replace(scan, positions_px=scan.positions_px - 0.5, truth=None)
    assert evaluate(shifted, scan.truth, scan.probe, device=torch.device("cpu"))["R"] > 0.02


def test_patterns_and_positions_find_each_other_by_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[DC-5.2]"""
    patterns = client_diffraction(counts(5), np.array([8, 3, 99, 11, -1]))
    (scan,) = read_scans(folder_of(tmp_path, patterns=patterns))
    where = object_pixels(product()) + 0.5
    np.testing.assert_array_equal(scan.counts, counts(5)[[0, 1, 3]])
    np.testing.assert_allclose(scan.positions_px, where[[3, 0, 4]], atol=1e-6)
    assert "2 patterns without a position and 2 positions without a pattern are left out" in caplog.text


def test_a_position_that_was_taken_twice_is_the_mean(tmp_path: Path) -> None:
    """[DC-5.2]"""
    content = product(probe_position_indexes=np.array([3, 4, 7, 8, 3]))
    (scan,) = read_scans(folder_of(tmp_path, content, client_diffraction(counts(2), np.array([3, 8]))))
    where = object_pixels(content) + 0.5
    np.testing.assert_allclose(scan.positions_px, [(where[0] + where[4]) / 2, where[3]], atol=1e-6)


def test_a_place_that_was_never_filled_is_no_pattern(tmp_path: Path) -> None:
    """[DC-5.2]"""
    content = product(probe_position_indexes=np.array([3, 4, 7, 8, -1]))
    (scan,) = read_scans(folder_of(tmp_path, content, client_diffraction(counts(), np.array([3, 4, 7, 8, -1]))))
    np.testing.assert_array_equal(scan.counts, counts()[:4])


def test_a_beam_stop_does_not_move_the_direct_beam(tmp_path: Path) -> None:
    """[DC-4.2]"""
    stopped = np.fft.fftshift(counts(), axes=(1, 2))
    (scan,) = read_scans(folder_of(tmp_path, patterns=client_diffraction(stopped, INDEXES)))
    np.testing.assert_array_equal(scan.counts, stopped)


def test_numbers_that_never_meet_are_refused(tmp_path: Path) -> None:
    """[DC-5.2]"""
    patterns = client_diffraction(counts(), INDEXES + 100)
    with pytest.raises(ScanFileError, match=r"no pattern has a position; .* 103 to 111, .* 3 to 11"):
        read_scans(folder_of(tmp_path, patterns=patterns))


def test_a_constant_object_is_no_truth(tmp_path: Path) -> None:
    """[DC-5.5]"""
    (scan,) = read_scans(folder_of(tmp_path, product(object=np.ones((1, 40, 50), complex))))
    assert scan.truth is None


def test_an_object_of_several_layers_is_no_truth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[DC-5.5]"""
    with caplog.at_level(logging.INFO, "ptycho_torch"):
        (scan,) = read_scans(folder_of(tmp_path, client_product()))
    assert scan.truth is None
    assert "2 layers" in caplog.text


def test_an_object_that_the_scan_leaves_is_no_truth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[DC-5.5]"""
    (scan,) = read_scans(folder_of(tmp_path, product(object=client_product().arrays["object"][:1, :20, :20])))
    assert scan.truth is None
    assert "does not cover the scan" in caplog.text


def test_a_probe_given_replaces_the_products(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "sample")
    np.save(tmp_path / "probe.npy", np.full((16, 16), 5j))
    scan = read_one_scan(folder, probes=tmp_path / "probe.npy")
    assert scan.probe is not None
    np.testing.assert_array_equal(scan.probe, np.full((1, 16, 16), 5j))


def test_patterns_can_be_turned_as_in_other_files(tmp_path: Path) -> None:
    (scan,) = read_scans(folder_of(tmp_path), DataSettings(transpose=True))
    np.testing.assert_array_equal(scan.counts, counts().swapaxes(1, 2))


@pytest.mark.parametrize("settings", [DataSettings(pixel_m=1e-8), DataSettings(swap_positions=True)])
def test_what_the_product_says_cannot_be_said_otherwise(tmp_path: Path, settings: DataSettings) -> None:
    """[DC-5.4]"""
    with pytest.raises(ConfigError, match=r"product\.h5.*leave it out"):
        read_scans(folder_of(tmp_path), settings)


def test_other_files_in_the_folder_are_tolerated(tmp_path: Path) -> None:
    """[DC-5.1]"""
    folder = folder_of(tmp_path)
    for name in ("settings.ini", "model.ckpt", "fluorescence.h5", "product.000001.h5"):
        (folder / name).write_text("whatever")
    (folder / "run_20260101_000000").mkdir()
    assert [len(scan) for scan in read_scans(folder)] == [5]
    assert [path.name for path in list_scan_files(folder)] == ["diffraction.h5", "product.h5"]


@pytest.mark.parametrize("name", ["diffraction.h5", "product.h5"])
def test_either_file_names_the_folder(tmp_path: Path, name: str) -> None:
    """[DC-5.1]"""
    folder = folder_of(tmp_path / "sample")
    assert read_one_scan(folder / name).name == "sample"
    assert list_scan_files(folder / name) == list_scan_files(folder)


def test_npz_files_come_first(tmp_path: Path) -> None:
    """[DC-5.1]"""
    folder = folder_of(tmp_path)
    np.savez(folder / "a.npz", data=counts(), scan=np.arange(10.0).reshape(5, 2), probe=np.ones((16, 16), complex))
    (scan,) = read_scans(folder)
    assert scan.name == "a.npz"
    assert scan.source is None
    assert [path.name for path in list_scan_files(folder)] == ["a.npz"]


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("product.h5", "product.h5 is missing"),
        ("diffraction.h5", "diffraction.h5 is missing"),
    ],
)
def test_half_a_folder_is_refused(tmp_path: Path, missing: str, complaint: str) -> None:
    """[DC-5.1]"""
    folder = folder_of(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ScanFileError, match=complaint):
        read_scans(folder)
    other = next(folder.glob("*.h5"))
    with pytest.raises(ScanFileError, match=complaint):
        read_scans(other)


def test_another_hdf5_file_says_what_would_work(tmp_path: Path) -> None:
    (tmp_path / "raw.h5").write_bytes(b"")
    with pytest.raises(ScanFileError, match=r"raw\.h5: is empty; .*the folder with diffraction\.h5 and product\.h5"):
        read_scans(tmp_path / "raw.h5")


SOUND = client_diffraction(counts(), INDEXES)
HOSTILE = {
    "no patterns": (SOUND.without("patterns"), "'patterns' is missing"),
    "no mask": (SOUND.without("bad_pixels"), "'bad_pixels' is missing"),
    "no indexes": (SOUND.without("indexes"), "'indexes' is missing"),
    "no pixel": (SOUND.without("patterns/detector_pixel_width_m"), "'detector_pixel_width_m' of 'patterns' is missing"),
    "complex": (client_diffraction(counts() + 0j, INDEXES), "'patterns' .* type complex128"),
    "flat": (client_diffraction(counts()[0], INDEXES), r"'patterns' has shape \(16, 16\)"),
    "fewer": (client_diffraction(counts(3), INDEXES), "3 patterns and 5 indexes"),
    "mask": (SOUND.changed(bad_pixels=np.zeros((8, 8), bool)), "mask has shape"),
    "NaN": (client_diffraction(np.full((5, 16, 16), np.nan), INDEXES), "consist of NaN"),
    "negative": (client_diffraction(-counts().astype(int), INDEXES), "no photons"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_patterns_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    """[DC-4.3]"""
    content, complaint = HOSTILE[case]
    with pytest.raises(DataError, match=complaint) as raised:
        read_scans(folder_of(tmp_path, patterns=content))
    assert "\n" not in str(raised.value)


def test_patterns_that_are_only_claimed_are_not_read(tmp_path: Path) -> None:
    """[DC-4.3]"""
    folder = folder_of(tmp_path)
    with h5py.File(folder / "diffraction.h5", "r+") as file:
        marks = dict(file["patterns"].attrs)
        del file["patterns"]
        file.create_dataset("patterns", (10**6, 1000, 1000), "u2", chunks=(1, 1000, 1000), compression="lzf")
        file["patterns"].attrs.update(marks)
    with pytest.raises(ScanFileError, match=r"'patterns' .* 1863 GiB"):
        read_scans(folder)


def test_patterns_are_written_back_in_every_field(tmp_path: Path) -> None:
    """[DC-4.1]"""
    bad = np.zeros((16, 16), bool)
    bad[2, 3] = True
    content = SOUND.changed(bad_pixels=bad)
    content.arrays["probe_photon_counts"] = np.array([1e5, 2e5, 3e5, 4e5, 5e5])
    write_diffraction(read_diffraction(content.write(tmp_path / "given.h5")), tmp_path / "again.h5")
    assert_same(read_content(tmp_path / "again.h5"), content)


def written(scan: Scan, folder: Path) -> tuple[Content, Content]:
    write_workflow_directory(scan, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["diffraction.h5", "product.h5"]
    return read_content(folder / "diffraction.h5"), read_content(folder / "product.h5")


def test_a_scan_is_written_as_the_client_writes_it(tmp_path: Path, small_scan: Scan) -> None:
    """[DC-4.1] [DC-5.6]"""
    good = np.ones((32, 32), bool)
    good[5, 6] = False
    diffraction, beside = written(replace(small_scan, good_pixels=good), tmp_path / "new" / "sample")
    assert diffraction.arrays["patterns"].dtype.kind == "u"
    np.testing.assert_array_equal(diffraction.arrays["patterns"], small_scan.counts)
    np.testing.assert_array_equal(diffraction.arrays["bad_pixels"], ~good)
    np.testing.assert_array_equal(diffraction.arrays["indexes"], np.arange(len(small_scan)))
    np.testing.assert_array_equal(beside.arrays["probe_position_indexes"], np.arange(len(small_scan)))
    with h5py.File(tmp_path / "new" / "sample" / "diffraction.h5") as file:
        assert {file[name].compression for name in ("patterns", "indexes", "bad_pixels")} == {"lzf"}
    assert small_scan.truth is not None
    assert small_scan.probe is not None
    np.testing.assert_array_equal(beside.arrays["object"], small_scan.truth.pixels[None])
    np.testing.assert_array_equal(beside.arrays["probe"], small_scan.probe[None])
    np.testing.assert_allclose(object_pixels(beside), small_scan.positions_px - 0.5, atol=1e-6)
    assert beside.attributes["probe_photon_count"] == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize("pixel_m", [None, 5e-9])
def test_the_geometry_that_is_written_agrees_with_itself(
    tmp_path: Path, small_scan: Scan, pixel_m: float | None
) -> None:
    """[DC-5.6]"""
    diffraction, beside = written(replace(small_scan, pixel_m=pixel_m), tmp_path)
    wavelength_m = 1.23984198e-6 / beside.attributes["photon_energy_eV"]
    detector = diffraction.attributes["patterns/detector_pixel_width_m"]
    assert detector == diffraction.attributes["patterns/detector_pixel_height_m"]
    pixel = wavelength_m * beside.attributes["detector_object_distance_m"] / (32 * detector)
    for name in ("object/pixel_width_m", "object/pixel_height_m", "probe/pixel_width_m", "probe/pixel_height_m"):
        assert beside.attributes[name] == pytest.approx(pixel, rel=1e-6)
    assert pixel_m is None or pixel == pytest.approx(pixel_m)
    # metres are counted from the middle of the scan
    middle = (small_scan.positions_px.min(axis=0) + small_scan.positions_px.max(axis=0)) / 2 - 0.5
    np.testing.assert_allclose(metres(beside, *middle), (0, 0), atol=1e-14)


def test_a_scan_reads_back_as_it_was_written(tmp_path: Path, small_scan: Scan) -> None:
    """[DC-5.6]"""
    write_workflow_directory(small_scan, tmp_path / "sample")
    found = read_one_scan(tmp_path / "sample")
    np.testing.assert_array_equal(found.counts, small_scan.counts)
    np.testing.assert_allclose(found.positions_px, small_scan.positions_px, atol=1e-6)
    assert found.truth is not None
    assert small_scan.truth is not None
    np.testing.assert_array_equal(found.truth.pixels, small_scan.truth.pixels)


def test_without_a_truth_the_object_is_empty_and_holds_the_scan(tmp_path: Path, small_scan: Scan) -> None:
    """[DC-5.6]"""
    _, beside = written(replace(small_scan, truth=None), tmp_path / "sample")
    extent = np.ptp(small_scan.positions_px, axis=0)
    assert beside.arrays["object"].shape == (1, *np.ceil(extent + 32).astype(int))
    assert (beside.arrays["object"] == 1).all()
    found = read_one_scan(tmp_path / "sample")
    assert found.truth is None
    steps = np.diff(small_scan.positions_px, axis=0)
    np.testing.assert_allclose(np.diff(found.positions_px, axis=0), steps, atol=1e-6)


def test_a_scan_that_the_layout_cannot_hold_is_refused(tmp_path: Path, small_scan: Scan) -> None:
    """[DC-5.6]"""
    with pytest.raises(DataError, match="integers"):
        write_workflow_directory(replace(small_scan, counts=small_scan.counts * np.float32(0.3)), tmp_path / "a")
    with pytest.raises(DataError, match="no probe"):
        write_workflow_directory(replace(small_scan, probe=None), tmp_path / "b")
    assert not list(tmp_path.rglob("*.h5"))
