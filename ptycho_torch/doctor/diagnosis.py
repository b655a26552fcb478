"""Diagnosis: what the doctor has found about a scan, and how it should be read and reconstructed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings, RefineSettings
from ptycho_torch.data.coverage import Coverage
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.change import list_changes

Sureness = Literal["sure", "likely", "cannot tell"]
Word = Literal["sound", "settings recommended", "doubtful"]


@dataclass(frozen=True)
class Finding:
    """One thing that is unusual about a scan.

    Attributes:
        name: what it concerns, in one or two words.
        text: what was seen, in plain words.
        sureness: how sure it is.
        is_wrong: whether the scan as it is read gives a bad reconstruction, or bad figures of merit; otherwise it is
            only good to know.
        data: settings of reading that cure it, with the values that they must have.
        refine: settings of the solver that cure it.
        figures: the numbers on which it rests, by name.
    """

    name: str
    text: str
    sureness: Sureness = "sure"
    is_wrong: bool = True
    data: dict[str, Any] = field(default_factory=dict)
    refine: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def is_cured(self) -> bool:
        """Whether there are settings that cure it."""
        return bool(self.data or self.refine)

    def to_dict(self) -> dict[str, Any]:
        """Convert the finding to plain values."""
        values = {"name": self.name, "text": self.text, "sureness": self.sureness, "is_wrong": self.is_wrong}
        return {**values, "data": self.data, "refine": self.refine, "figures": self.figures}


@dataclass(frozen=True, eq=False)
class Tried:
    """A way of reading the scan that was tried in a short reconstruction.

    Attributes:
        name: which way.
        unexplained: share of the differences between the patterns that it leaves unexplained, over pixels that were not
            fitted; 1 is no better than the mean pattern.
        free_error: R over these pixels.
    """

    name: str
    unexplained: float
    free_error: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Everything that was found about a scan.

    Attributes:
        name: name of the scan.
        findings: in the order in which they were found.
        doubts: why a reconstruction could not be trusted even with the recommended settings.
        data: settings of reading that are recommended.
        refine: settings of the solver that are recommended.
        scan: the scan as read with them.
        probe: (mode, h, w) as found by the last reconstruction; None if the patterns have no positions.
        image: (height, width) complex object of the last reconstruction, of the middle of the scan; None likewise.
        coverage: size, step and overlap; None likewise.
        tried: the ways of reading that were tried.
        notes: what the reader said.
        stored: what the file contains, in plain values.
        fit: figures of the last reconstruction.
    """

    name: str
    findings: tuple[Finding, ...]
    doubts: tuple[str, ...]
    data: DataSettings
    refine: RefineSettings
    scan: Scan
    probe: NDArray[np.complex64] | None
    image: NDArray[np.complex64] | None
    coverage: Coverage | None
    tried: tuple[Tried, ...]
    notes: tuple[str, ...]
    stored: dict[str, Any]
    fit: dict[str, float]

    @property
    def word(self) -> Word:
        """The result in one or two words."""
        wrong = [finding for finding in self.findings if finding.is_wrong]
        if self.doubts or any(not finding.is_cured for finding in wrong):
            return "doubtful"
        return "settings recommended" if wrong else "sound"

    @property
    def recommended(self) -> dict[str, dict[str, Any]]:
        """Recommended settings as a settings file contains them: what cures findings, and what is not the default."""
        cures = {name: getattr(self.data, name) for finding in self.findings for name in finding.data}
        sections = {
            "data": list_changes(DataSettings(), self.data) | cures,
            "refine": list_changes(RefineSettings(), self.refine),
        }
        return {name: values for name, values in sections.items() if values}

    def to_dict(self) -> dict[str, Any]:
        """Convert the diagnosis to plain values."""
        return {
            "name": self.name,
            "result": self.word,
            "doubts": list(self.doubts),
            "findings": [finding.to_dict() for finding in self.findings],
            "recommended": self.recommended,
            "stored": self.stored,
            "scan": {
                "patterns": len(self.scan),
                "patch_px": self.scan.patch_px,
                "read_as": self.scan.stored_as,
                "photons_per_pattern": self.scan.photons_per_pattern,
                "bad_pixels": int((~self.scan.good_pixels).sum()),
                "probe_modes": 0 if self.probe is None else len(self.probe),
                "has_probe": self.scan.probe is not None,
                **({} if self.coverage is None else self.coverage.to_dict()),
            },
            "fit": self.fit,
            "tried": [{"name": t.name, "unexplained": t.unexplained, "R_free": t.free_error} for t in self.tried],
            "notes": list(self.notes),
        }
