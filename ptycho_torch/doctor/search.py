"""Search: other ways of reading a scan, each tried in a short reconstruction of its middle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ptycho_torch.data.placement import turn
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.change import ORIENTATIONS, Change
from ptycho_torch.doctor.diagnosis import Tried
from ptycho_torch.doctor.trial import EPOCHS, LONG, SETTINGS, Trial, choose_middle, try_scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.runtime.ranks import ALONE
from ptycho_torch.solve.probe_guess import guess_probe
from ptycho_torch.solve.watch import is_significantly_worse

# one way is better than another if it leaves so much less unexplained
BETTER = 0.75
# ways that are this close cannot be told from each other
_EQUAL = 0.93
# so small a difference of what is left tells nothing
SAME = 0.02
_GUESS_PATTERNS = 100
_GUESS_BATCHES = 12
LARGEST_OFFSET = 5


def is_better(first: Trial, second: Trial, factor: float = BETTER) -> bool:
    """Whether a trial explains the same patterns far better than another one, by more than chance."""
    return first.unexplained < factor * second.unexplained and is_significantly_worse(second.deviance, first.deviance)


@dataclass(frozen=True, eq=False)
class Option:
    """A way of reading that was tried.

    Attributes:
        name: in plain words.
        change: the settings of the change.
        trial: what came of it.
    """

    name: str
    change: Change
    trial: Trial


class Search:
    """The middle of a scan, and the ways of reading it that were tried.

    Args:
        scan: as it is read.

    Attributes:
        part: the patterns in its middle, as read after the changes that were accepted.
        trial: the last reconstruction of it that was accepted.
        tried: all reconstructions.
        is_guessed: whether the part's probe was found from its patterns.
    """

    trial: Trial

    def __init__(self, scan: Scan) -> None:
        chosen = choose_middle(scan)
        # so that every one of them has a position after an offset
        inner = chosen[(chosen >= LARGEST_OFFSET) & (chosen < len(scan) - LARGEST_OFFSET)]
        self._chosen = inner if len(inner) > len(chosen) // 2 else chosen
        self._positions_px = scan.positions_px
        self.part = scan.take(self._chosen)
        self.tried: list[Tried] = []
        self.is_guessed = False
        self._settled: Trial | None = None

    def start(self) -> Trial:
        """Reconstruct the part as it is read."""
        self.trial = self.record("as read", try_scan(self.part))
        return self.trial

    def settle(self) -> Trial:
        """Reconstruct the part in more epochs, in which its probe becomes better."""
        if self._settled is None or self._settled.scan is not self.part:
            self._settled = try_scan(self.part, epochs=LONG)
        return self._settled

    def compare(self, changes: Iterable[tuple[str, Change]], epochs: int = EPOCHS) -> list[Option]:
        """Try changes; returns them in the order of what they leave unexplained."""
        options = []
        for name, change in changes:
            try:
                trial = try_scan(self._apply(change), epochs=epochs)
            except DataError:
                continue
            options.append(Option(name, change, self.record(name, trial)))
        return sorted(options, key=lambda option: option.trial.unexplained)

    def _apply(self, change: Change) -> Scan:
        offset = change.settings.position_offset
        if not offset:
            return change.apply(self.part)
        places = np.clip(self._chosen + offset, 0, len(self._positions_px) - 1)
        return replace(self.part, positions_px=self._positions_px[places], truth=None)

    def accept(self, option: Option) -> None:
        """Read the part as this option does from now on."""
        self.part, self.trial = option.trial.scan, option.trial
        offset = option.change.settings.position_offset
        if offset:
            self._chosen = np.clip(self._chosen + offset, 0, len(self._positions_px) - 1)
        self._positions_px = turn(self._positions_px, option.change.settings)

    def guess(self, part: Scan) -> Scan:
        """A part with a probe found from its patterns.

        Raises:
            DivergenceError: none was found.
        """
        middle = part.take(choose_middle(part, _GUESS_PATTERNS))
        settings = replace(SETTINGS, batches=_GUESS_BATCHES)
        found = guess_probe(middle, settings, torch.device("cpu"), ALONE)
        return replace(part, probe=found.scan.probe)

    def guess_classes(self, orientations: Iterable[tuple[bool, bool, bool]]) -> list[Option]:
        """Try orientations of the patterns, each with a probe found from them; best first."""
        options = []
        for orientation in orientations:
            change = Change.of_patterns(orientation)
            name = name_orientation(orientation, "patterns")
            try:
                part = self.guess(change.apply(self.part))
            except (DivergenceError, DataError):
                continue
            options.append(Option(name, change, self.record(f"{name}, probe from the patterns", try_scan(part))))
        return sorted(options, key=lambda option: option.trial.unexplained)

    def record(self, name: str, trial: Trial) -> Trial:
        """Remember a trial."""
        if np.isfinite(trial.unexplained):
            self.tried.append(Tried(name, trial.unexplained, trial.free_error))
        return trial


def name_orientation(orientation: tuple[bool, bool, bool], what: str) -> str:
    """An orientation (exchange, flip rows, flip columns) in words."""
    names = {
        (False, False, False): "as read",
        (False, True, False): "with reversed rows",
        (False, False, True): "with reversed columns",
        (False, True, True): "turned by 180°",
        (True, False, False): "with rows and columns exchanged",
        (True, True, False): "turned by 90°",
        (True, False, True): "turned by 270°",
        (True, True, True): "mirrored at the other diagonal",
    }
    return f"{what} {names[orientation]}"


def list_orientations() -> list[tuple[str, Change]]:
    """All orientations of the patterns and of the positions but the given ones."""
    return [(name_orientation(o, "patterns"), Change.of_patterns(o)) for o in ORIENTATIONS] + [
        (name_orientation(o, "positions"), Change.of_positions(o)) for o in ORIENTATIONS
    ]


def list_offsets() -> list[tuple[str, Change]]:
    """Patterns at the positions of their neighbours in the file."""
    offsets = [number for number in range(-LARGEST_OFFSET, LARGEST_OFFSET + 1) if number]
    return [
        (f"patterns at the position {offset:+d} places further", Change.of(position_offset=offset))
        for offset in offsets
    ]


def list_scales(factors: Iterable[float]) -> list[tuple[str, Change]]:
    """Positions multiplied by factors."""
    return [(f"positions × {factor:.4g}", Change.of(position_scale=float(factor))) for factor in factors]


def list_rotations(angles_deg: Iterable[float]) -> list[tuple[str, Change]]:
    """Positions turned by angles."""
    return [
        (f"positions turned by {angle:.3g}°", Change.of(position_rotation_deg=float(angle))) for angle in angles_deg
    ]


def find_equals(options: list[Option]) -> list[Option]:
    """The options that cannot be told from the best one."""
    best = options[0].trial.unexplained
    return [o for o in options[1:] if best > _EQUAL * o.trial.unexplained or o.trial.unexplained < best + SAME]


def find_vertex(places: Sequence[float], left: Sequence[float]) -> float:
    """Where a parabola through the lowest of some points and its neighbours is lowest, within these."""
    order = np.argsort(places)
    x, y = np.array(places)[order], np.array(left)[order]
    middle = int(np.clip(np.argmin(y), 1, len(x) - 2))
    nearest = slice(middle - 1, middle + 2)
    if not np.isfinite(y[nearest]).all():
        return float(x[np.argmin(y)])
    curvature, slope, _ = np.polyfit(x[nearest], y[nearest], 2)
    vertex = -slope / (2 * curvature) if curvature > 0 else x[np.argmin(y)]
    return float(np.clip(vertex, x[middle - 1], x[middle + 1]))
