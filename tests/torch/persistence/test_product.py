"""The client's product files, written and read by plain h5py on the other side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from client_files import Content, assert_same, client_product, metres, object_pixels, read_content

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.errors import OutputError, ScanFileError
from ptycho_torch.formats.ptychodus_product import read_product, write_product

Spoil = Callable[[Path], object]

NO_EXTRAS = ("opr_weights", "probe_photon_counts", "polarization")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "product.h5"


def test_every_field_is_read(path: Path) -> None:
    """[DC-3.1] [DC-3.2] [DC-3.3]"""
    content = client_product()
    product = read_product(content.write(path))
    assert product.attributes == {name: value for name, value in content.attributes.items() if "/" not in name}
    arrays = {"probe_position_indexes": product.indexes, "probe": product.probe, "object": product.object}
    arrays |= product.series
    for name in content.arrays.keys() - {"probe_position_x_m", "probe_position_y_m"}:
        np.testing.assert_array_equal(arrays[name], content.arrays[name], err_msg=name)
    np.testing.assert_array_equal(product.positions_m[:, 0], content.arrays["probe_position_y_m"])
    np.testing.assert_array_equal(product.positions_m[:, 1], content.arrays["probe_position_x_m"])
    assert product.pixel_m == (1e-8, 2e-8)
    assert product.centre_m == (-2e-6, 1e-6)
    assert product.probe_pixel_m == (1.5e-8, 2.5e-8)


VARIANTS = {
    "full": client_product(),
    "plain": client_product().without(*NO_EXTRAS),
    "no losses": client_product().changed(loss_epochs=np.zeros(0), loss_values=np.zeros(0)),
    "lost losses": client_product().changed(loss_values=np.array([0.5, np.nan, np.inf])),
    "no name": client_product().changed(name=""),
}


@pytest.mark.parametrize("content", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_is_read_is_written_back_in_every_field(path: Path, tmp_path: Path, content: Content) -> None:
    """[DC-3.1] [DC-3.2] [DC-3.3]"""
    write_product(read_product(content.write(path)), tmp_path / "new" / "again.h5")
    assert_same(read_content(tmp_path / "new" / "again.h5"), content)


def test_what_a_file_leaves_out_has_a_default(path: Path) -> None:
    """[DC-3.4]"""
    content = client_product()
    needed = {"detector_object_distance_m", "photon_energy_eV"} | {name for name in content.attributes if "/" in name}
    extras = ("object_layer_spacing_m", "opr_weights", "probe_photon_counts", "loss_epochs", "loss_values")
    bare = content.without(*(set(content.attributes) - needed), *extras, "probe/pixel_width_m", "probe/pixel_height_m")
    product = read_product(bare.changed(object=content.arrays["object"][0]).write(path))
    names = ("name", "comments", "polarization", "far_field")
    assert [product.attributes.get(name) for name in names] == ["Unnamed", "", None, True]
    numbers = ("probe_photon_count", "exposure_time_s", "focus_object_distance_m")
    assert [product.attributes[name] for name in numbers] == [0, 0, 0]
    assert product.probe_pixel_m == product.pixel_m == (1e-8, 2e-8)
    series = {name: len(array) for name, array in product.series.items()}
    assert series == {"object_layer_spacing_m": 0, "loss_epochs": 0, "loss_values": 0}


def test_the_older_name_of_the_photon_energy_is_known(path: Path) -> None:
    """[DC-3.4]"""
    content = client_product().without("photon_energy_eV").changed(probe_energy_eV=7e3)
    assert read_product(content.write(path)).attributes["photon_energy_eV"] == 7e3


def test_texts_may_be_of_fixed_length(path: Path) -> None:
    """[DC-3.2]"""
    product = read_product(client_product().changed(name=np.bytes_("Kürzel".encode())).write(path))
    assert product.attributes["name"] == "Kürzel"


@pytest.mark.parametrize("name", [np.bytes_(b"a\0b"), np.array(b"a\x80b", dtype=h5py.string_dtype())])
def test_texts_that_are_none_can_be_written_again(path: Path, name: Any) -> None:
    """[DC-3.7]"""
    product = read_product(client_product().changed(name=name).write(path))
    assert product.attributes["name"] in ("a", "a\ufffdb")
    write_product(product, path)
    assert read_product(path).attributes["name"] == product.attributes["name"]


def test_positions_name_the_pixel_under_the_middle_pixel_of_the_patch(path: Path) -> None:
    """[DC-3.5]"""
    content = client_product()
    found = read_product(content.write(path)).positions_px(16)
    np.testing.assert_allclose(found, object_pixels(content) + 0.5, atol=1e-6)


def test_a_result_is_drawn_where_it_was_found(path: Path, tmp_path: Path) -> None:
    """[DC-3.6]"""
    content = client_product()
    base = read_product(content.write(path))
    canvas = Canvas(np.full((21, 24), 2j, np.complex64), (5.0, 9.0))
    write_product(base.with_object(canvas, np.ones((2, 16, 16), np.complex64), (0.5, 0.4)), tmp_path / "result.h5")
    result = read_content(tmp_path / "result.h5")
    assert "object" in result.arrays, "no object was written"
    assert result.arrays["object"].shape == (1, 21, 24)
    # pixel [3, 4] of the canvas lies on pixel [8, 13] of the array that positions are counted in
    np.testing.assert_allclose(metres(result, 3, 4), metres(content, 8, 13), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(result.arrays["probe"], np.ones((1, 2, 16, 16)))
    np.testing.assert_array_equal(result.arrays["loss_epochs"], [0, 1])
    np.testing.assert_array_equal(result.arrays["loss_values"], [0.5, 0.4])
    assert len(result.arrays["object_layer_spacing_m"]) == 0
    assert "opr_weights" not in result.arrays
    for name in ("probe_position_indexes", "probe_position_x_m", "probe_position_y_m", "probe_photon_counts"):
        np.testing.assert_array_equal(result.arrays[name], content.arrays[name])
    placed = {"object/center_x_m", "object/center_y_m"}
    assert {name: value for name, value in result.attributes.items() if name not in placed} == {
        name: value for name, value in content.attributes.items() if name not in placed
    }


def _replaced(name: str, put: Callable[[h5py.File], Any]) -> Spoil:
    """Write a sound file and put something else in the place of one of its datasets."""

    def spoil(path: Path) -> None:
        client_product().write(path)
        with h5py.File(path, "r+") as file:
            attributes = dict(file[name].attrs)
            del file[name]
            put(file)
            if file.get(name, getlink=True).__class__ is h5py.HardLink:
                file[name].attrs.update(attributes)

    return spoil


def _content(content: Content) -> Spoil:
    return content.write


def _claim(file: h5py.File, shape: tuple[int, ...], **options: Any) -> None:
    file.create_dataset("object", shape, dtype="c16", chunks=(1, 100, 100), **options)


def _link(path: str) -> Callable[[h5py.File], None]:
    def put(file: h5py.File) -> None:
        with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
            other["object"] = client_product().arrays["object"]
        file["object"] = h5py.ExternalLink("other.h5", "object") if path == "external" else h5py.SoftLink(path)

    return put


def _virtual(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["object"] = client_product().arrays["object"]
    layout = h5py.VirtualLayout((2, 40, 50), "c16")
    layout[:] = h5py.VirtualSource("other.h5", "object", (2, 40, 50), "c16")
    file.create_virtual_dataset("object", layout)


def _raw(file: h5py.File) -> None:
    raw = Path(file.filename).with_name("raw.bin")
    raw.write_bytes(bytes(2 * 40 * 50 * 16))
    file.create_dataset("object", (2, 40, 50), "c16", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])


SOUND = client_product()
HOSTILE: dict[str, tuple[Spoil, str]] = {
    "not HDF5": (lambda path: path.write_text("not a product"), "not a readable HDF5 file"),
    "truncated": (
        lambda path: path.write_bytes(client_product().write(path).read_bytes()[:3000]),
        "not a readable HDF5 file",
    ),
    **{
        f"no {name}": (_content(SOUND.without(name)), f"{name!r} is missing")
        for name in ("object", "probe", "probe_position_indexes", "probe_position_x_m", "probe_position_y_m")
    },
    "no energy": (_content(SOUND.without("photon_energy_eV")), "'photon_energy_eV' is missing"),
    "no distance": (_content(SOUND.without("detector_object_distance_m")), "'detector_object_distance_m' is missing"),
    "no pixel": (_content(SOUND.without("object/pixel_width_m")), "'pixel_width_m' of 'object' is missing"),
    "no centre": (_content(SOUND.without("object/center_x_m")), "'center_x_m' of 'object' is missing"),
    "a group": (_replaced("object", lambda file: file.create_group("object")), "'object' is not a dataset"),
    "flat object": (_content(SOUND.changed(object=np.ones(5, complex))), r"'object' has shape \(5,\)"),
    "empty object": (_content(SOUND.changed(object=np.ones((2, 0, 50), complex))), "'object' has shape"),
    "real object": (_content(SOUND.changed(object=np.ones((2, 40, 50)))), "'object' .* type float64"),
    "text as object": (_content(SOUND.changed(object=[["a"]])), "'object' .* type object"),
    "flat probe": (_content(SOUND.changed(probe=np.ones(16, complex))), r"'probe' has shape \(16,\)"),
    "real probe": (_content(SOUND.changed(probe=np.ones((16, 16)))), "'probe' .* type float64"),
    "layers": (_content(SOUND.changed(object_layer_spacing_m=np.ones(4))), "4 distances between 2 layers"),
    "OPR weights": (_content(SOUND.changed(opr_weights=np.ones((5, 7)))), "7 weights .* 2 OPR modes"),
    "fewer x": (_content(SOUND.changed(probe_position_x_m=np.ones(4))), "5 indexes, 5 rows and 4 columns"),
    "positions in a table": (_content(SOUND.changed(probe_position_x_m=np.ones((5, 2)))), r"shape \(5, 2\)"),
    "broken indexes": (_content(SOUND.changed(probe_position_indexes=np.ones(5))), "type float64"),
    "photons": (_content(SOUND.changed(probe_photon_counts=np.ones(2))), "2 photon counts for 5 positions"),
    "losses": (_content(SOUND.changed(loss_epochs=np.arange(9))), "9 epochs and 3 losses"),
    "NaN object": (_content(SOUND.changed(object=np.full((2, 40, 50), np.nan + 0j))), "'object' contains NaN"),
    "infinite probe": (_content(SOUND.changed(probe=np.full((16, 16), np.inf + 0j))), "'probe' contains NaN"),
    "lost position": (
        _content(SOUND.changed(probe_position_y_m=np.full(5, np.nan))),
        "'probe_position_y_m' contains NaN",
    ),
    "NaN energy": (_content(SOUND.changed(photon_energy_eV=np.nan)), "'photon_energy_eV' is nan"),
    "no pixel size": (_content(SOUND.changed(object__pixel_width_m=0.0)), "pixels of 1e-08 × 0 m"),
    "negative pixel": (_content(SOUND.changed(object__pixel_height_m=-1e-8)), "pixels of -1e-08"),
    "text as number": (_content(SOUND.changed(exposure_time_s="long")), "'exposure_time_s' .* must be one number"),
    "table as number": (_content(SOUND.changed(exposure_time_s=[1.0, 2.0])), "'exposure_time_s' .* must be one number"),
    "number as text": (_content(SOUND.changed(name=5.0)), "'name' .* must be one string"),
    "table as text": (_content(SOUND.changed(name=["a", "b"])), "'name' .* must be one string"),
    "10^12 pixels": (_replaced("object", lambda file: _claim(file, (1, 10**6, 10**6))), "14901 GiB"),
    "4 GiB of nothing": (_replaced("object", lambda file: _claim(file, (1, 2**14, 2**14))), "size of 4 GiB"),
    "soft link": (_replaced("object", _link("/probe")), "'object' is a link"),
    "dangling link": (_replaced("object", _link("/nowhere")), "'object' is a link"),
    "external link": (_replaced("object", _link("external")), "'object' is a link"),
    "virtual": (_replaced("object", _virtual), "'object' .* other files"),
    "raw file": (_replaced("object", _raw), "'object' .* other files"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_line(path: Path, case: str) -> None:
    """[DC-3.7]"""
    spoil, complaint = HOSTILE[case]
    spoil(path)
    with pytest.raises(ScanFileError, match=complaint) as raised:
        read_product(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(ScanFileError, match=r"product\.h5: .*does not exist"):
        read_product(path)


def test_a_place_that_cannot_be_written_is_named(path: Path, tmp_path: Path) -> None:
    product = read_product(client_product().write(path))
    with pytest.raises(OutputError, match=r"new\.h5: cannot be written"):
        write_product(product, path / "new.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["product.h5"]
