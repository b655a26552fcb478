"""Probes: layout, sub-pixel Fourier shift, orthogonal modes.

A probe is (mode, h, w) everywhere in the package, also with one mode, so that it never broadcasts into the batch. Its
centre lies at [h//2, w//2].
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.errors import DataError
from ptycho_torch.physics.fourier import fft2, ifft2


def check_probe(probe: Tensor, patch_px: int) -> None:
    """Raise DataError unless `probe` is complex with shape (mode, patch_px, patch_px)."""
    if not probe.is_complex() or probe.ndim != 3 or tuple(probe.shape[1:]) != (patch_px, patch_px):
        raise DataError(
            f"the probe has shape {tuple(probe.shape)} and type {probe.dtype}; "
            f"it must be complex with shape (mode, {patch_px}, {patch_px})"
        )


def make_shift_ramps(
    shift_px: Float[Tensor, "pattern 2"], patch_px: int
) -> tuple[Complex[Tensor, "pattern patch"], Complex[Tensor, "pattern patch"]]:
    """Row and column factors of exp(−2πi q·shift) in the frequency order of the FFT.

    A spectrum times their outer product is that of the image shifted by `shift_px` (row, column) towards higher
    indices. At the Nyquist frequency of even sizes the factor is replaced by its real part, so that a real image stays
    real.
    """
    frequency = torch.fft.fftfreq(patch_px, device=shift_px.device, dtype=shift_px.dtype)
    angle = -2 * torch.pi * shift_px[:, :, None] * frequency
    ramp = torch.polar(torch.ones_like(angle), angle)
    if patch_px % 2 == 0:
        ramp = torch.where(frequency == -0.5, ramp.real.to(ramp.dtype), ramp)
    return ramp[:, 0], ramp[:, 1]


def shift_probe(
    probe: Complex[Tensor, "mode patch patch"], shift_px: Float[Tensor, "pattern 2"]
) -> Complex[Tensor, "pattern mode patch patch"]:
    """The probe at each sub-pixel position by a Fourier shift, which is exact for a band-limited probe."""
    return _shift_spectrum(fft2(probe)[None], shift_px)


def differentiate_shift(
    probe: Complex[Tensor, "mode patch patch"], shift_px: Float[Tensor, "pattern 2"]
) -> tuple[Complex[Tensor, "pattern mode patch patch"], Complex[Tensor, "pattern mode patch patch"]]:
    """Derivatives of `shift_probe` by the row and the column of the shift: −2πi q times the spectrum."""
    factor = -2j * torch.pi * torch.fft.fftfreq(probe.shape[-1], device=probe.device)
    spectrum = fft2(probe)[None]
    rows, columns = _shift_spectrum(spectrum * factor[:, None], shift_px), _shift_spectrum(spectrum * factor, shift_px)
    return rows, columns


def shift_pairs(
    probes: Complex[Tensor, "pattern mode patch patch"], shift_px: Float[Tensor, "pattern 2"]
) -> Complex[Tensor, "pattern mode patch patch"]:
    """`shift_probe` with a probe of its own for each position."""
    return _shift_spectrum(fft2(probes), shift_px)


def _shift_spectrum(spectrum: Tensor, shift_px: Tensor) -> Tensor:
    rows, columns = make_shift_ramps(shift_px, spectrum.shape[-1])
    return ifft2(spectrum * rows[:, None, :, None] * columns[:, None, None, :])


def unshift_sum(
    waves: Complex[Tensor, "pattern mode patch patch"], shift_px: Float[Tensor, "pattern 2"]
) -> Complex[Tensor, "mode patch patch"]:
    """Move waves back by their shifts and add them: the adjoint of `shift_probe`."""
    rows, columns = make_shift_ramps(shift_px, waves.shape[-1])
    spectrum = fft2(waves) * columns.conj()[:, None, None, :]
    return ifft2((spectrum * rows.conj()[:, None, :, None]).sum(0))


def orthogonalise(probe: Complex[Tensor, "mode h w"]) -> Complex[Tensor, "mode h w"]:
    """The same incoherent probe with modes orthogonal and sorted by power, strongest first.

    A unitary matrix mixes the modes, so that their intensities add up to the same image on any detector.
    """
    flat = probe.reshape(probe.shape[0], -1)
    overlap = flat @ flat.mH
    _, vectors = torch.linalg.eigh(overlap)
    mixed = vectors.mH.flip(0) @ flat
    # eigh returns vectors of arbitrary phase: keep each new mode in phase with the old one of the same rank
    phase = torch.sgn((flat.conj() * mixed).sum(-1))
    phase = torch.where(phase == 0, torch.ones_like(phase), phase)
    return (mixed * phase.conj()[:, None]).reshape(probe.shape)
