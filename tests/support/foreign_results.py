"""One reconstruction written as other programs write theirs, by their published layouts and not by this package.

Every function writes the same object (height, width), probe (mode, N, N) and positions (pattern, 2), the object pixels
(row, column) under patch pixel [N//2, N//2], and returns the path to read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat


@dataclass(frozen=True, eq=False)
class StoredObject:
    """What the files contain; positions are in pixels of the object's array, the origin is that of the scan."""

    pixels: NDArray[np.complex64]
    probe: NDArray[np.complex64]
    positions_px: NDArray[np.float64]
    origin_px: tuple[float, float]
    pixel_m: float

    @property
    def corners_px(self) -> NDArray[np.float64]:
        return self.positions_px - self.probe.shape[-1] // 2


def write_own(stored: StoredObject, folder: Path) -> Path:
    """The folder of a run of this package."""
    place = folder / "run"
    place.mkdir()
    np.savez(place / "object.npz", object=stored.pixels, origin_px=stored.origin_px, pixel_m=stored.pixel_m)
    np.save(place / "probe.npy", stored.probe)
    return place


def write_arrays(stored: StoredObject, folder: Path) -> Path:
    """An NPZ file of arrays without coordinates."""
    path = folder / "arrays.npz"
    np.savez(path, object=stored.pixels, probe=stored.probe)
    return path


def write_array(stored: StoredObject, folder: Path) -> Path:
    """The object alone; the scan has a probe."""
    path = folder / "object.npy"
    np.save(path, stored.pixels)
    return path


def write_product(stored: StoredObject, folder: Path) -> Path:
    """A product of Ptychodus: metres from the middle of the object, to the middle of a patch, (N − 1) / 2."""
    path = folder / "product.h5"
    side = stored.probe.shape[-1]
    middle = (np.array(stored.pixels.shape) - 1) / 2
    metres = (stored.corners_px + (side - 1) / 2 - middle) * stored.pixel_m
    with h5py.File(path, "w") as file:
        file.attrs.update({"name": "x", "comments": "", "detector_object_distance_m": 1.0, "photon_energy_eV": 1e4})
        file["probe_position_indexes"] = np.arange(len(metres))
        file["probe_position_y_m"], file["probe_position_x_m"] = metres.T
        file["probe"], file["object"] = stored.probe[None], stored.pixels[None]
        for name in ("probe", "object"):
            file[name].attrs.update({"pixel_height_m": stored.pixel_m, "pixel_width_m": stored.pixel_m})
        file["object"].attrs.update({"center_x_m": 0.0, "center_y_m": 0.0})
        file["loss_epochs"], file["loss_values"] = np.arange(3), np.array([3.0, 2.0, 1.0])
        file["object_layer_spacing_m"] = np.zeros(0)
    return path


def write_ptyr(stored: StoredObject, folder: Path) -> Path:
    """PtyPy: metres; the coordinates of every pixel beside the object; a view per pattern and probe mode."""
    path = folder / "result.ptyr"
    origin_m = np.array([-3e-6, 5e-6])
    with h5py.File(path, "w") as file:
        file["header/kind"] = np.bytes_("minimal")
        group = file.create_group("content/obj/SscanG00")
        group["data"] = stored.pixels[None]
        indices = np.indices(stored.pixels.shape, np.float64)
        group["grids"] = (indices * stored.pixel_m + origin_m[:, None, None])[:, None]
        file["content/probe/SscanG00/data"] = stored.probe
        metres = stored.positions_px * stored.pixel_m + origin_m
        file["content/positions/SscanG00"] = np.repeat(metres, len(stored.probe), axis=0)
    return path


def write_ptyrad(stored: StoredObject, folder: Path) -> Path:
    """PtyRAD: amplitude and phase in two layers, whole corners of the patches and the rest of the positions."""
    path = folder / "model_iter0020.hdf5"
    corners = np.round(stored.corners_px)
    with h5py.File(path, "w") as file:
        tensors = file.create_group("optimizable_tensors")
        amplitude, phase = np.abs(stored.pixels), np.angle(stored.pixels)
        tensors["obja"] = np.stack([amplitude, np.ones_like(amplitude)])[None]
        tensors["objp"] = np.stack([0.25 * phase, 0.75 * phase])[None]
        tensors["probe"] = stored.probe
        tensors["probe_pos_shifts"] = (stored.corners_px - corners).astype(np.float32)
        file["model_attributes/crop_pos"] = corners.astype(np.int64)
        file["model_attributes/dx"] = stored.pixel_m * 1e10
        file["loss_iters"] = np.array([[1, 0.3], [2, 0.2]])
    return path


def write_shelves_5(stored: StoredObject, folder: Path) -> Path:
    """PtychoShelves, MATLAB 5: modes last, positions (x, y) from the middle of the object."""
    path = folder / "Niter100.mat"
    savemat(path, _make_shelves(stored))
    return path


def write_shelves_7(stored: StoredObject, folder: Path) -> Path:
    """PtychoShelves, MATLAB 7.3: HDF5 after a header, axes in reverse, complex values as pairs."""
    path = folder / "Niter200.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        _write_structure(file, _make_shelves(stored))
        # cells are references to a hidden group
        file["outputs/object"] = np.array([[file["object"].ref]], h5py.ref_dtype)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Tue Jan  6 10:00:00 2026 HDF5 schema 1.00 ."
    with path.open("r+b") as raw:
        raw.write(header.ljust(124) + struct.pack("<HH", 0x0200, 0x4D49))
    return path


def _make_shelves(stored: StoredObject) -> dict[str, Any]:
    side = stored.probe.shape[-1]
    from_middle = stored.corners_px - np.ceil((np.array(stored.pixels.shape) - side) / 2)
    outputs = {"probe_positions": from_middle[:, ::-1], "fourier_error_out": np.array([[3.0], [2.0]])}
    return {
        "object": stored.pixels,
        "probe": np.moveaxis(stored.probe, 0, -1),
        "outputs": outputs,
        "p": {"dx_spec": np.array([[stored.pixel_m, stored.pixel_m]]), "lambda": 1e-10},
    }


def _write_structure(group: h5py.Group, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _write_structure(group.create_group(name), value)
            continue
        array = np.atleast_2d(value).T
        if array.dtype.kind == "c":
            pairs = np.zeros(array.shape, [("real", "f4"), ("imag", "f4")])
            pairs["real"], pairs["imag"] = array.real, array.imag
            array = pairs
        group[name] = array


WRITERS = {
    "ptycho_torch": write_own,
    "an NPZ file": write_arrays,
    "an NPY file": write_array,
    "Ptychodus": write_product,
    "PtyPy": write_ptyr,
    "PtyRAD": write_ptyrad,
    "PtychoShelves 5": write_shelves_5,
    "PtychoShelves 7.3": write_shelves_7,
}
