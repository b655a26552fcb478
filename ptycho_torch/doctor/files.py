"""What a file of a scan contains, read so that it can be examined even where a reading as it stands is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import is_beam_centred
from ptycho_torch.data.make_scan import find_good_pixels
from ptycho_torch.data.numbers import add_numbers, list_numbers
from ptycho_torch.data.placement import find_lost, measure_step
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.survey import survey
from ptycho_torch.doctor.centre import Beam
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.stored import StoredValues, read_stored
from ptycho_torch.doctor.value_checks import MOST_LISTED
from ptycho_torch.errors import PtychoError, ScanFileError
from ptycho_torch.formats.find import open_recording, read_one_scan

NO_POSITIONS = "no positions"
_USUAL_STEP = 0.1


def read_anyhow(
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
            positions = None if recording.positions is None else np.asarray(recording.positions, np.float64)
            lost = np.zeros(0, np.int64) if positions is None else find_lost(positions, settings)
            step = 0.0 if positions is None or lost.size else measure_step(positions)
            patterns, side = len(recording.patterns), min(recording.patterns.frame)
        if has_none:
            changed = replace(settings, raster_columns=patterns, step_px=1.0)
            missing = Finding(NO_POSITIONS, str(error).removeprefix(f"{source}: ").removeprefix(f"{source.name}: "))
            return read_one_scan(source, changed, probe), changed, [missing]
        if 0 < lost.size < patterns / 2:
            return _leave_out(source, settings, probe, lost, patterns)
        counts = _read_as_counts(source, settings, probe)
        if counts is not None:
            return counts
        if not 0 < step < 0.01:
            raise
        changed = replace(settings, position_scale=settings.position_scale * _USUAL_STEP * side / step)
        text = (
            f"neighbouring positions are {step:.3g} apart, too little for pixels: neither their unit nor the size of "
            "an object pixel is known"
        )
        return read_one_scan(source, changed, probe), changed, [Finding("position unit", text, is_wrong=False)]


def _leave_out(
    source: Path, settings: DataSettings, probe: Path | str | None, lost: NDArray[np.int64], patterns: int
) -> tuple[Scan, DataSettings, list[Finding]]:
    """Read a scan without the patterns whose positions are lost."""
    changed = replace(settings, leave_out=add_numbers(settings.leave_out, lost))
    first = list_numbers(lost[:MOST_LISTED])
    text = f"{lost.size} of {patterns} patterns have positions that are NaN or infinite: {first}"
    cure = {"leave_out": changed.leave_out}
    found = Finding("lost positions", text, data=cure, figures={"patterns": float(lost.size)})
    return read_one_scan(source, changed, probe), changed, [found]


def _read_as_counts(
    source: Path, settings: DataSettings, probe: Path | str | None
) -> tuple[Scan, DataSettings, list[Finding]] | None:
    """Read values below zero as counts; None if that is not what is wrong."""
    changed = replace(settings, units="counts")
    if settings.units != "auto":
        return None
    try:
        scan = read_one_scan(source, changed, probe)
    except PtychoError:
        return None
    text = "values are below zero, as counts are after subtraction of a dark image, and as amplitudes cannot be"
    return scan, changed, [Finding("units", text, sureness="likely", data={"units": "counts"})]


def read_values(source: Path, settings: DataSettings, scan: Scan) -> StoredValues:
    """Read the values as they are stored, without those that mark gaps and saturated pixels."""
    with open_recording(source, settings) as recording:
        stack = recording.patterns
        good = find_good_pixels(recording.bad_pixels, stack.frame, scan.name)
        good &= ~survey(stack, ~good, settings.saturation, scan.name).bad
        return read_stored(stack, good)


def find_beam(source: Path, settings: DataSettings, stored: StoredValues, scan: Scan) -> Beam:
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


def read_or_explain(
    source: Path, settings: DataSettings, probe: Path | str | None, before: Scan, findings: list[Finding]
) -> Scan:
    """Read the scan with recommended settings; if that is impossible, say so and keep it as it was."""
    try:
        return read_one_scan(source, settings, probe)
    except PtychoError as error:
        findings.append(Finding("settings", f"the file cannot be read with the recommended settings: {error}"))
        return before
