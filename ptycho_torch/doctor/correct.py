"""What real scans get wrong by a little: scale and rotation of the positions, each of them, background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.change import list_changes
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.search import Option, Search, is_better, list_rotations, list_scales
from ptycho_torch.doctor.trial import LONG, SETTINGS, Trial, try_scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.runtime.ranks import ALONE
from ptycho_torch.solve.background import refine_background
from ptycho_torch.solve.positions import refine_positions

# a scan that leaves less unexplained needs no correction
_GOOD, _GOOD_EACH = 0.06, 0.2
_WORTH = 0.9
_WORTH_EACH, _LEAST_MOVED_PX = 0.75, 0.5
_WORTH_BACKGROUND, _LEAST_SHARE = 0.8, 0.12
_ANGLES = (-6.0, -3.0, 3.0, 6.0)
_FACTORS = (0.94, 0.97, 1.03, 1.06)
_BATCHES = 4


def find_corrections(search: Search, settings: DataSettings) -> tuple[DataSettings, list[Finding]]:
    """Find corrections that explain the patterns far better; the search's part is left as corrected.

    Args:
        search: the middle of the scan.
        settings: with which it is read so far.

    Returns:
        The settings with which it must be read, and what was found.
    """
    if not _GOOD < search.trial.unexplained < 1:
        return settings, []
    settled = try_scan(search.part, epochs=LONG)
    # corrections start from the probe that the solver makes of the given one, so that only what they correct differs
    search.part = replace(search.part, probe=settled.probe)
    search.trial = search.record("with the refined probe", try_scan(search.part))
    findings = []
    if search.trial.unexplained > _GOOD:
        findings.append(_find_background(search))
    if search.trial.unexplained > _GOOD:
        settings, finding = _find_affine(search, settings)
        findings.append(finding)
    if search.trial.unexplained > _GOOD_EACH:
        findings.append(_find_each(search))
    return settings, [finding for finding in findings if finding is not None]


def _find_affine(search: Search, settings: DataSettings) -> tuple[DataSettings, Finding | None]:
    """Find a common rotation and scale of the positions by a parabola through short runs."""
    before, chosen = search.trial, settings
    words = []
    for name, options in (
        ("position_rotation_deg", search.compare(list_rotations(_ANGLES))),
        ("position_scale", search.compare(list_scales(_FACTORS))),
    ):
        best = _interpolate(search, name, options)
        if best is not None:
            search.accept(best)
            chosen = best.change.follow(chosen)
            value = getattr(best.change.settings, name)
            words.append(f"multiplied by {value:.4g}" if name == "position_scale" else f"turned by {value:.2g}°")
    if not words:
        return settings, None
    return chosen, Finding(
        "positions",
        f"positions {' and '.join(words)} explain the patterns better ({_compare(before, search.trial)})",
        sureness="likely",
        data=list_changes(settings, chosen),
        figures={"unexplained_before": before.unexplained, "unexplained_after": search.trial.unexplained},
    )


def _interpolate(search: Search, name: str, options: list[Option]) -> Option | None:
    """The change at the vertex of a parabola through the best options and the present state, if it is worth it."""
    neutral = 1.0 if name == "position_scale" else 0.0
    places = [getattr(option.change.settings, name) for option in options] + [neutral]
    left = [option.trial.unexplained for option in options] + [search.trial.unexplained]
    order = np.argsort(places)
    x, y = np.array(places)[order], np.array(left)[order]
    middle = int(np.clip(np.argmin(y), 1, len(x) - 2))
    curvature, slope, _ = np.polyfit(x[middle - 1 : middle + 2], y[middle - 1 : middle + 2], 2)
    vertex = float(-slope / (2 * curvature)) if curvature > 0 else float(x[int(np.argmin(y))])
    vertex = float(np.clip(vertex, x[middle - 1], x[middle + 1]))
    make = list_scales if name == "position_scale" else list_rotations
    best = min([*options, *search.compare(make([vertex]))], key=lambda option: option.trial.unexplained)
    return best if is_better(best.trial, search.trial, _WORTH) else None


def _find_each(search: Search) -> Finding | None:
    settings = replace(SETTINGS, refine_positions="each", batches=_BATCHES)
    try:
        found, figures = refine_positions(search.part, settings, torch.device("cpu"), ALONE)
        trial = search.record("positions refined", try_scan(found))
    except (DataError, DivergenceError):
        return None
    if figures["displacement_px"] < _LEAST_MOVED_PX or not is_better(trial, search.trial, _WORTH_EACH):
        return None
    before = search.trial
    _accept(search, found, trial)
    return Finding(
        "positions",
        f"the positions are wrong by {figures['displacement_px']:.2g} px rms ({_compare(before, trial)})",
        sureness="likely",
        refine={"refine_positions": "each"},
        figures={"displacement_px": figures["displacement_px"], "unexplained_after": trial.unexplained},
    )


def _find_background(search: Search) -> Finding | None:
    settings = replace(SETTINGS, refine_background="constant", batches=_BATCHES)
    if search.part.background is not None:
        return None
    try:
        found, figures = refine_background(search.part, settings, torch.device("cpu"), ALONE)
        trial = search.record("with a background", try_scan(found))
    except (DataError, DivergenceError):
        return None
    if not is_better(trial, search.trial, _WORTH_BACKGROUND):
        return None
    before, share = search.trial, figures["share"]
    text = f"about {share:.0%} of the photons do not come from the sample ({_compare(before, trial)})"
    _accept(search, found, trial)
    if share < _LEAST_SHARE:
        text += "; refine_background: constant would find them"
        return Finding("background", text, sureness="likely", is_wrong=False, figures={"share": share})
    return Finding(
        "background", text, sureness="likely", refine={"refine_background": "constant"}, figures={"share": share}
    )


def _accept(search: Search, part: Scan, trial: Trial) -> None:
    search.part, search.trial = part, trial


def _compare(before: Trial, after: Trial) -> str:
    return f"{after.unexplained:.0%} of the differences remain unexplained instead of {before.unexplained:.0%}"
