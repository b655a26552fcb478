"""Propagation between the sample and the far-field detector, and the intensity of waves.

Waves are kept in one of two orders: centred, as everywhere outside of this package's solvers, with the middle at
[h//2, w//2]; or wrapped, with the middle at [0, 0], the order of the FFT, in which no quadrants need to be exchanged.
"""

from __future__ import annotations

from jaxtyping import Complex, Float, Shaped
from torch import Tensor
from torch.fft import fftshift, ifftshift

from ptycho_torch.physics.fourier import fft2, ifft2

_PLANE = (-2, -1)


def wrap(images: Shaped[Tensor, "*batch h w"]) -> Shaped[Tensor, "*batch h w"]:
    """Centred images in wrapped order."""
    return ifftshift(images, dim=_PLANE)


def unwrap(images: Shaped[Tensor, "*batch h w"]) -> Shaped[Tensor, "*batch h w"]:
    """Wrapped images in centred order."""
    return fftshift(images, dim=_PLANE)


def propagate_wrapped(exit_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """`propagate` for waves in wrapped order."""
    return fft2(exit_wave, norm="ortho")


def propagate_back_wrapped(detector_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """`propagate_back` for waves in wrapped order."""
    return ifft2(detector_wave, norm="ortho")


def propagate(exit_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """Propagate exit waves to the far field at the detector.

    Unitary, so the total |wave|² (photons) is unchanged; zero frequency lies at [h//2, w//2].
    """
    return unwrap(propagate_wrapped(wrap(exit_wave)))


def propagate_back(detector_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """Propagate detector waves back to the sample: the inverse and the adjoint of `propagate`."""
    return unwrap(propagate_back_wrapped(wrap(detector_wave)))


def sum_intensities(waves: Complex[Tensor, "*batch mode h w"]) -> Float[Tensor, "*batch h w"]:
    """Photons of waves: Σ over modes of |wave|²; modes do not interfere, so their intensities add."""
    return (waves.real.square() + waves.imag.square()).sum(-3)
