"""The client's two HDF5 files with plain h5py, as specs/data_contracts.md describes them, and its map of positions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


@dataclass
class Content:
    """What a file holds.

    Attributes:
        arrays: datasets by name.
        attributes: attributes by name; those of a dataset have its name and a slash in front.
    """

    arrays: dict[str, Any]
    attributes: dict[str, Any]

    def without(self, *names: str) -> Content:
        """The same without some attributes, or datasets with theirs."""
        return Content(
            {name: value for name, value in self.arrays.items() if name not in names},
            {name: value for name, value in self.attributes.items() if not {name, name.partition("/")[0]} & {*names}},
        )

    def changed(self, **values: Any) -> Content:
        """The same with other values; `__` in a keyword stands for the slash."""
        arrays, attributes = dict(self.arrays), dict(self.attributes)
        for keyword, value in values.items():
            name = keyword.replace("__", "/")
            (arrays if name in arrays else attributes)[name] = value
        return Content(arrays, attributes)

    def write(self, path: Path) -> Path:
        """Write the file."""
        with h5py.File(path, "w") as file:
            for name, value in self.arrays.items():
                file.create_dataset(name, data=value)
            for name, value in self.attributes.items():
                owner, _, key = name.rpartition("/")
                file[f"/{owner}"].attrs[key] = value
        return path


def read_content(path: Path) -> Content:
    """Everything in a file."""
    with h5py.File(path, "r") as file:
        arrays = {name: dataset[()] for name, dataset in file.items()}
        attributes = dict(file.attrs)
        for name, dataset in file.items():
            attributes |= {f"{name}/{key}": value for key, value in dataset.attrs.items()}
    return Content(arrays, attributes)


def assert_same(found: Content, expected: Content) -> None:
    """Hold names, types and values of two files against each other."""
    assert set(found.arrays) == set(expected.arrays), "other datasets"
    assert found.attributes == expected.attributes, "other attributes"
    for name, value in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)
        # the client writes an empty list as floats, whatever it would hold
        assert not np.size(value) or found.arrays[name].dtype.kind == np.asarray(value).dtype.kind, name


def client_product() -> Content:
    """A product of five positions with every field away from its default; pixels are not square."""
    rng = np.random.default_rng(8)

    def wave(*shape: int) -> NDArray[Any]:
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    return Content(
        {
            "object": wave(2, 40, 50),
            "object_layer_spacing_m": np.array([3e-6]),
            "probe": wave(2, 3, 16, 16),
            "opr_weights": rng.normal(size=(5, 2)),
            "probe_position_indexes": np.array([3, 4, 7, 8, 11]),
            "probe_position_x_m": 1e-6 + 2e-8 * np.array([-4.0, 0.25, 4.5, -3.75, 0.0]),
            "probe_position_y_m": -2e-6 + 1e-8 * np.array([-2.5, -2.0, -2.25, 6.0, 6.5]),
            "probe_photon_counts": np.array([1e5, 2e5, 3e5, 4e5, 5e5]),
            "loss_epochs": np.array([0, 1, 5]),
            "loss_values": np.array([0.5, 0.25, 0.125]),
        },
        {
            "name": "Prüfling 7",
            "comments": "first line\nsecond line",
            "detector_object_distance_m": 1.5,
            "focus_object_distance_m": 2e-3,
            "photon_energy_eV": 9.1e3,
            "probe_photon_count": 3.5e5,
            "exposure_time_s": 0.02,
            "mass_attenuation_m2_per_kg": 0.75,
            "tomography_angle_deg": 30.0,
            "tilt_angle_deg": -4.0,
            "polarization": "left_circular",
            "far_field": np.bool_(True),
            "object/pixel_width_m": 2e-8,
            "object/pixel_height_m": 1e-8,
            "object/center_x_m": 1e-6,
            "object/center_y_m": -2e-6,
            "probe/pixel_width_m": 2.5e-8,
            "probe/pixel_height_m": 1.5e-8,
        },
    )


def client_diffraction(patterns: NDArray[Any], indexes: NDArray[np.int64]) -> Content:
    """A file of patterns; the detector's pixels are not square."""
    return Content(
        {
            "patterns": patterns,
            "indexes": indexes,
            "bad_pixels": np.zeros(patterns.shape[1:], bool),
        },
        {"patterns/detector_pixel_width_m": 55e-6, "patterns/detector_pixel_height_m": 75e-6},
    )


def object_pixels(content: Content) -> NDArray[np.float64]:
    """Where the client draws the probe's middle: (position, 2) row and column in pixels of the object's array."""
    found = []
    for axis, name, side in ((-2, "y", "height"), (-1, "x", "width")):
        middle = (content.arrays["object"].shape[axis] - 1) / 2
        centre, pixel = (content.attributes[f"object/{key}_m"] for key in (f"center_{name}", f"pixel_{side}"))
        found.append((content.arrays[f"probe_position_{name}_m"] - centre) / pixel + middle)
    return np.stack(found, axis=1)


def metres(content: Content, row: float, column: float) -> tuple[float, float]:
    """Where the client draws a pixel of the object's array: (y, x) in metres."""
    place = []
    for axis, name, side, pixel in ((-2, "y", "height", row), (-1, "x", "width", column)):
        middle = (content.arrays["object"].shape[axis] - 1) / 2
        size = content.attributes[f"object/pixel_{side}_m"]
        place.append(float(content.attributes[f"object/center_{name}_m"] + size * (pixel - middle)))
    return place[0], place[1]
