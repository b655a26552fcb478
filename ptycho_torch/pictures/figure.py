"""Figures without a window, and their PNG files."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ptycho_torch.storage.writing import write_atomically

PANEL_INCH = 2.9
DPI = 110


class Picture(Figure):
    """A figure that notebooks show without matplotlib's own setup."""

    def _repr_png_(self) -> bytes:
        return encode_png(self)


def make_figure(columns: float, rows: float) -> Picture:
    """Make a figure with room for so many panels, laid out so that nothing overlaps."""
    figure = Picture(figsize=(columns * (PANEL_INCH + 0.9), rows * PANEL_INCH + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def encode_png(figure: Figure) -> bytes:
    """Draw a figure as a PNG file in memory, without the date or the name of a program."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, atomically."""
    with write_atomically(path) as file:
        file.write(encode_png(figure))


def embed_figure(figure: Figure, alternative: str) -> str:
    """The figure as an HTML element that contains its pixels; `alternative` is its description, plain text."""
    return embed_png(encode_png(figure), alternative)


def embed_png(picture: bytes, alternative: str) -> str:
    """A PNG file as an HTML element that contains it."""
    coded = base64.b64encode(picture).decode("ascii")
    return f'<img alt="{html.escape(alternative)}" src="data:image/png;base64,{coded}">'
