"""Product files: the client's HDF5 layout of positions, probe, object and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.product import Product as Product
from ptycho_torch.persistence.hdf5 import Hdf5Contents, open_hdf5, write_hdf5

_ENERGY = "photon_energy_eV"
_OLD_ENERGY = "probe_energy_eV"
# numbers that a file may leave out, by the names of `Product`
_NUMBERS = {
    "probe_photon_count": "probe_photon_count",
    "exposure_time_s": "exposure_time_s",
    "mass_attenuation_m2_per_kg": "mass_attenuation_m2_per_kg",
    "focus_distance_m": "focus_object_distance_m",
    "tomography_angle_deg": "tomography_angle_deg",
    "tilt_angle_deg": "tilt_angle_deg",
}


def read_product(path: Path | str) -> Product:
    """Read a product file.

    Raises:
        ScanFileError: the file is missing or damaged, lacks something, or its parts do not fit together.
    """
    with open_hdf5(Path(path)) as contents:
        rows, columns = (contents.array(f"probe_position_{axis}_m", "f", [1]) for axis in "yx")
        indexes = contents.array("probe_position_indexes", "iu", [1])
        if not len(indexes) == len(rows) == len(columns):
            raise contents.fail(
                f"there are {len(indexes)} indexes, {len(rows)} rows and {len(columns)} columns of positions; "
                "as many of each are needed"
            )
        name = contents.text("name")
        pixel_m = _pixel_m(contents, "object")
        product = Product(
            indexes=indexes.astype(np.int64),
            positions_m=np.stack([rows, columns], axis=1).astype(np.float64),
            probe=contents.array("probe", "c", [2, 3, 4]),
            object=contents.array("object", "c", [2, 3]),
            pixel_m=pixel_m,
            centre_m=(contents.number("center_y_m", of="object"), contents.number("center_x_m", of="object")),
            probe_pixel_m=_pixel_m(contents, "probe", pixel_m),
            detector_distance_m=contents.number("detector_object_distance_m"),
            photon_energy_ev=contents.number(_OLD_ENERGY if contents.has(_OLD_ENERGY) else _ENERGY),
            name="Unnamed" if name is None else name,
            comments=contents.text("comments") or "",
            polarization=contents.text("polarization"),
            far_field=bool(contents.number("far_field", 1)),
            position_photons=_optional(contents, "probe_photon_counts", 1),
            opr_weights=_optional(contents, "opr_weights", 2),
            layer_spacing_m=_series(contents, "object_layer_spacing_m"),
            loss_epochs=_series(contents, "loss_epochs").astype(np.int64),
            loss_values=_series(contents, "loss_values", finite=False),
            **{own: contents.number(stored, 0) for own, stored in _NUMBERS.items()},
        )
        _check(contents, product)
    return product


def write_product(product: Product, path: Path) -> None:
    """Write a product file, whole or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    attributes: dict[str, Any] = {stored: getattr(product, own) for own, stored in _NUMBERS.items()}
    attributes |= {
        "name": product.name,
        "comments": product.comments,
        "detector_object_distance_m": product.detector_distance_m,
        _ENERGY: product.photon_energy_ev,
        "far_field": product.far_field,
        "polarization": product.polarization,
    }
    arrays = {
        "probe_position_indexes": product.indexes,
        "probe_position_y_m": product.positions_m[:, 0],
        "probe_position_x_m": product.positions_m[:, 1],
        "probe_photon_counts": product.position_photons,
        "probe": product.probe,
        "opr_weights": product.opr_weights,
        "object": product.object,
        "object_layer_spacing_m": product.layer_spacing_m,
        "loss_epochs": product.loss_epochs,
        "loss_values": product.loss_values,
    }
    with write_hdf5(path) as file:
        file.attrs.update({name: value for name, value in attributes.items() if value is not None})
        for name, array in arrays.items():
            if array is not None:
                file.create_dataset(name, data=array)
        for name, pixel_m in (("object", product.pixel_m), ("probe", product.probe_pixel_m)):
            file[name].attrs.update({"pixel_height_m": pixel_m[0], "pixel_width_m": pixel_m[1]})
        file["object"].attrs.update({"center_y_m": product.centre_m[0], "center_x_m": product.centre_m[1]})


def _pixel_m(
    contents: Hdf5Contents, array: str, default: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float]:
    height = contents.number("pixel_height_m", default[0], of=array)
    width = contents.number("pixel_width_m", default[1], of=array)
    if height <= 0 or width <= 0:
        raise contents.fail(f"{array!r} has pixels of {height:g} × {width:g} m; positive sizes are needed")
    return height, width


def _optional(contents: Hdf5Contents, name: str, axes: int) -> NDArray[np.float64] | None:
    return contents.array(name, "f", [axes]) if contents.has(name) else None


def _series(contents: Hdf5Contents, name: str, *, finite: bool = True) -> NDArray[np.float64]:
    return contents.array(name, "fiu", [1], finite=finite) if contents.has(name) else np.zeros(0)


def _check(contents: Hdf5Contents, product: Product) -> None:
    """Raise ScanFileError where parts do not fit each other."""
    positions, layers = len(product.indexes), 1 if product.object.ndim == 2 else len(product.object)
    modes = len(product.probe) if product.probe.ndim == 4 else 1
    spacings, weights, photons = product.layer_spacing_m, product.opr_weights, product.position_photons
    for name, array in (("object", product.object), ("probe", product.probe)):
        if array.size == 0:
            raise contents.fail(f"{name!r} has shape {array.shape}; at least one pixel is needed")
    if len(spacings) != layers - 1:
        raise contents.fail(f"there are {len(spacings)} distances between {layers} layers of the object")
    if weights is not None and weights.shape[1] != modes:
        raise contents.fail(f"there are {weights.shape[1]} weights at each position for {modes} OPR modes of the probe")
    if photons is not None and len(photons) != positions:
        raise contents.fail(f"there are {len(photons)} photon counts for {positions} positions")
    if len(product.loss_epochs) != len(product.loss_values):
        raise contents.fail(f"there are {len(product.loss_epochs)} epochs and {len(product.loss_values)} losses")
