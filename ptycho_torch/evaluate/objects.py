"""How far a reconstructed object is from the true one, up to the ambiguities of ptychography.

These are an overall complex factor and, if the probe was refined, a linear phase ramp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.physics.propagate import propagate_wrapped
from ptycho_torch.physics.ramp import make_phase_ramp, measure_phase_slopes, remove_phase_ramp

Image = NDArray[np.complexfloating]
Mask = NDArray[np.bool_]

_FLAT = 1e-6
_SLOPE_STEPS = 16
_NEWTON_STEPS = 4


@dataclass(frozen=True)
class PhasePlane:
    """The phase that pictures of an object lack: offset + row · row_rad + column · column_rad.

    Patterns determine neither of the three if the probe is refined.

    Attributes:
        offset_rad: at pixel [0, 0].
        row_rad: from a row to the next.
        column_rad: from a column to the next.
    """

    offset_rad: float
    row_rad: float
    column_rad: float

    def remove_from(self, image: Image) -> Image:
        """The image, in double precision, without this phase."""
        height, width = image.shape
        ramp = make_phase_ramp((height, width), (-self.row_rad, -self.column_rad), dtype=torch.complex128).numpy()
        return image * ramp * np.exp(-1j * self.offset_rad)

    def to_array(self) -> NDArray[np.float64]:
        """Offset, row and column, as `object.npz` contains them."""
        return np.array([self.offset_rad, self.row_rad, self.column_rad])


def find_phase_plane(image: Image, mask: Mask) -> PhasePlane:
    """Find the ramp of an object over the mask, weighted by |O|², and the phase of its mean without it."""
    slopes = measure_phase_slopes(torch.from_numpy(np.where(mask, image, 0).astype(np.complex128)))
    without = PhasePlane(0.0, *slopes).remove_from(image)
    return PhasePlane(float(np.angle(without[mask].mean())), *slopes)


def complex_error(image: Image, truth: Image, mask: Mask) -> float:
    """Relative error ‖O − s·Ô‖ / ‖O‖ over the mask after the best complex factor s."""
    return float(np.linalg.norm(truth[mask] - match_factor(image, truth, mask)[mask]) / np.linalg.norm(truth[mask]))


def complex_correlation(image: Image, truth: Image, mask: Mask) -> float:
    """|⟨Ô, O⟩| / (‖Ô‖·‖O‖) of the deviations from each mean over the mask; 1 is perfect."""
    first, second = image[mask] - image[mask].mean(), truth[mask] - truth[mask].mean()
    return float(abs(np.vdot(first, second)) / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-30))


def phase_correlation(image: Image, truth: Image, mask: Mask) -> float:
    """Pearson correlation of the two phases over the mask, overall phase and phase ramp removed."""
    aligned = match_factor(remove_ramp(image, truth, mask), truth, mask)
    # phases relative to that of the mean transmission do not wrap
    reference = truth[mask].mean()
    return _correlation(np.angle(aligned[mask] / reference), np.angle(truth[mask] / reference))


def amplitude_correlation(image: Image, truth: Image, mask: Mask) -> float:
    """Pearson correlation of the two amplitudes over the mask."""
    return _correlation(np.abs(image[mask]), np.abs(truth[mask]))


def _correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Pearson correlation; 0 if one of the two is constant down to rounding."""
    deviations = [values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second)]
    sizes = [float(np.linalg.norm(values)) for values in deviations]
    if min(sizes) < _FLAT * first.size**0.5:
        return 0.0
    return float(np.dot(*deviations) / (sizes[0] * sizes[1]))


def match_factor(image: Image, truth: Image, mask: Mask) -> Image:
    """The image times the complex factor that brings it closest to the truth over the mask."""
    power = np.vdot(image[mask], image[mask])
    return image * (np.vdot(image[mask], truth[mask]) / power if power else 0)


def remove_ramp(image: Image, reference: Image, mask: Mask) -> Image:
    """The image, in double precision, without the ramp that keeps it from the reference over the mask.

    It is the ramp after whose removal `complex_error` is least.
    """
    slopes = _find_slopes(np.where(mask, image * reference.conj(), 0).astype(np.complex128))
    result: Image = remove_phase_ramp(torch.from_numpy(image.astype(np.complex128)), slopes).numpy()
    return result


def _find_slopes(ratio: NDArray[np.complex128]) -> tuple[float, float]:
    """The slopes, in radians per pixel, of the ramp that correlates best with an array.

    Steps from pixel to pixel would mistake the edges of two objects that lie a fraction of a pixel apart for slopes.
    The strongest frequency of the array is improved by steps that never lower the correlation: its cosine is at least
    the parabola with the steepest curvature.
    """
    peak = np.unravel_index(int(propagate_wrapped(torch.from_numpy(ratio)).abs().argmax()), ratio.shape)
    slopes = np.array([2 * np.pi * np.fft.fftfreq(length)[at] for length, at in zip(ratio.shape, peak, strict=True)])
    weight = np.abs(ratio)
    rows, columns = (
        np.arange(len(along)) - (along @ np.arange(len(along))) / max(along.sum(), np.finfo(float).tiny)
        for along in (weight.sum(1), weight.sum(0))
    )
    mixed = rows @ weight @ columns
    curvature = np.array([[weight.sum(1) @ rows**2, mixed], [mixed, weight.sum(0) @ columns**2]])
    for _ in range(_SLOPE_STEPS):
        level = ratio * np.exp(-1j * slopes[0] * rows)[:, None] * np.exp(-1j * slopes[1] * columns)
        excess = (level * np.exp(-1j * np.angle(level.sum()))).imag
        wanted = np.array([excess.sum(1) @ rows, excess.sum(0) @ columns])
        slopes = slopes + np.linalg.lstsq(curvature, wanted, rcond=None)[0]
    return float(slopes[0]), float(slopes[1])
