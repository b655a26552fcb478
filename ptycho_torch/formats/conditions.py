"""Conditions of a measurement, completed for formats that require all of them."""

from __future__ import annotations

import logging
from typing import NamedTuple

from ptycho_torch.data.geometry import photon_wavelength_m
from ptycho_torch.data.scan import Scan

_log = logging.getLogger(__name__)

# usual for X-rays; with them the distance follows from the size of an object pixel
PHOTON_ENERGY_EV = 10_000.0
DETECTOR_PIXEL_M = 75e-6
OBJECT_PIXEL_M = 20e-9


class CompleteGeometry(NamedTuple):
    """A geometry of which everything is known; see `Geometry`."""

    wavelength_m: float
    distance_m: float
    detector_pixel_m: float
    object_pixel_m: float


def complete_geometry(scan: Scan) -> CompleteGeometry:
    """Complete the geometry of a scan so that its object pixels keep their size.

    Where they are unknown, photons have 10 keV, detector pixels 75 µm and object pixels 20 nm.
    """
    known = scan.geometry
    pixel = OBJECT_PIXEL_M if scan.pixel_m is None else scan.pixel_m
    wavelength = known.wavelength_m or photon_wavelength_m(PHOTON_ENERGY_EV)
    detector_pixel = known.detector_pixel_m or DETECTOR_PIXEL_M
    assumed = [
        text
        for is_known, text in (
            (known.wavelength_m, "a photon energy of 10 keV"),
            (known.detector_pixel_m, "detector pixels of 75 µm"),
            (scan.pixel_m, "object pixels of 20 nm"),
        )
        if not is_known
    ]
    if assumed:
        _log.info("%s: written with %s, since the scan does not specify it", scan.name, ", ".join(assumed))
    return CompleteGeometry(
        wavelength_m=wavelength,
        detector_pixel_m=detector_pixel,
        distance_m=pixel * scan.patch_px * detector_pixel / wavelength,
        object_pixel_m=pixel,
    )
