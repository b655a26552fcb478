"""Check the logs of guards that held: every line, and the folders that are archived beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from redgreen.codes import Verdict
from redgreen.evidence.folder import STAMP
from redgreen.evidence.guards import GUARDS_ARCHIVE, GuardLine, describe, read_archived, read_lines
from redgreen.evidence.packed import read_contents
from redgreen.evidence.record import SCHEMA, SEAL
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify import verify_contents
from redgreen.project import Project


def verify_guards(project: Project, log: Path) -> tuple[list[str], int]:
    """Check one log, and judge the evidence of the archived folders again.

    Returns:
        Problems, one line each, and the number of guards looked at.
    """
    shown = project.relativize(log)
    try:
        lines = read_lines(log)
        archived = read_archived(log)
    except ValueError as error:
        return [f"{shown}: {error}"], 0
    problems = []
    keys = [line.key for line in lines]
    if keys != sorted(keys):
        problems.append(f"{shown}: the lines are not in the order of time; `redgreen close` sorts them")
    if len(keys) != len(set(keys)):
        problems.append(f"{shown}: a guard has two lines")
    for line in lines:
        found = _check_line(log, line) + _check_files(project, log, line, archived.get(line.folder))
        problems += [f"{shown}: {line.run_id}: {problem}" for problem in found]
    for folder in sorted(archived.keys() - {line.folder for line in lines}):
        if not _is_there_too(log.parent / folder, archived[folder]):
            problems.append(f"{shown}: {GUARDS_ARCHIVE} holds {folder}, which has no line")
    return problems, len(lines)


def _check_line(log: Path, line: GuardLine) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        (f"its schema is not {SCHEMA}", line.schema, SCHEMA),
        ("it is in the log of another initiative", line.initiative, log.parents[1].name),
        ("only guards that held are kept as a line", line.verdict, Verdict.GUARD_HELD),
        ("the exit code is not that of the verdict", line.exit_code, line.verdict.exit_code),
        ("the time of the run is not that of its folder", line.run_id.startswith(f"{line.stamp}-"), True),
        ("a test failed", {*line.outcomes} & {"failed", "error"}, set()),
    ]
    problems = [message for message, one, other in pairs if one != other]
    if not STAMP.match(line.stamp) or line.folder.count("/") != 1:
        problems.append(f"'{line.folder}' is not the name of a report folder")
    if line.time.end < line.time.start:
        problems.append("the run ended before it began")
    return problems


def _check_files(project: Project, log: Path, line: GuardLine, files: Mapping[str, bytes] | None) -> list[str]:
    """Check the files of a guard that are still kept, in the archive or in its folder, and that its line is of them."""
    folder = log.parent / line.folder
    if files is None and line.kept:
        return [f"its files are not in {GUARDS_ARCHIVE}"]
    problems = []
    if files is not None:
        problems += _compare(line, folder, dict(files)) + verify_contents(project, folder, dict(files))
    if folder.is_dir():  # as an interrupted run or migration leaves it; it is verified by itself
        with contextlib.suppress(ValueError):  # named where the folder is verified
            problems += _compare(line, folder, read_contents(folder))
    return problems


def _compare(line: GuardLine, folder: Path, files: dict[str, bytes]) -> list[str]:
    try:
        derived = describe(load_run(folder, files), files, kept=line.kept)
    except (ValueError, KeyError) as error:
        return [f"its files do not fit together: {error}"]
    # what a promise is made of may change with the code, so that its digest is not derived again
    wanted = replace(line, seal=None, promise_sha256=derived.promise_sha256)
    return [] if derived == wanted else ["the line does not say what the files say"]


def _is_there_too(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Return whether a folder is still where its files were archived from, as an interrupted migration leaves it."""
    try:
        return read_contents(folder).get(SEAL) == files.get(SEAL)
    except ValueError:
        return False
