"""Fourier ring correlation of two independent reconstructions, and the resolution that follows from it.

M. van Heel, M. Schatz, Journal of Structural Biology 151, 250 (2005), for the ½-bit threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift
from scipy.signal.windows import tukey

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.objects import Image, remove_ramp
from ptycho_torch.physics.propagate import propagate_back_wrapped, propagate_wrapped

_WINDOW_TAPER = 0.5
_LEAST_SIDE = 8


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Correlation ring by ring.

    Attributes:
        frequency: ring radius as a share of the Nyquist frequency.
        correlation: real part of the normalised cross-spectrum of each ring.
        threshold: ½-bit threshold of each ring.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    threshold: NDArray[np.float64]

    @property
    def crossing(self) -> float:
        """Share of Nyquist at which the correlation first falls below the threshold; 1 if it never does."""
        below = np.flatnonzero(self.correlation < self.threshold)
        below = below[below > 0]
        if below.size == 0:
            return 1.0
        after = below[0]
        gap = self.correlation - self.threshold
        part = gap[after - 1] / (gap[after - 1] - gap[after]) if gap[after - 1] > gap[after] else 0.0
        step = self.frequency[after] - self.frequency[after - 1]
        return float(self.frequency[after - 1] + np.clip(part, 0, 1) * step)


def ring_correlation(first: Image, second: Image) -> RingCorrelation:
    """Correlate two square images of the same view, up to the ambiguities between them.

    The second is shifted onto the first (to a fraction of a pixel) and loses its phase ramp against it; both are
    windowed towards their edges. Two constant images correlate perfectly without any meaning: look at the images too.
    """
    mask = np.ones(first.shape, bool)
    level = remove_ramp(second, first, mask)
    second = remove_ramp(move(level, measure_shift(level, first)), first, mask)
    taper = tukey(first.shape[0], _WINDOW_TAPER)[:, None] * tukey(first.shape[1], _WINDOW_TAPER)
    spectra = [_to_spectrum((image - image.mean()) * taper) for image in (first, second)]
    frequency = np.hypot(np.fft.fftfreq(first.shape[0])[:, None], np.fft.fftfreq(first.shape[1]))
    side = min(first.shape)
    ring = np.round(frequency * side).astype(int).ravel()
    rings = side // 2 + 1
    cross = np.bincount(ring, (spectra[0] * spectra[1].conj()).real.ravel(), rings)[:rings]
    cross_imaginary = np.bincount(ring, (spectra[0] * spectra[1].conj()).imag.ravel(), rings)[:rings]
    powers = [np.bincount(ring, np.abs(s.ravel()) ** 2, rings)[:rings] for s in spectra]
    overall = np.angle(cross.sum() + 1j * cross_imaginary.sum())
    aligned = cross * np.cos(overall) + cross_imaginary * np.sin(overall)
    correlation = aligned / np.sqrt(powers[0] * powers[1] + 1e-30)
    root = np.sqrt(np.maximum(np.bincount(ring, minlength=rings)[:rings], 1))
    threshold = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    return RingCorrelation(2 * np.arange(rings) / side, correlation, np.minimum(threshold, 1.0))


def find_middle(positions_px: NDArray[np.float64]) -> tuple[tuple[float, float], int]:
    """Find corner and side of the square in the middle of the positions (pattern, 2), which is illuminated everywhere.

    Raises:
        DataError: the positions span too few pixels for a correlation.
    """
    side = int(np.ptp(positions_px, axis=0).min() * 0.75) // 2 * 2
    if side < _LEAST_SIDE:
        raise DataError(
            f"three quarters of the span of the positions are {side} px; "
            f"a Fourier ring correlation takes at least {_LEAST_SIDE} px"
        )
    row, column = np.round((positions_px.min(axis=0) + positions_px.max(axis=0)) / 2) - side // 2
    return (float(row), float(column)), side


def cut_middle(positions_px: NDArray[np.float64], canvas: Canvas) -> NDArray[np.complex64]:
    """Cut what `find_middle` finds out of an object.

    Raises:
        DataError: see `find_middle`.
    """
    corner, side = find_middle(positions_px)
    return canvas.cut_window(corner, (side, side))


def move(image: Image, shift_px: tuple[float, float]) -> Image:
    """Shift an image by rows and columns, also by fractions of a pixel; pixels wrap around the edges."""
    return _to_image(fourier_shift(_to_spectrum(image), shift_px))


def measure_shift(image: Image, reference: Image) -> tuple[float, float]:
    """Rows and columns by which to shift an image onto the reference.

    They are those of the peak of the cross-correlation, refined by a parabola.
    """
    spectra = [_to_spectrum(part - part.mean()) for part in (image, reference)]
    cross = np.abs(_to_image(spectra[1] * spectra[0].conj()))
    peak = np.unravel_index(np.argmax(cross), cross.shape)
    shift = []
    for axis, place in enumerate(peak):
        line = np.take(cross, peak[1 - axis], axis=1 - axis)
        before, at, after = (line[(place + step) % len(line)] for step in (-1, 0, 1))
        curve = before - 2 * at + after
        offset = place + (0.5 * (before - after) / curve if curve else 0.0)
        shift.append(float(offset - len(line) if offset > len(line) / 2 else offset))
    return shift[0], shift[1]


def _to_spectrum(image: Image) -> Image:
    found: Image = propagate_wrapped(torch.from_numpy(image.astype(np.complex128))).numpy()
    return found


def _to_image(spectrum: Image) -> Image:
    found: Image = propagate_back_wrapped(torch.from_numpy(spectrum)).numpy()
    return found
