"""Product files: the client's HDF5 layout of positions, probe, object and metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.hdf5 import Hdf5Contents, open_hdf5, write_hdf5

PRODUCT_NAME = "product.h5"
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
    with open_hdf5(Path(path), ScanFileError) as contents:
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """Positions, probe, object and the circumstances of a measurement; lengths in metres, pairs are (row, column).

    Attributes:
        indexes: (position,) numbers by which positions and patterns find each other.
        positions_m: (position, 2) where the middle of the probe's array, (N − 1) / 2, was.
        probe: (h, w), (mode, h, w) or (OPR mode, mode, h, w) complex.
        object: (h, w) or (layer, h, w) complex.
        pixel_m: height and width of an object pixel.
        centre_m: place of the middle of the object's array, (size − 1) / 2.
        probe_pixel_m: height and width of a probe pixel.
        detector_distance_m: from the sample to the detector.
        photon_energy_ev: energy of the photons.
        name: what the sample is called.
        comments: anything else.
        probe_photon_count: photons of the probe, 0 where unknown.
        exposure_time_s: time of a pattern, 0 where unknown.
        mass_attenuation_m2_per_kg: of the sample, 0 where unknown.
        focus_distance_m: from the focus to the sample.
        tomography_angle_deg: turn of the sample about the axis of tomography.
        tilt_angle_deg: tilt of the sample.
        polarization: the client's word for the beam's polarization, if it has one.
        far_field: whether the detector records the far field.
        position_photons: (position,) photons at each position, where they were measured.
        opr_weights: (position, OPR mode), where the probe varies.
        layer_spacing_m: distances between the layers of the object, one fewer than layers.
        loss_epochs: (entry,) epochs of the losses.
        loss_values: (entry,) losses.
    """

    indexes: NDArray[np.int64]
    positions_m: NDArray[np.float64]
    probe: NDArray[Any]
    object: NDArray[Any]
    pixel_m: tuple[float, float]
    centre_m: tuple[float, float]
    probe_pixel_m: tuple[float, float]
    detector_distance_m: float
    photon_energy_ev: float
    name: str = "Unnamed"
    comments: str = ""
    probe_photon_count: float = 0.0
    exposure_time_s: float = 0.0
    mass_attenuation_m2_per_kg: float = 0.0
    focus_distance_m: float = 0.0
    tomography_angle_deg: float = 0.0
    tilt_angle_deg: float = 0.0
    polarization: str | None = None
    far_field: bool = True
    position_photons: NDArray[np.float64] | None = None
    opr_weights: NDArray[Any] | None = None
    layer_spacing_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    loss_epochs: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    loss_values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def positions_px(self, patch_px: int) -> NDArray[np.float64]:
        """Positions (position, 2) of patch pixel [N//2, N//2] in pixels of the object's array.

        The client puts the middle of an array, (N − 1) / 2, at a position: for even N pixel N//2 lies half a pixel on.
        """
        return (self.positions_m - self.centre_m) / self.pixel_m + self._middle_px + half_pixel(patch_px)

    def with_object(self, canvas: Canvas, probe: NDArray[np.complex64], losses: Sequence[float] = ()) -> Product:
        """The same measurement with another result.

        Args:
            canvas: the object, placed in pixels of this product's object; it is drawn where it lies there.
            probe: (mode, h, w) the probe that belongs to it; it no longer varies from position to position.
            losses: one value an epoch.
        """
        moved_px = np.add(canvas.origin_px, (np.array(canvas.pixels.shape) - 1) / 2) - self._middle_px
        row, column = (self.centre_m + moved_px * self.pixel_m).tolist()
        return replace(
            self,
            object=canvas.pixels[None],
            centre_m=(row, column),
            layer_spacing_m=np.zeros(0),
            probe=probe[None],
            opr_weights=None,
            loss_epochs=np.arange(len(losses)),
            loss_values=np.array(losses, np.float64),
        )

    def write_result(
        self, folder: Path, canvas: Canvas, probe: NDArray[np.complex64], losses: Sequence[float]
    ) -> dict[str, Path]:
        """Write a result as a product of the same measurement into a folder."""
        path = folder / PRODUCT_NAME
        write_product(self.with_object(canvas, probe, losses), path)
        return {"product": path}

    @property
    def _middle_px(self) -> NDArray[np.float64]:
        return (np.array(self.object.shape[-2:]) - 1) / 2


def half_pixel(patch_px: int) -> float:
    """How far pixel N//2 of an array lies behind its middle, (N − 1) / 2."""
    return patch_px // 2 - (patch_px - 1) / 2
