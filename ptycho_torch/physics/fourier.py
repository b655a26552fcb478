"""Fourier transforms of images, also of none: a process may have no pattern of a mini-batch, which MKL refuses."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Complex
from torch import Tensor


def fft2(images: Complex[Tensor, "*batch h w"], norm: Literal["ortho"] | None = None) -> Complex[Tensor, "*batch h w"]:
    """`torch.fft.fft2` of any number of images."""
    return torch.fft.fft2(images, norm=norm) if images.numel() else images


def ifft2(images: Complex[Tensor, "*batch h w"], norm: Literal["ortho"] | None = None) -> Complex[Tensor, "*batch h w"]:
    """`torch.fft.ifft2` of any number of images."""
    return torch.fft.ifft2(images, norm=norm) if images.numel() else images
