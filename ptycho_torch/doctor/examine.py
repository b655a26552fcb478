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
from ptycho_torch.data.coverage import measure_coverage
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.correct import find_corrections
from ptycho_torch.doctor.detector import check_pedestal, check_pixels, describe_beam
from ptycho_torch.doctor.diagnosis import Diagnosis, Finding
from ptycho_torch.doctor.files import NO_POSITIONS, find_beam, read_anyhow, read_or_explain, read_values
from ptycho_torch.doctor.reading import find_reading
from ptycho_torch.doctor.search import Search
from ptycho_torch.doctor.stored import StoredValues
from ptycho_torch.doctor.trial import Trial
from ptycho_torch.doctor.value_checks import check_values

# of the differences between patterns; sound scans leave at most a third
MOST_UNEXPLAINED = 0.5
# with settings that were found
MOST_UNEXPLAINED_AFTER = 0.25
_LEAST_VIEWS = 2.0
_FEWEST_PATTERNS = 9


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
        scan, chosen, findings = read_anyhow(source, given, probe)
        is_placed = all(finding.name != NO_POSITIONS for finding in findings)
        said = list(notes)
        stored = read_values(source, chosen, scan)
        found = list(check_values(stored, scan, chosen))
        folder = open_folder() if open_folder else None
        found += check_pixels(stored, scan, folder)
        found += check_pedestal(source, stored, scan, _merge(chosen, found), folder)
        findings += found
        scan, chosen = _reread(source, probe, scan, chosen, findings, found)
        if not is_placed:
            findings += describe_beam(stored, scan)
            # the positions were made up
            chosen = replace(chosen, raster_columns=given.raster_columns, step_px=given.step_px)
            return _conclude(scan, chosen, findings, said, stored)
        search = Search(scan)
        if len(scan) >= _FEWEST_PATTERNS:
            chosen, read = find_reading(search, scan, chosen, find_beam(source, chosen, stored, scan))
            chosen, corrections = find_corrections(search, chosen)
            findings += [*read, *corrections]
        else:
            findings.append(_too_few(scan))
            if scan.probe is None:
                return _conclude(scan, chosen, findings, said, stored)
            search.start()
        if chosen != given:
            scan = read_or_explain(source, chosen, probe, scan, findings)
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
        doubts = list(_find_doubts(fit, coverage.views_per_pixel, scan, findings))
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
    return read_or_explain(source, changed, probe, scan, findings), changed


def _merge(settings: DataSettings, findings: list[Finding]) -> DataSettings:
    values: dict[str, Any] = {}
    for finding in findings:
        values |= finding.data
    return replace(settings, **values)


def _too_few(scan: Scan) -> Finding:
    text = f"there are {len(scan)} patterns, too few to tell how they must be read"
    return Finding("patterns", text, sureness="cannot tell")


def _find_doubts(fit: dict[str, float], views: float, scan: Scan, findings: list[Finding]) -> Iterator[str]:
    # what is right explains more than what was only better
    is_changed = any(finding.is_wrong and "unexplained_after" in finding.figures for finding in findings)
    most = MOST_UNEXPLAINED_AFTER if is_changed else MOST_UNEXPLAINED
    if not fit["unexplained"] <= most and len(scan) >= _FEWEST_PATTERNS:
        yield (
            f"{min(fit['unexplained'], 9.99):.0%} of the differences between the patterns remain unexplained, whatever "
            "was tried"
        )
    if views < _LEAST_VIEWS:
        yield f"a pixel is seen by {views:.2g} patterns on average: the patterns hardly overlap"
