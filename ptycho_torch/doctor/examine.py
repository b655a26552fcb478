"""Examination of a file: read it, look at its values, try other ways of reading it, and say what is right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.config import DataSettings, RefineSettings
from ptycho_torch.data.conventions import is_beam_centred
from ptycho_torch.data.coverage import measure_coverage
from ptycho_torch.data.make_scan import find_good_pixels
from ptycho_torch.data.placement import measure_step
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.survey import survey
from ptycho_torch.doctor.correct import find_corrections
from ptycho_torch.doctor.diagnosis import Diagnosis, Finding
from ptycho_torch.doctor.reading import Beam, find_reading
from ptycho_torch.doctor.search import Search
from ptycho_torch.doctor.stored import StoredValues, read_stored
from ptycho_torch.doctor.trial import Trial
from ptycho_torch.doctor.value_checks import check_values, find_bad_pixels
from ptycho_torch.errors import PtychoError, ScanFileError
from ptycho_torch.formats.find import open_recording, read_one_scan
from ptycho_torch.storage.writing import write_atomically

# of the differences between patterns; sound scans leave at most a third
MOST_UNEXPLAINED = 0.5
MASK_NAME = "mask.npy"
_LEAST_VIEWS = 2.0
_FEWEST_PATTERNS = 9
_USUAL_STEP = 0.1
_NO_POSITIONS = "no positions"


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)


@contextmanager
def _take_notes() -> Iterator[list[str]]:
    """Collect what the readers say, instead of showing it."""
    logger, notes = logging.getLogger("ptycho_torch"), _Notes()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield notes.lines
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)
        logger.propagate = propagate


def examine_file(
    path: Path | str,
    settings: DataSettings | None = None,
    probe: Path | str | None = None,
    *,
    open_folder: Callable[[], Path] | None = None,
) -> Diagnosis:
    """Examine the file of a scan.

    Args:
        path: a file or folder in any format that is read.
        settings: how it is read so far; None to detect it.
        probe: file of a probe, or the name of an array in the scan's file.
        open_folder: called once the file has been read; returns the folder to which a mask is written if the detector
            has bad pixels that the file does not name. Without it, no mask is recommended.

    Raises:
        ScanFileError: nothing can be read there.
        ConfigError: a setting contradicts the file.
        DataError: the arrays do not form a usable scan.
    """
    source, given = Path(path), settings or DataSettings()
    with _take_notes() as notes:
        scan, chosen, findings = _read_anyhow(source, given, probe)
        is_placed = all(finding.name != _NO_POSITIONS for finding in findings)
        said = list(notes)
        stored = _read_stored(source, chosen, scan)
        found = list(check_values(stored, scan, chosen))
        folder = open_folder() if open_folder else None
        found += _check_pixels(stored, scan, folder)
        findings += found
        scan, chosen = _reread(source, probe, scan, chosen, findings, found)
        if not is_placed:
            findings += _describe_beam(stored, scan)
            # the positions were made up
            chosen = replace(chosen, raster_columns=given.raster_columns, step_px=given.step_px)
            return _conclude(scan, chosen, findings, said, stored)
        search = Search(scan)
        if len(scan) >= _FEWEST_PATTERNS:
            chosen, read = find_reading(search, scan, chosen, _find_beam(source, chosen, stored, scan))
            chosen, corrections = find_corrections(search, chosen)
            findings += [*read, *corrections]
        else:
            search.start()
            findings.append(_too_few(scan))
        if chosen != given:
            scan = _read_or_explain(source, chosen, probe, scan, findings)
        last = search.settle()
    return _conclude(scan, chosen, findings, said, stored, search, last)


def _conclude(
    scan: Scan,
    settings: DataSettings,
    findings: list[Finding],
    notes: list[str],
    stored: StoredValues,
    search: Search | None = None,
    last: Trial | None = None,
) -> Diagnosis:
    """Put together what was found; without positions, there are no search and no last reconstruction."""
    fit, doubts, coverage = {}, [], None
    if search is not None and last is not None:
        coverage = measure_coverage(scan, last.probe)
        fit = {"unexplained": last.unexplained, "R_free": last.free_error, "patterns": float(len(search.part))}
        doubts = list(_find_doubts(fit, coverage.views_per_pixel, scan))
    return Diagnosis(
        name=scan.name,
        findings=tuple(findings),
        doubts=tuple(doubts),
        data=settings,
        refine=RefineSettings(**{name: value for f in findings for name, value in f.refine.items()}),
        scan=scan,
        probe=None if last is None else last.probe,
        image=None if last is None else last.image,
        coverage=coverage,
        tried=() if search is None else tuple(search.tried),
        notes=tuple(notes),
        stored=stored.to_dict(),
        fit={name: value for name, value in fit.items() if np.isfinite(value)},
    )


def _read_anyhow(
    source: Path, settings: DataSettings, probe: Path | str | None
) -> tuple[Scan, DataSettings, list[Finding]]:
    """Read a scan.

    Positions that lie within a fraction of a pixel are stretched to usual steps. Patterns without positions are laid
    out on a raster, so that their values can be examined.
    """
    try:
        return read_one_scan(source, settings, probe), settings, []
    except ScanFileError as error:
        with open_recording(source, settings) as recording:
            has_none = recording.positions is None and recording.raster is None and settings.raster_columns is None
            step = 0.0 if recording.positions is None else measure_step(recording.positions)
            patterns, side = len(recording.patterns), min(recording.patterns.frame)
        if has_none:
            changed = replace(settings, raster_columns=patterns, step_px=1.0)
            missing = Finding(_NO_POSITIONS, str(error).removeprefix(f"{source}: ").removeprefix(f"{source.name}: "))
            return read_one_scan(source, changed, probe), changed, [missing]
        if not 0 < step < 0.01:
            raise
        changed = replace(settings, position_scale=settings.position_scale * _USUAL_STEP * side / step)
        text = (
            f"neighbouring positions are {step:.3g} apart, too little for pixels: neither their unit nor the size of "
            "an object pixel is known"
        )
        return read_one_scan(source, changed, probe), changed, [Finding("position unit", text, is_wrong=False)]


def _read_stored(source: Path, settings: DataSettings, scan: Scan) -> StoredValues:
    with open_recording(source, settings) as recording:
        stack = recording.patterns
        good = find_good_pixels(recording.bad_pixels, stack.frame, scan.name)
        # marks of gaps and saturated pixels, which reading leaves out
        good &= ~survey(stack, ~good, settings.saturation, scan.name).bad
        return read_stored(stack, good)


def _find_beam(source: Path, settings: DataSettings, stored: StoredValues, scan: Scan) -> Beam:
    """Where the direct beam is taken to lie in the file, as `assemble` does."""
    with open_recording(source, settings) as recording:
        stated, place = recording.beam_centre_px, recording.zero_frequency
    place = settings.zero_frequency if settings.zero_frequency != "auto" else place
    given = settings.centre_row_px, settings.centre_column_px
    if place == "auto" and given != (None, None):
        place = "centre"
    is_corner = not is_beam_centred(stored.take_mean(scan.stored_as), replace(settings, zero_frequency=place), "")
    row, column = (
        float(side // 2 if centre is None else centre)
        for side, centre in zip(stored.frame, stated or (None, None), strict=True)
    )
    return Beam(row if given[0] is None else given[0], column if given[1] is None else given[1], is_corner)


def _check_pixels(stored: StoredValues, scan: Scan, folder: Path | None) -> Iterator[Finding]:
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


def _reread(
    source: Path,
    probe: Path | str | None,
    scan: Scan,
    settings: DataSettings,
    findings: list[Finding],
    new: list[Finding],
) -> tuple[Scan, DataSettings]:
    changed = _merge(settings, new)
    if changed == settings:
        return scan, settings
    return _read_or_explain(source, changed, probe, scan, findings), changed


def _merge(settings: DataSettings, findings: list[Finding]) -> DataSettings:
    values: dict[str, Any] = {}
    for finding in findings:
        values |= finding.data
    return replace(settings, **values)


def _read_or_explain(
    source: Path, settings: DataSettings, probe: Path | str | None, before: Scan, findings: list[Finding]
) -> Scan:
    """Read the scan with recommended settings; if that is impossible, say so and keep it as it was."""
    try:
        return read_one_scan(source, settings, probe)
    except PtychoError as error:
        findings.append(Finding("settings", f"the file cannot be read with the recommended settings: {error}"))
        return before


def _describe_beam(stored: StoredValues, scan: Scan) -> Iterator[Finding]:
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


def _too_few(scan: Scan) -> Finding:
    text = f"there are {len(scan)} patterns, too few to tell how they must be read"
    return Finding("patterns", text, sureness="cannot tell")


def _find_doubts(fit: dict[str, float], views: float, scan: Scan) -> Iterator[str]:
    if not fit["unexplained"] <= MOST_UNEXPLAINED and len(scan) >= _FEWEST_PATTERNS:
        yield (
            f"{min(fit['unexplained'], 9.99):.0%} of the differences between the patterns remain unexplained, whatever "
            "was tried"
        )
    if views < _LEAST_VIEWS:
        yield f"a pixel is seen by {views:.2g} patterns on average: the patterns hardly overlap"
