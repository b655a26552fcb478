"""Lengths for readers: in nanometres, and as long as a scale bar should be."""

from __future__ import annotations

import math

_LONGEST_NM = 10_000
_SHARE_OF_WIDTH = 0.3
_ROUND = (1, 2, 5)


def choose_bar(width_px: int, pixel_m: float | None) -> tuple[float, str]:
    """Choose a scale bar for an image.

    Args:
        width_px: width of the image.
        pixel_m: side of a pixel in metres; None if it is unknown, for a bar in pixels.

    Returns:
        Its length in pixels, the greatest 1, 2 or 5 times a power of ten of the unit that is below 30 % of the width,
        and its label.
    """
    unit_px = 1.0 if pixel_m is None else 1e-9 / pixel_m
    longest = max(_SHARE_OF_WIDTH * width_px / unit_px, 1e-6)
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in _ROUND if step * power <= longest)
    return length * unit_px, f"{length:g} px" if pixel_m is None else format_nm(length)


def format_nm(length_nm: float) -> str:
    """Write a length in nanometres, or in micrometres from 10 000 nm on, with three figures."""
    number, unit = (length_nm / 1000, "µm") if length_nm >= _LONGEST_NM else (length_nm, "nm")
    # 1.2e+03 nm is hard to read
    digits = max(0, 2 - math.floor(math.log10(number))) if number > 0 else 0
    text = f"{number:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"
