"""Propagation between the sample and the far-field detector."""

from __future__ import annotations

from jaxtyping import Complex
from torch import Tensor
from torch.fft import fft2, fftshift, ifft2, ifftshift

_PLANE = (-2, -1)


def far_field(exit_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """Propagate exit waves to the detector.

    Unitary, so the total |wave|² (photons) is unchanged; zero frequency lies at [h//2, w//2].
    """
    return fftshift(fft2(ifftshift(exit_wave, dim=_PLANE), norm="ortho"), dim=_PLANE)


def near_field(detector_wave: Complex[Tensor, "*batch h w"]) -> Complex[Tensor, "*batch h w"]:
    """Propagate detector waves back to the sample: the inverse and the adjoint of `far_field`."""
    return fftshift(ifft2(ifftshift(detector_wave, dim=_PLANE), norm="ortho"), dim=_PLANE)
