"""A scan as Ptychodus has it: simulated by its own forward model, described by its own classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.object import Object, compute_object_geometry
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.api.simulate.diffraction import generate_diffraction_data

from ptycho_torch.simulate.objects import dead_leaves, make_transmission
from ptycho_torch.simulate.positions import raster
from ptycho_torch.simulate.probes import gaussian, zone_plate

PIXEL_M = 10e-9
METADATA = ProductMetadata(
    name="simulated",
    comments="",
    detector_distance_m=1.0,
    photon_energy_eV=8000.0,
    probe_photon_count=1e6,
    exposure_time_s=1.0,
    mass_attenuation_m2_per_kg=0.0,
    tomography_angle_deg=0.0,
)


@dataclass(frozen=True)
class ClientScan:
    """A simulated scan.

    Attributes:
        truth: product with the true object.
        start: the same product with an object of ones, what a user begins with.
        data: patterns.
    """

    truth: Product
    start: Product
    data: AssembledDiffractionData

    @property
    def bad_pixels(self) -> NDArray[np.bool_]:
        """Mask of the detector."""
        return np.asarray(self.data.get_bad_pixels())

    @property
    def reconstruct_input(self) -> ReconstructInput:
        """What the client hands to a reconstructor."""
        return ReconstructInput(self.data.get_patterns(), self.bad_pixels, self.start)

    @property
    def supervised_input(self) -> ReconstructInput:
        """The same with the true object, from which labels are cut."""
        return ReconstructInput(self.data.get_patterns(), self.bad_pixels, self.truth)


def simulate_client_scan(
    *,
    extent_px: float = 122.0,
    step_px: float = 8.0,
    patch_px: int = 64,
    photons: float = 1e6,
    modes: int = 1,
    bad_pixels: int = 0,
    seed: int = 4,
) -> ClientScan:
    """A jittered raster over an object without symmetry, off the origin; the middle of the scan is no whole pixel."""
    rng = np.random.default_rng(seed)
    positions_px = raster(extent_px, step_px, rng) + np.array([310.3, -120.6])
    points = ProbePositionSequence(
        [ProbePosition(number, x * PIXEL_M, y * PIXEL_M) for number, (y, x) in enumerate(positions_px.tolist())]
    )
    pixel = PixelGeometry(width_m=PIXEL_M, height_m=PIXEL_M)
    probes = ProbeSequence(array=_probe(patch_px, modes).astype(complex), opr_weights=None, pixel_geometry=pixel)
    geometry = compute_object_geometry(points, probes.get_geometry())
    specimen = make_transmission(dead_leaves((geometry.height_px, geometry.width_px), rng)).astype(complex)
    truth = Product(METADATA, points, probes, Object(specimen, pixel, geometry.get_center()), [])
    # the client's propagation has units of its own: the probe is scaled so that the dose is the one asked for
    unscaled = generate_diffraction_data(truth).get_patterns().sum(axis=(1, 2)).mean()
    scaled = probes.get_array() * (photons / unscaled) ** 0.5
    bright = ProbeSequence(array=scaled, opr_weights=None, pixel_geometry=pixel)
    data = generate_diffraction_data(replace(truth, probes=bright), rng)
    start = with_object(truth, np.ones_like(specimen))
    mask = np.zeros((patch_px, patch_px), bool)
    mask.flat[rng.choice(mask.size, bad_pixels, replace=False)] = True
    patterns = np.where(mask, 0, data.get_patterns()).astype(np.uint32)
    assembled = AssembledDiffractionData(np.arange(len(points)), patterns, data.get_pixel_geometry(), mask)
    return ClientScan(truth, start, assembled)


def _probe(patch_px: int, modes: int) -> NDArray[Any]:
    first = zone_plate(patch_px, 20.0) if patch_px >= 64 else gaussian(patch_px, 8.0)
    shapes = [first[0], 0.5 * np.roll(first[0], 3, axis=1), 0.3 * np.roll(first[0], -3, axis=0)][:modes]
    stacked = np.array(shapes)
    return stacked / np.sqrt(np.sum(np.abs(stacked) ** 2))


def with_object(product: Product, image: NDArray[Any]) -> Product:
    """A product with another object in the same place."""
    old = product.object_
    return replace(product, object_=Object(image, old.get_pixel_geometry(), old.get_center()))
