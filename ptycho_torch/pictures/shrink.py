"""Small copies of pictures, without what else their files contain."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

_LARGEST_PX = 2**26


def shrink_picture(path: Path, side_px: int) -> bytes | None:
    """A PNG file of at most `side_px` pixels along each side; None if the picture cannot be read or is too large."""
    buffer = io.BytesIO()
    try:
        with Image.open(path) as image:
            if image.width * image.height > _LARGEST_PX:
                return None
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    small.thumbnail((side_px, side_px))
    # a new image, since texts and other information go with a copy
    Image.frombytes("RGB", small.size, small.tobytes()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
