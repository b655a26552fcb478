"""Geometry of a measurement: wavelength, distance and detector pixel give the side of an object pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

# CODATA 2022, exact
_PLANCK_J_S = 6.62607015e-34
_LIGHT_M_PER_S = 299_792_458.0
ELECTRON_VOLT_J = 1.602176634e-19
# rest energy of the electron, CODATA 2022
_ELECTRON_REST_EV = 510_998.95069
PLANCK_TIMES_LIGHT_EV_M = _PLANCK_J_S * _LIGHT_M_PER_S / ELECTRON_VOLT_J


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a file or the settings specify of the geometry; None where it is unknown.

    Attributes:
        wavelength_m: wavelength of the photons or electrons.
        distance_m: from the sample to the detector.
        detector_pixel_m: side of a detector pixel.
        detector_pixel_rad: angle that a detector pixel covers, instead of the two lengths.
        object_pixel_m: side of an object pixel, instead of all others.
    """

    wavelength_m: float | None = None
    distance_m: float | None = None
    detector_pixel_m: float | None = None
    detector_pixel_rad: float | None = None
    object_pixel_m: float | None = None

    def find_object_pixel_m(self, side_px: int) -> float | None:
        """Side of an object pixel under patterns of `side_px` detector pixels; None if it is unknown.

        In the far field a detector pixel of angle α is conjugate to a field of view of λ / α.
        """
        if self.object_pixel_m is not None:
            return self.object_pixel_m
        angle = self.detector_pixel_rad
        if angle is None and self.detector_pixel_m and self.distance_m:
            angle = self.detector_pixel_m / self.distance_m
        if not angle or not self.wavelength_m:
            return None
        return self.wavelength_m / (side_px * angle)

    def is_near_field(self, side_px: int, step_m: float) -> bool:
        """Whether the detector shows the sample's shadow: far-field patterns of this geometry cannot exist.

        The shadow of the sample moves by step / pixel on the detector. If that is more than a pixel, the beam spreads
        too little between sample and detector; the field of view of a far-field pattern, λ z / p, is then narrower than
        the detector itself, although it would have to contain the beam.

        Args:
            side_px: side of the detector in pixels.
            step_m: distance between neighbouring positions.
        """
        if not (self.wavelength_m and self.distance_m and self.detector_pixel_m):
            return False
        field_of_view_m = self.wavelength_m * self.distance_m / self.detector_pixel_m
        return step_m > self.detector_pixel_m and field_of_view_m < side_px * self.detector_pixel_m


def photon_wavelength_m(energy_ev: float) -> float:
    """Wavelength of photons, h c / E."""
    return PLANCK_TIMES_LIGHT_EV_M / energy_ev


def photon_energy_ev(wavelength_m: float) -> float:
    """Energy of photons, h c / λ."""
    return PLANCK_TIMES_LIGHT_EV_M / wavelength_m


def electron_wavelength_m(energy_ev: float) -> float:
    """Relativistic wavelength of electrons accelerated to an energy, h c / √(E (E + 2 m c²))."""
    return PLANCK_TIMES_LIGHT_EV_M / math.sqrt(energy_ev * (energy_ev + 2 * _ELECTRON_REST_EV))
