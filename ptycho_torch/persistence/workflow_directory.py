"""The client's workflow directory: the names in it, and a scan written as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.product import Product, half_pixel
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.persistence.diffraction import Diffraction, write_diffraction
from ptycho_torch.persistence.product import write_product

DIFFRACTION_NAME = "diffraction.h5"
PRODUCT_NAME = "product.h5"
MODEL_NAME = "model.ckpt"

# the circumstances of a measurement that was none: usual ones, from which the distance of the detector follows
PHOTON_ENERGY_EV = 10_000.0
DETECTOR_PIXEL_M = 75e-6
OBJECT_PIXEL_M = 20e-9
_PLANCK_TIMES_LIGHT_EV_M = 1.239841984e-6


def write_workflow_directory(scan: Scan, folder: Path) -> None:
    """Write a scan as `diffraction.h5` and `product.h5`, which holds the true object where there is one.

    What a scan does not know is made up so that it fits together: photons of 10 keV, detector pixels of 75 µm, object
    pixels of 20 nm, and the distance at which a detector of N pixels gives object pixels of that size.

    Args:
        scan: photon counts in whole numbers, and a probe.
        folder: made where it is not there; other files in it are left alone.

    Raises:
        DataError: the counts are not whole numbers, or there is no probe.
        OutputError: it cannot be written there.
    """
    product, patterns = _product(scan), _whole(scan)
    indexes = np.arange(len(scan))
    pixel_m = (DETECTOR_PIXEL_M, DETECTOR_PIXEL_M)
    write_diffraction(
        Diffraction(patterns=patterns, indexes=indexes, bad_pixels=~scan.good_pixels, pixel_m=pixel_m),
        folder / DIFFRACTION_NAME,
    )
    write_product(product, folder / PRODUCT_NAME)


def _whole(scan: Scan) -> NDArray[Any]:
    patterns: NDArray[Any] = scan.counts.astype(np.min_scalar_type(int(scan.counts.max())))
    if not np.array_equal(patterns, scan.counts):
        raise DataError(
            f"{scan.name}: its counts are not whole numbers; {DIFFRACTION_NAME} is for counts of a detector"
        )
    return patterns


def _product(scan: Scan) -> Product:
    if scan.probe is None:
        raise DataError(f"{scan.name}: there is no probe; {PRODUCT_NAME} cannot be without one")
    size = OBJECT_PIXEL_M if scan.pixel_m is None else scan.pixel_m
    lowest, highest = scan.positions_px.min(axis=0), scan.positions_px.max(axis=0)
    # metres are counted from the middle of the scan, where the client lets its own objects lie
    from_middle = scan.positions_px - (lowest + highest) / 2
    centre_m = np.zeros(2)
    if scan.truth is None:
        image = np.ones(np.ceil(highest - lowest + scan.patch_px).astype(int), np.complex64)
    else:
        image = scan.truth.pixels
        middle = np.add(scan.truth.origin_px, (np.array(image.shape) - 1) / 2) + half_pixel(scan.patch_px)
        centre_m = (middle - (lowest + highest) / 2) * size
    row, column = centre_m.tolist()
    return Product(
        name=scan.name,
        indexes=np.arange(len(scan)),
        positions_m=from_middle * size,
        probe=scan.probe[None],
        object=image[None],
        pixel_m=(size, size),
        centre_m=(row, column),
        probe_pixel_m=(size, size),
        photon_energy_ev=PHOTON_ENERGY_EV,
        detector_distance_m=size * scan.patch_px * DETECTOR_PIXEL_M * PHOTON_ENERGY_EV / _PLANCK_TIMES_LIGHT_EV_M,
        probe_photon_count=scan.photons_per_pattern,
    )
