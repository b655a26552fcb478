"""Product files: the client's HDF5 layout of positions, probe, object and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.hdf5 import Hdf5Contents, open_hdf5, store_checked, write_hdf5

PRODUCT_NAME = "product.h5"
_TEXTS = ("name", "comments", "polarization")
# attributes and datasets that a file may lack
DEFAULT_ATTRIBUTES: dict[str, str | float | bool] = {
    "name": "Unnamed",
    "comments": "",
    "far_field": True,
    "probe_photon_count": 0.0,
    "exposure_time_s": 0.0,
    "mass_attenuation_m2_per_kg": 0.0,
    "focus_object_distance_m": 0.0,
    "tomography_angle_deg": 0.0,
    "tilt_angle_deg": 0.0,
}
DEFAULT_SERIES = {
    "object_layer_spacing_m": np.zeros(0),
    "loss_epochs": np.zeros(0, np.int64),
    "loss_values": np.zeros(0),
}
# kinds of types and number of axes of the datasets that are only kept
_SERIES = {
    "object_layer_spacing_m": ("fiu", 1),
    "loss_epochs": ("fiu", 1),
    "loss_values": ("fiu", 1),
    "probe_photon_counts": ("f", 1),
    "opr_weights": ("f", 2),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """Positions, probe, object and metadata of a measurement; lengths in metres, pairs are (row, column).

    Attributes:
        indexes: (position,) numbers that assign positions to patterns.
        positions_m: (position, 2) of the middle of the probe's array, (N − 1) / 2.
        probe: (h, w), (mode, h, w) or (OPR mode, mode, h, w) complex.
        object: (h, w) or (layer, h, w) complex.
        pixel_m: height and width of an object pixel.
        centre_m: position of the middle of the object's array, (size − 1) / 2.
        probe_pixel_m: height and width of a probe pixel.
        attributes: all attributes of the file, by their names there.
        series: all other datasets by their names there: `probe_photon_counts` (position,), `opr_weights` (position, OPR
            mode), `object_layer_spacing_m` (layers − 1,), `loss_epochs` and `loss_values` (entry,).
    """

    indexes: NDArray[np.int64]
    positions_m: NDArray[np.float64]
    probe: NDArray[Any]
    object: NDArray[Any]
    pixel_m: tuple[float, float]
    centre_m: tuple[float, float]
    probe_pixel_m: tuple[float, float]
    attributes: Mapping[str, str | float | bool]
    series: Mapping[str, NDArray[Any]]

    def positions_px(self, patch_px: int) -> NDArray[np.float64]:
        """Positions (position, 2) of patch pixel [N//2, N//2] in pixels of the object's array.

        In the file they are those of the middle of a patch, (N − 1) / 2, half a pixel before pixel N//2 if N is even.
        """
        return (self.positions_m - self.centre_m) / self.pixel_m + self._middle_px + half_pixel(patch_px)

    def with_object(self, canvas: Canvas, probe: NDArray[np.complex64], losses: Sequence[float] = ()) -> Product:
        """Replace the object, the probe and the losses.

        Args:
            canvas: the object, with its origin in pixels of this product's object.
            probe: (mode, h, w) probe, the same at all positions.
            losses: one value per epoch.
        """
        moved_px = np.add(canvas.origin_px, (np.array(canvas.pixels.shape) - 1) / 2) - self._middle_px
        row, column = (self.centre_m + moved_px * self.pixel_m).tolist()
        return replace(
            self,
            object=canvas.pixels[None],
            centre_m=(row, column),
            probe=probe[None],
            series={name: array for name, array in self.series.items() if name == "probe_photon_counts"}
            | DEFAULT_SERIES
            | {"loss_epochs": np.arange(len(losses)), "loss_values": np.array(losses, np.float64)},
        )

    def with_moved_positions(
        self, given_px: NDArray[np.float64], refined_px: NDArray[np.float64], patch_px: int
    ) -> Product:
        """Move every position as the nearest pattern was moved, from given to refined positions (pattern, 2).

        There may be several positions of one pattern, or positions without a pattern.
        """
        nearest = cKDTree(given_px).query(self.positions_px(patch_px))[1]
        moved_px = (refined_px - given_px)[nearest]
        return replace(self, positions_m=self.positions_m + moved_px * self.pixel_m)

    def write_result(
        self,
        folder: Path,
        canvas: Canvas,
        probe: NDArray[np.complex64],
        losses: Sequence[float],
        *,
        given_px: NDArray[np.float64],
        refined_px: NDArray[np.float64],
    ) -> dict[str, Path]:
        """Write a result as a product of the same measurement to a folder, with the refined positions."""
        path = folder / PRODUCT_NAME
        moved = self.with_moved_positions(given_px, refined_px, probe.shape[-1])
        write_product(moved.with_object(canvas, probe, losses), path)
        return {"product": path}

    @property
    def _middle_px(self) -> NDArray[np.float64]:
        return (np.array(self.object.shape[-2:]) - 1) / 2


def read_product(path: Path | str) -> Product:
    """Read a product file.

    Raises:
        ScanFileError: the file is missing or damaged, lacks something, or its parts do not fit together.
    """
    with open_hdf5(Path(path), ScanFileError) as contents:
        rows, columns = (contents.read_array(f"probe_position_{axis}_m", "f", [1]) for axis in "yx")
        indexes = contents.read_array("probe_position_indexes", "iu", [1])
        if not len(indexes) == len(rows) == len(columns):
            raise contents.make_error(
                f"there are {len(indexes)} indexes, {len(rows)} rows and {len(columns)} columns of positions; their "
                "numbers must be equal"
            )
        pixel_m = _read_pixel_m(contents, "object")
        product = Product(
            indexes=indexes.astype(np.int64),
            positions_m=np.stack([rows, columns], axis=1).astype(np.float64),
            probe=contents.read_array("probe", "c", [2, 3, 4]),
            object=contents.read_array("object", "c", [2, 3]),
            pixel_m=pixel_m,
            centre_m=(contents.read_number("center_y_m", of="object"), contents.read_number("center_x_m", of="object")),
            probe_pixel_m=_read_pixel_m(contents, "probe", pixel_m),
            attributes=_read_attributes(contents),
            series=DEFAULT_SERIES
            | {
                name: contents.read_array(name, kinds, [axes], finite=name != "loss_values")
                for name, (kinds, axes) in _SERIES.items()
                if contents.has_array(name)
            },
        )
        problem = _find_mismatch(product)
        if problem:
            raise contents.make_error(problem)
    return product


def write_product(product: Product, path: Path) -> None:
    """Write a product file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_hdf5(path) as file:
        file.attrs.update(product.attributes)
        for name, array in product.series.items():
            store_checked(file, name, array)
        for name, array in (
            ("probe_position_indexes", product.indexes),
            ("probe", product.probe),
            ("object", product.object),
            ("probe_position_y_m", product.positions_m[:, 0]),
            ("probe_position_x_m", product.positions_m[:, 1]),
        ):
            store_checked(file, name, array)
        for name, pixel_m in (("object", product.pixel_m), ("probe", product.probe_pixel_m)):
            file[name].attrs.update({"pixel_height_m": pixel_m[0], "pixel_width_m": pixel_m[1]})
        file["object"].attrs.update({"center_y_m": product.centre_m[0], "center_x_m": product.centre_m[1]})


def half_pixel(patch_px: int) -> float:
    """Distance from the middle of an array, (N − 1) / 2, to pixel N//2."""
    return patch_px // 2 - (patch_px - 1) / 2


def _read_attributes(contents: Hdf5Contents) -> dict[str, str | float | bool]:
    attributes = dict(DEFAULT_ATTRIBUTES)
    for name in (*DEFAULT_ATTRIBUTES, "polarization"):
        if contents.has_attribute(name):
            attributes[name] = contents.read_text(name) if name in _TEXTS else contents.read_number(name)
    attributes["far_field"] = bool(attributes["far_field"])
    attributes["detector_object_distance_m"] = contents.read_number("detector_object_distance_m")
    old_name, name = "probe_energy_eV", "photon_energy_eV"
    attributes[name] = contents.read_number(old_name if contents.has_attribute(old_name) else name)
    return attributes


def _read_pixel_m(
    contents: Hdf5Contents, array: str, default: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float]:
    height = contents.read_number("pixel_height_m", default[0], of=array)
    width = contents.read_number("pixel_width_m", default[1], of=array)
    if height <= 0 or width <= 0:
        raise contents.make_error(f"{array!r} has pixels of {height:g} × {width:g} m; the sizes must be above 0")
    return height, width


def _find_mismatch(product: Product) -> str | None:
    """Find an array that is empty or does not fit another one; None if all fit."""
    for name, array in (("object", product.object), ("probe", product.probe)):
        if array.size == 0:
            return f"{name!r} has shape {array.shape}; it must have at least one pixel"
    series, positions = product.series, len(product.indexes)
    spacings, layers = len(series["object_layer_spacing_m"]), 1 if product.object.ndim == 2 else len(product.object)
    if spacings != layers - 1:
        return f"there are {spacings} distances between {layers} layers of the object"
    modes = len(product.probe) if product.probe.ndim == 4 else 1
    weights = series["opr_weights"].shape[1] if "opr_weights" in series else modes
    if weights != modes:
        return f"there are {weights} weights per position for {modes} OPR modes of the probe"
    photons = len(series.get("probe_photon_counts", product.indexes))
    if photons != positions:
        return f"there are {photons} photon counts for {positions} positions"
    epochs, losses = len(series["loss_epochs"]), len(series["loss_values"])
    return None if epochs == losses else f"there are {epochs} epochs and {losses} losses"
