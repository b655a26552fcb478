"""Squares of pixels folded into the channels of one feature, and back."""

from __future__ import annotations

from ptycho_torch.config import ModelSettings
from ptycho_torch.errors import ConfigError

_LEAST_FEATURES = 4


def find_fold(settings: ModelSettings, side_px: int, usual_px: int) -> int:
    """Find the side of the squares for images of side_px × side_px: the setting, or what is usual for the network.

    Raises:
        ConfigError: such squares do not cover an image, or fewer than four fit beside each other.
    """
    fold = settings.fold_px or usual_px
    if side_px % fold or side_px // fold < _LEAST_FEATURES:
        usable = [side for side in range(1, side_px // _LEAST_FEATURES + 1) if side_px % side == 0]
        raise ConfigError(
            f"ModelSettings.fold_px is {fold}{'' if settings.fold_px else ' by default'}; the network's images have "
            f"{side_px} px, which squares of {', '.join(map(str, usable))} px cover"
        )
    return fold
