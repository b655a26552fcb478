"""What the values tell of the detector's pixels: hot and dead ones, a constant in all of them, where the beam lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.stored import StoredValues
from ptycho_torch.doctor.value_checks import find_bad_pixels, find_pedestal
from ptycho_torch.formats.find import open_recording
from ptycho_torch.storage.writing import write_atomically

MASK_NAME, DARK_NAME = "mask.npy", "dark.npy"


def check_pixels(stored: StoredValues, scan: Scan, folder: Path | None) -> Iterator[Finding]:
    """Find hot and dead pixels, and write a mask of them."""
    hot, dead = find_bad_pixels(stored, scan)
    if not (hot.any() or dead.any()):
        return
    kinds = [f"{bad.sum()} {name}" for bad, name in ((hot, "hot"), (dead, "dead")) if bad.any()]
    places = ", ".join(f"({row}, {column})" for row, column in np.argwhere(hot | dead)[:6].tolist())
    data = {}
    if folder is not None:
        path = folder / MASK_NAME
        with write_atomically(path) as file:
            np.save(file, ~stored.good | hot | dead)
        data = {"mask": str(path)}
    yield Finding(
        "bad pixels",
        f"{' and '.join(kinds)} pixels are not masked, such as (row, column) {places}",
        data=data,
        figures={"hot": float(hot.sum()), "dead": float(dead.sum())},
    )


def check_pedestal(
    source: Path, stored: StoredValues, scan: Scan, settings: DataSettings, folder: Path | None
) -> Iterator[Finding]:
    """Find a constant that every value contains, and write it as an image of the detector without light."""
    is_counts = scan.stored_as == "counts" and settings.units in ("auto", "counts")
    pedestal = find_pedestal(stored) if is_counts else 0.0
    if not pedestal:
        return
    with open_recording(source, settings) as recording:
        if recording.dark is not None:
            return
    data = {}
    if folder is not None:
        path = folder / DARK_NAME
        with write_atomically(path) as file:
            np.save(file, np.full(stored.frame, pedestal))
        data = {"dark": str(path)}
    text = f"no value is below {pedestal:.6g}, which many pixels reach: the detector adds that much to every value"
    yield Finding("dark image", text, data=data, figures={"value": pedestal})


def describe_beam(stored: StoredValues, scan: Scan) -> Iterator[Finding]:
    """Say where the middle of the mean pattern lies in the file."""
    mean = np.where(stored.good, np.maximum(stored.take_mean(scan.stored_as), 0), 0)
    total = float(mean.sum())
    if not total:
        return
    # on a circle, as the zero frequency may be stored at pixel [0, 0]
    place = []
    for axis, side in enumerate(stored.frame):
        turns = np.exp(2j * np.pi * np.arange(side) / side)
        place.append(float(np.angle(mean.sum(axis=1 - axis) @ turns)) / (2 * np.pi) * side % side)
    text = (
        f"the photons are centred at row {place[0]:.1f}, column {place[1]:.1f} of the stored patterns; "
        f"their middle is row {stored.frame[0] // 2}, column {stored.frame[1] // 2}"
    )
    figures = {"row_px": place[0], "column_px": place[1]}
    yield Finding("direct beam", text, sureness="likely", is_wrong=False, figures=figures)
