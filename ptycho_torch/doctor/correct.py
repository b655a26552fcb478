"""What real scans get wrong by a little: scale and rotation of the positions, each of them, background."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.change import Change, list_changes
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.search import Option, Search, find_vertex, is_better, list_rotations, list_scales
from ptycho_torch.doctor.trial import LONG, SETTINGS, Trial, try_scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.runtime.ranks import ALONE
from ptycho_torch.solve.background import refine_background
from ptycho_torch.solve.positions import refine_positions

# a scan that leaves less unexplained needs no background, no common change of its positions, or none of each
_GOOD, _GOOD_AFFINE, _GOOD_EACH = 0.06, 0.01, 0.1
_WORTH = 0.9
_WORTH_EACH, _LEAST_MOVED_PX = 0.75, 0.5
_WORTH_BACKGROUND, _LEAST_SHARE = 0.8, 0.12
_ANGLE_DEG, _STRETCH = 3.0, 0.03
_MOST_EXTENSIONS, _MOST_ROUNDS = 3, 2
_LOST = 4.0
_BATCHES = 4

Make = Callable[[Iterable[float]], list[tuple[str, Change]]]


def find_corrections(search: Search, settings: DataSettings) -> tuple[DataSettings, list[Finding]]:
    """Find corrections that explain the patterns far better; the search's part is left as corrected.

    Args:
        search: the middle of the scan.
        settings: with which it is read so far.

    Returns:
        The settings with which it must be read, and what was found.
    """
    if not _GOOD_AFFINE < search.trial.unexplained < 1:
        return settings, []
    settled = search.settle()
    # corrections start from the probe that the solver makes of the given one, so that only what they correct differs
    search.part = replace(search.part, probe=settled.probe)
    search.trial = search.record("with the refined probe", try_scan(search.part))
    findings = []
    if search.trial.unexplained > _GOOD:
        findings.append(_find_background(search))
    if search.trial.unexplained > _GOOD_AFFINE:
        settings, finding = _find_affine(search, settings)
        findings.append(finding)
    if search.trial.unexplained > _GOOD_EACH:
        findings.append(_find_each(search))
    return settings, [finding for finding in findings if finding is not None]


def _find_affine(search: Search, settings: DataSettings) -> tuple[DataSettings, Finding | None]:
    """Find a common rotation and scale of the positions by parabolas through short runs."""
    part, before, total = search.part, search.trial, DataSettings()
    for _ in range(_MOST_ROUNDS):
        found = [
            _improve(search, "position_rotation_deg", list_rotations, _ANGLE_DEG),
            _improve(search, "position_scale", list_scales, _STRETCH),
        ]
        for option in filter(None, found):
            total = option.change.follow(total)
        if not any(found):
            break
    words = []
    if total.position_rotation_deg:
        words.append(f"turned by {total.position_rotation_deg:.2f}°")
    if total.position_scale != 1:
        words.append(f"multiplied by {total.position_scale:.4g}")
    # what only makes a slow reconstruction faster is no better in the end
    if not words or not is_better(search.settle(), try_scan(part, epochs=LONG), _WORTH):
        search.part, search.trial = part, before
        return settings, None
    chosen = Change(total).follow(settings)
    return chosen, Finding(
        "positions",
        f"positions {' and '.join(words)} explain the patterns better ({_compare(before, search.trial)})",
        sureness="likely",
        data=list_changes(settings, chosen),
        figures={"unexplained_before": before.unexplained, "unexplained_after": search.trial.unexplained},
    )


def _improve(search: Search, name: str, make: Make, step: float) -> Option | None:
    """Accept the best change of one setting, if it is worth it; on both sides, and farther where it becomes better."""
    neutral = float(getattr(DataSettings(), name))
    options = search.compare(make([neutral - step, neutral + step]))
    for _ in range(_MOST_EXTENSIONS):
        best = min(options, key=_left)
        away = _get(best, name) - neutral
        is_outermost = all(abs(_get(each, name) - neutral) <= abs(away) for each in options)
        if _left(best) >= search.trial.unexplained or not is_outermost:
            break
        options += search.compare(make([neutral + 2 * away]))
    places = [_get(option, name) for option in options] + [neutral]
    vertex = find_vertex(places, [_left(option) for option in options] + [search.trial.unexplained])
    best = min([*options, *search.compare(make([vertex]))], key=_left)
    if not is_better(best.trial, search.trial, _WORTH):
        return None
    search.accept(best)
    return best


def _get(option: Option, name: str) -> float:
    return float(getattr(option.change.settings, name))


def _left(option: Option) -> float:
    return option.trial.unexplained


def _find_each(search: Search) -> Finding | None:
    settings = replace(SETTINGS, refine_positions="each", batches=_BATCHES)
    try:
        found = refine_positions(search.part, settings, torch.device("cpu"), ALONE)
        trial = search.record("positions refined", try_scan(found.scan))
    except (DataError, DivergenceError):
        return None
    if found.figures["displacement_px"] < _LEAST_MOVED_PX or not is_better(trial, search.trial, _WORTH_EACH):
        return None
    before = search.trial
    # such a pattern belongs to another place, which the others do not show
    lost = int((trial.deviance > _LOST * trial.deviance.median()).sum())
    _accept(search, found.scan, trial)
    text = f"the positions are wrong by {found.figures['displacement_px']:.2g} px rms ({_compare(before, trial)})"
    if lost > 1:
        text += (
            f"; {lost} of {len(trial.deviance)} patterns are explained far worse than the others, wherever they are: "
            "check the order of the positions, and whether frames are missing"
        )
    return Finding(
        "positions",
        text,
        sureness="likely",
        refine={} if lost > 1 else {"refine_positions": "each"},
        figures={"displacement_px": found.figures["displacement_px"], "unexplained_after": trial.unexplained},
    )


def _find_background(search: Search) -> Finding | None:
    settings = replace(SETTINGS, refine_background="constant", batches=_BATCHES)
    if search.part.background is not None:
        return None
    try:
        found = refine_background(search.part, settings, torch.device("cpu"), ALONE)
        trial = search.record("with a background", try_scan(found.scan))
    except (DataError, DivergenceError):
        return None
    if not is_better(trial, search.trial, _WORTH_BACKGROUND):
        return None
    before, share = search.trial, found.figures["share"]
    text = f"about {share:.0%} of the photons do not come from the sample ({_compare(before, trial)})"
    _accept(search, found.scan, trial)
    if share < _LEAST_SHARE:
        text += "; refine_background: constant would find them"
        return Finding("background", text, sureness="likely", is_wrong=False, figures={"share": share})
    return Finding(
        "background", text, sureness="likely", refine={"refine_background": "constant"}, figures={"share": share}
    )


def _accept(search: Search, part: Scan, trial: Trial) -> None:
    search.part, search.trial = part, trial


def _compare(before: Trial, after: Trial) -> str:
    left, right = (f"{100 * trial.unexplained:.2g}%" for trial in (after, before))
    return f"{left} of the differences remain unexplained instead of {right}"
