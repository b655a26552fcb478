"""How a scan must be read: orientation, order, unit of the positions, direct beam, probe; one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.coverage import measure_coverage, measure_diameter
from ptycho_torch.data.placement import measure_step
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.centre import POSSIBLE, Beam, find_centre
from ptycho_torch.doctor.centre_of_mass import CurlTest, measure_curl
from ptycho_torch.doctor.change import CLASSES, Change, list_changes, to_matrix
from ptycho_torch.doctor.diagnosis import Finding, Sureness
from ptycho_torch.doctor.search import (
    BETTER,
    SAME,
    Option,
    Search,
    find_equals,
    find_vertex,
    is_better,
    list_offsets,
    list_orientations,
    list_rotations,
    list_scales,
)
from ptycho_torch.doctor.trial import LONG, SETTINGS, try_scan

# less is left unexplained only if patterns and positions are read as they are meant
CLEAR = 0.35
_POSSIBLE_SCALE = 0.5
# a scan that leaves less is in order
_GOOD = 0.05
_OTHER_POSITIONS = "the patterns belong to other positions"
_AS_READ = (False, False, False)
_TWIN = (False, True, True)
_MOST_ROUNDS = 3
_STEPS = np.geomspace(0.025, 0.45, 19)
_LEAST_VIEWS = 2.0
_ANGLES_DEG = (-40.0, -30.0, -20.0, -10.0, 10.0, 20.0, 30.0, 40.0)
_FINE_FACTORS = (0.92, 0.96, 1.0, 1.05, 1.1)
_MUCH_WORSE = 1.1


def find_reading(search: Search, scan: Scan, settings: DataSettings, beam: Beam) -> tuple[DataSettings, list[Finding]]:
    """Find how the middle of a scan must be read.

    Args:
        search: the middle of the scan; it is left as it must be read.
        scan: as it is read so far.
        settings: with which it is read so far.
        beam: where the direct beam is taken to lie.

    Returns:
        The settings with which it must be read, and what was found.
    """
    curl = measure_curl(scan)
    findings: list[Finding] = []
    if search.part.probe is None:
        settings = _read_without_probe(search, settings, curl, findings)
    else:
        search.start()
    for _ in range(0 if search.is_guessed else _MOST_ROUNDS):
        turned = curl is not None and curl.is_clear and curl.best != _AS_READ and not findings
        if not turned and _overlaps(search) and _is_clear(search):
            break
        option, finding = _find_change(search, settings, curl)
        if option is None or finding is None:
            break
        search.accept(option)
        settings = option.change.follow(settings)
        findings.append(finding)
    if search.trial.unexplained > _GOOD and "order" not in {finding.name for finding in findings}:
        settings = _reorder(search, settings, findings)
    settings = find_centre(search, settings, beam, findings)
    if search.trial.unexplained > POSSIBLE and not search.is_guessed:
        settings = _replace_probe(search, settings, curl, findings)
    if search.trial.unexplained < POSSIBLE:
        findings += _find_twin(search)
    return settings, findings


def _is_clear(search: Search) -> bool:
    """Whether the part is read as it is meant; a probe that has far to move may need more epochs to show it."""
    left = search.trial.unexplained
    return left < CLEAR or (left < POSSIBLE and search.settle().unexplained < CLEAR)


def _overlaps(search: Search, factor: float = 1.0) -> bool:
    """Whether patterns see parts of what others see, if positions are multiplied by a factor.

    Otherwise each pattern is explained by itself.
    """
    part, probe = search.part, search.trial.probe
    if part.probe is not None and _measure_probe(part.probe) < _measure_probe(probe):
        # a bad fit makes the probe wide
        probe = part.probe
    scaled = replace(part, positions_px=part.positions_px * factor, truth=None)
    return measure_coverage(scaled, probe).views_per_pixel >= _LEAST_VIEWS


def _measure_probe(probe: NDArray[np.complex64]) -> float:
    return measure_diameter(np.sum(np.abs(probe) ** 2, axis=0))


def _reorder(search: Search, settings: DataSettings, findings: list[Finding]) -> DataSettings:
    """Find by how many places in the file the patterns are away from their positions."""
    options = search.compare(list_offsets())
    if not options or not is_better(options[0].trial, search.trial):
        return settings
    best = options[0]
    findings.append(_describe(search, settings, best, "order", _OTHER_POSITIONS))
    search.accept(best)
    return best.change.follow(settings)


def _find_change(search: Search, settings: DataSettings, curl: CurlTest | None) -> tuple[Option | None, Finding | None]:
    """Find the change that explains the patterns far better than how they are read and than any other change."""
    overlaps = _overlaps(search)
    if overlaps:
        options = search.compare(list_orientations())
        chosen = _choose_orientation(search, options)
        if chosen is not None:
            return chosen, _describe_orientation(search, settings, chosen, options, curl)
        options = search.compare(list_offsets())
        if options and is_better(options[0].trial, search.trial):
            return options[0], _describe(search, settings, options[0], "order", _OTHER_POSITIONS)
        options = search.compare(list_rotations(_ANGLES_DEG))
        if options and is_better(options[0].trial, search.trial) and _left(options[0]) < POSSIBLE:
            return options[0], _describe(search, settings, options[0], "positions", "the positions are turned")
    step = measure_step(search.part.positions_px)
    if not step:
        return None, None
    tried = _STEPS * search.part.patch_px / step
    factors = [each for each in tried.tolist() if abs(np.log(each)) > 0.02 and _overlaps(search, each)]
    options = search.compare(list_scales(factors))
    is_clear = not overlaps or (options and is_better(options[0].trial, search.trial))
    if options and is_clear and _left(options[0]) < _POSSIBLE_SCALE:
        best = _refine_scale(search, options[0])
        if best is None:
            return None, None
        text = "the positions are in another unit, or the object pixel has another size"
        return best, _describe(search, settings, best, "position scale", text)
    return None, None


def _refine_scale(search: Search, option: Option) -> Option | None:
    """The scale near an option's that leaves least in longer trials; None if the present one is about as good there.

    A short trial prefers positions that are too close: more overlap lets the object appear earlier. And a wrong scale
    may suit a wrong probe, until that has moved.
    """
    factor = option.change.settings.position_scale
    options = search.compare(list_scales(factor * fine for fine in _FINE_FACTORS), epochs=LONG)
    if len(options) < len(_FINE_FACTORS):
        return None
    if _overlaps(search) and not is_better(options[0].trial, search.settle()):
        return None
    places = [each.change.settings.position_scale for each in options]
    return search.compare(list_scales([find_vertex(places, [_left(each) for each in options])]))[0]


def _left(option: Option) -> float:
    return option.trial.unexplained


def _choose_orientation(search: Search, options: list[Option]) -> Option | None:
    """The orientation that is far better than the others; turned patterns rather than turned positions if equal."""
    if not options or not is_better(options[0].trial, search.trial):
        return None
    best = options[0]
    rivals = [o for o in options[1:] if _left(best) > BETTER * _left(o) or _left(o) < _left(best) + SAME]
    # a round probe does not tell turned patterns from positions that are turned the other way
    if len(rivals) > 1 or (rivals and _turns_positions(rivals[0]) == _turns_positions(best)):
        return None
    equals = find_equals(options)
    return equals[0] if equals and not _turns_positions(equals[0]) else best


def _turns_positions(option: Option) -> bool:
    changed = option.change.settings
    return changed.swap_positions or changed.flip_position_rows or changed.flip_position_columns


def _describe_orientation(
    search: Search, settings: DataSettings, chosen: Option, options: list[Option], curl: CurlTest | None
) -> Finding:
    equals = [option for option in [options[0], *find_equals(options)] if option is not chosen]
    text = f"{chosen.name}: they are not oriented as they are read"
    if equals:
        text += f"; {equals[0].name} explain the patterns as well and give a mirrored object"
    agrees = curl is not None and curl.is_clear and _agrees(curl.best, chosen)
    if agrees:
        text += "; their centres of mass say the same"
    sureness: Sureness = "sure" if agrees or not equals else "likely"
    return _describe(search, settings, chosen, "orientation", text, sureness=sureness)


def _agrees(best: tuple[bool, bool, bool], chosen: Option) -> bool:
    """Whether an orientation of patterns is that of a change, up to half a turn."""
    changed = chosen.change.settings
    patterns = to_matrix(changed.transpose, changed.flip_rows, changed.flip_columns)
    positions = to_matrix(changed.swap_positions, changed.flip_position_rows, changed.flip_position_columns)
    difference = positions.T @ patterns @ to_matrix(*best).T
    # the unit matrix, or half a turn
    return bool(abs(np.trace(difference)) == 2 and difference[0, 1] == 0 and difference[1, 0] == 0)


def _describe(
    search: Search, settings: DataSettings, option: Option, name: str, text: str, *, sureness: Sureness = "sure"
) -> Finding:
    before, after = search.trial, option.trial
    return Finding(
        name,
        f"{text} ({option.name}: {after.unexplained:.0%} of the differences between the patterns remain unexplained "
        f"instead of {before.unexplained:.0%})",
        sureness=sureness,
        data=list_changes(settings, option.change.follow(settings)),
        figures={"unexplained_before": before.unexplained, "unexplained_after": after.unexplained},
    )


def _read_without_probe(
    search: Search, settings: DataSettings, curl: CurlTest | None, findings: list[Finding]
) -> DataSettings:
    """Find a probe, and the class of orientations in which one explains the patterns."""
    options = search.guess_classes(_choose_classes(curl))
    search.is_guessed = True
    given = next((option for option in options if option.change == Change.of_patterns(_AS_READ)), None)
    if given is None:
        search.start()
        return settings
    search.part, search.trial = given.trial.scan, given.trial
    best = options[0]
    rivals = [_left(option) for option in options[1:]]
    if best is not given and is_better(best.trial, given.trial) and _left(best) < BETTER * min(rivals, default=np.inf):
        text = f"{best.name}: they are not oriented as they are read"
        findings.append(_describe(search, settings, best, "orientation", text, sureness="likely"))
        search.accept(best)
        settings = best.change.follow(settings)
    return settings


def _choose_classes(curl: CurlTest | None) -> tuple[tuple[bool, bool, bool], ...]:
    """The orientations to try with a probe found from the patterns: those that the centres of mass leave open."""
    if curl is None or not curl.is_clear:
        return (_AS_READ, *CLASSES)
    return (_AS_READ,) if curl.best == _AS_READ else (_AS_READ, curl.best)


def _replace_probe(
    search: Search, settings: DataSettings, curl: CurlTest | None, findings: list[Finding]
) -> DataSettings:
    """Try probes found from the patterns in place of the given one, which may be useless."""
    options = search.guess_classes(_choose_classes(curl))
    if not options:
        return settings
    best, before = options[0], search.trial
    rivals = [_left(option) for option in options[1:]]
    if _left(best) > BETTER * before.unexplained or (rivals and _left(best) > BETTER * min(rivals)):
        return settings
    change = best.change
    found = _describe(search, settings, best, "probe", "the probe does not belong to the patterns")
    findings.append(replace(found, refine={"probe_guess": "patterns"}))
    search.accept(best)
    search.is_guessed = True
    return change.follow(settings)


def _find_twin(search: Search) -> list[Finding]:
    """Say whether the probe tells the object from its conjugate, which patterns turned by 180° would give."""
    text = (
        "patterns turned by 180° give the conjugate object with the conjugate probe and explain the same: "
        "whether the phase has this sign or the opposite one"
    )
    if search.is_guessed:
        return [Finding("twin", f"{text} cannot be told without a known probe", "cannot tell", is_wrong=False)]
    twin = Change.of_patterns(_TWIN).apply(search.part)
    # a probe that may move becomes its own twin within a few epochs
    kept, turned = (try_scan(part, replace(SETTINGS, probe_start=1)).unexplained for part in (search.part, twin))
    if turned >= _MUCH_WORSE * kept:
        return []
    free = search.record("patterns turned by 180°", try_scan(twin)).unexplained
    if free < _MUCH_WORSE * search.trial.unexplained:
        return [Finding("twin", f"{text} cannot be told with this probe", "cannot tell", is_wrong=False)]
    return []
