"""By how much the patterns are displaced on the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ptycho_torch.config import DataSettings
from ptycho_torch.doctor.change import to_matrix
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.search import Search
from ptycho_torch.doctor.trial import SETTINGS, try_scan
from ptycho_torch.runtime.ranks import ALONE
from ptycho_torch.solve.centre import refine_centre

# more is left unexplained only if something is still wrong
POSSIBLE = 0.6
_LEAST_DISPLACEMENT_PX = 3
_NOT_WORSE = 1.02


@dataclass(frozen=True)
class Beam:
    """Where the direct beam is taken to lie in the patterns of a file.

    Attributes:
        row, column: in pixels; after the quadrants are exchanged if `is_corner`.
        is_corner: whether the zero frequency is stored at pixel [0, 0].
    """

    row: float
    column: float
    is_corner: bool


def find_centre(search: Search, settings: DataSettings, beam: Beam, findings: list[Finding]) -> DataSettings:
    """Find by how many detector pixels the patterns are displaced against the probe."""
    part = search.part
    if part.probe is None or search.is_guessed:
        return settings
    figures = refine_centre(part, SETTINGS, torch.device("cpu"), ALONE).figures
    moved = np.array([figures["row_px"], figures["column_px"]])
    if np.abs(moved).max() < _LEAST_DISPLACEMENT_PX:
        return settings
    counts = np.roll(part.counts, tuple(-moved.astype(int)), (1, 2))
    trial = search.record("patterns centred", try_scan(replace(part, counts=counts)))
    before = search.trial.unexplained
    if trial.unexplained > POSSIBLE or trial.unexplained > _NOT_WORSE * before:
        return settings
    turned = to_matrix(settings.transpose, settings.flip_rows, settings.flip_columns).T @ moved * settings.bin
    row, column = beam.row + float(turned[0]), beam.column + float(turned[1])
    data: dict[str, Any] = {"centre_row_px": row, "centre_column_px": column}
    if beam.is_corner:
        data["zero_frequency"] = "corner"
    findings.append(
        Finding(
            "direct beam",
            f"the patterns are displaced by {moved[0]:g} rows and {moved[1]:g} columns against the probe's far field: "
            f"the direct beam lies at row {row:g}, column {column:g}"
            f"{', counted after the quadrants are exchanged' if beam.is_corner else ''}",
            sureness="likely",
            data=data,
            figures={"unexplained_before": before, "unexplained_after": trial.unexplained},
        )
    )
    search.part, search.trial = trial.scan, trial
    return replace(settings, **data)
