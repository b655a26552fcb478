"""CorrectedScan: what a correction makes of a scan."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan


@dataclass(frozen=True, eq=False)
class CorrectedScan:
    """A scan after a correction.

    Attributes:
        scan: the scan with other positions, probe or background.
        figures: what was changed, by name.
        start: the object that was found with it, from which its reconstruction starts; vacuum without one.
    """

    scan: Scan
    figures: dict[str, float]
    start: Canvas | None = None
