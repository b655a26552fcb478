"""Product: what a reconstruction program keeps beside the patterns, as the client's files mean it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas


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

    @property
    def _middle_px(self) -> NDArray[np.float64]:
        return (np.array(self.object.shape[-2:]) - 1) / 2


def half_pixel(patch_px: int) -> float:
    """How far pixel N//2 of an array lies behind its middle, (N − 1) / 2."""
    return patch_px // 2 - (patch_px - 1) / 2
