"""Change: another way to read a scan, as settings that are applied to a scan that has been read already."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.config.fields import Settings
from ptycho_torch.data.conventions import orient
from ptycho_torch.data.placement import turn
from ptycho_torch.data.scan import Scan

# (transpose or swap, flip rows, flip columns) of all orientations but the given one
ORIENTATIONS = tuple(
    (exchange, rows, columns) for exchange in (False, True) for rows in (False, True) for columns in (False, True)
)[1:]
# turned by 180°, patterns are those of the conjugate wave: without a probe only one of such a pair can be tried
CLASSES = ((False, True, False), (True, False, False), (True, True, False))
_PATTERNS = ("transpose", "flip_rows", "flip_columns")
_POSITIONS = ("swap_positions", "flip_position_rows", "flip_position_columns")


@dataclass(frozen=True)
class Change:
    """Settings that turn the patterns, the positions or both of a scan that has been read.

    Attributes:
        settings: `transpose`, `flip_rows`, `flip_columns` of the patterns; `swap_positions`, `flip_position_rows`,
            `flip_position_columns`, `position_rotation_deg`, `position_scale`; `position_offset`, which `apply` leaves
            to the caller, as it needs the positions of all patterns; others stay unused.
    """

    settings: DataSettings

    @classmethod
    def of(cls, **values: Any) -> Change:  # noqa: ANN401 - values of settings
        """Make a change of settings by name."""
        return cls(DataSettings(**values))

    @classmethod
    def of_patterns(cls, orientation: tuple[bool, bool, bool]) -> Change:
        """Make a change of the orientation of the patterns."""
        return cls.of(**dict(zip(_PATTERNS, orientation, strict=True)))

    @classmethod
    def of_positions(cls, orientation: tuple[bool, bool, bool]) -> Change:
        """Make a change of the orientation of the positions."""
        return cls.of(**dict(zip(_POSITIONS, orientation, strict=True)))

    def apply(self, scan: Scan) -> Scan:
        """Make the scan as it would have been read, but for the offset."""
        settings = self.settings
        if any(getattr(settings, name) for name in _PATTERNS):
            scan = replace(
                scan,
                counts=orient(np.asarray(scan.counts), settings),
                good_pixels=orient(scan.good_pixels, settings),
                background=None if scan.background is None else orient(scan.background, settings),
            )
        turned = turn(scan.positions_px, settings)
        return scan if turned is scan.positions_px else replace(scan, positions_px=turned, truth=None)

    def follow(self, before: DataSettings) -> DataSettings:
        """The settings that read a file as this change after those settings does."""
        patterns = to_matrix(*(getattr(self.settings, name) for name in _PATTERNS))
        patterns = patterns @ to_matrix(*(getattr(before, name) for name in _PATTERNS))
        values: dict[str, Any] = dict(zip(_PATTERNS, _to_orientation(patterns), strict=True))
        values |= describe_turn(_make_turn(self.settings) @ _make_turn(before))
        return replace(before, **values, position_offset=before.position_offset + self.settings.position_offset)


def list_changes(before: Settings, after: Settings) -> dict[str, Any]:
    """The settings of one section that are not what they were before."""
    return {name: value for name, value in after.to_dict().items() if value != getattr(before, name)}


def describe_turn(matrix: NDArray[np.float64]) -> dict[str, Any]:
    """The settings of positions that multiply them by scale · rotation · orientation, nearest to a matrix (2, 2).

    The rotation is by at most 45°; a shear is left out.
    """
    left, stretch, right = np.linalg.svd(matrix)
    rotation = left @ right
    signs = np.sign(rotation) * (np.abs(rotation) >= np.abs(rotation[:, ::-1]) - 1e-9)
    if abs(np.linalg.det(signs)) != 1:
        signs = np.sign(rotation) * np.eye(2)
    residual = rotation @ signs.T
    angle = math.degrees(math.atan2(residual[1, 0] - residual[0, 1], residual[0, 0] + residual[1, 1]))
    return {
        **dict(zip(_POSITIONS, _to_orientation(signs), strict=True)),
        # without the rounding errors of the products
        "position_rotation_deg": round(angle, 9) + 0.0,
        "position_scale": float(f"{np.prod(stretch) ** 0.5:.12g}"),
    }


def _make_turn(settings: DataSettings) -> NDArray[np.float64]:
    """The matrix (2, 2) by which positions are multiplied."""
    return turn(np.eye(2), settings).T


def to_matrix(exchange: bool, rows: bool, columns: bool) -> NDArray[np.float64]:
    """The matrix (2, 2) of an orientation: exchange, then flip rows and columns."""
    signs = np.diag([-1.0 if rows else 1.0, -1.0 if columns else 1.0])
    return signs @ (np.eye(2)[::-1] if exchange else np.eye(2))


def _to_orientation(matrix: NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """The orientation of a matrix (2, 2) with one entry of ±1 in each row and column."""
    sums = matrix.sum(axis=1)
    return bool(matrix[0, 1] != 0), bool(sums[0] < 0), bool(sums[1] < 0)
