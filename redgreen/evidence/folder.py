"""Report folders: reserved, written beside their final name, sealed, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from redgreen.codec import to_text
from redgreen.codes import Verdict
from redgreen.errors import ClockError, ReportError
from redgreen.evidence.record import SCHEMA, SEAL, Seal
from redgreen.project import PARTIAL, Project

MANIFEST: Final = "MANIFEST.sha256"
NOTES: Final = "NOTES.md"  # for people; deliberately outside of the seal
UNSEALED: Final = (MANIFEST, SEAL, NOTES)
STAMP: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{6}Z)(?:-(\d{2,}))?\Z")
CLOCK_TOLERANCE: Final = timedelta(minutes=2)  # clocks of two machines that share a repository


def format_stamp(now: datetime) -> str:
    """Format a moment as the name of a report folder."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def parse_stamp(stamp: str) -> tuple[str, int]:
    """Parse the name of a `<UTC>` folder into second and suffix, for sorting; other names sort by themselves."""
    match = STAMP.match(stamp)
    return (match[1], int(match[2] or 0)) if match else (stamp, 0)


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear error.

    Raises:
        ReportError: Something below the path could not be written.
    """
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            what += " (a file stands where a folder is needed?)"
        raise ReportError(f"cannot write the report {path.name}: {what}; nothing of it counts") from error


def reserve(project: Project, initiative: str, now: datetime, taken: Collection[str] = ()) -> Path:
    """Make the `<UTC>` folder of one invocation, with a suffix when the second is taken.

    `taken` are names of which a record is kept elsewhere.

    Raises:
        ClockError: The clock is behind the newest report.
        ReportError: The folder cannot be made.
    """
    base = project.base / initiative / "reports"
    stamp = format_stamp(now)
    with translate_errors(base / stamp):
        if project.scratch:
            project.make_state()
        base.mkdir(parents=True, exist_ok=True)
        names = {*os.listdir(base), *taken}
    newest = max([name for name in names if name[:1].isdigit()], default="")[: len(stamp)]
    if STAMP.match(newest) and newest > format_stamp(now + CLOCK_TOLERANCE):
        raise ClockError(f"the clock says {stamp}, the newest report of {initiative} is {newest}: set the clock")
    if STAMP.match(newest):
        stamp = max(stamp, newest)  # a clock that is a little behind must not put a GREEN before its RED
    number = len([name for name in names if name.startswith(stamp)])
    while True:
        folder = base / (f"{stamp}-{number:02d}" if number else stamp)
        try:
            if folder.name in taken:
                raise FileExistsError
            folder.mkdir()
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise ReportError(f"cannot make {project.relativize(folder)}: {error.strerror}") from error
        return folder


def open_partial(stamp: Path, subdir: str) -> Path:
    """Make the folder in which a report is written until it is sealed.

    Raises:
        ReportError: The folder cannot be made.
    """
    partial = stamp / f".{subdir}{PARTIAL}"
    with translate_errors(partial):
        stamp.mkdir(exist_ok=True)  # a guard that held before in this invocation has left no folder
        partial.mkdir()
    return partial


def write_text(path: Path, text: str) -> None:
    """Write a text file whole.

    Raises:
        ReportError: It cannot be written.
    """
    with translate_errors(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write a value as a JSON file, whole.

    Raises:
        ReportError: It cannot be written.
    """
    write_text(path, to_text(value))


def write_whole(project: Project, path: Path, data: bytes) -> None:
    """Replace a file in one step, so that whoever reads it sees the old or the new, and only when that is on disk.

    Raises:
        ReportError: It cannot be written; the old file is as it was.
    """
    with translate_errors(path):
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        descriptor, name = tempfile.mkstemp(prefix="writing-", dir=project.make_state())
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, mode)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(name, path)
            sync_folder(path.parent)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def seal(partial: Path, run_id: str, verdict: Verdict) -> Path:
    """Hash every file, write manifest and seal, and rename the folder into place.

    The manifest is in the format of `sha256sum -c`. Everything is on disk before the name says that it is whole.

    Returns:
        The sealed folder.

    Raises:
        ReportError: It cannot be written, or the final name is taken.
    """
    final = partial.with_name(partial.name[1 : -len(PARTIAL)])
    with translate_errors(final):
        if final.exists():
            raise ReportError(f"the report {final.name} already exists")
        lines = []
        for name in sorted({*os.listdir(partial)} - {*UNSEALED}):
            with (partial / name).open("rb") as stream:
                lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n")
                os.fsync(stream.fileno())
        manifest = "".join(lines).encode()
        record = Seal(SCHEMA, run_id, verdict, len(lines), hashlib.sha256(manifest).hexdigest())
        for name, data in ((MANIFEST, manifest), (SEAL, to_text(record).encode())):
            with (partial / name).open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        sync_folder(partial)
        partial.rename(final)
        sync_folder(final.parent)
    return final


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(project: Project, path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold a lock; the operating system releases it when the process dies.

    `remove` deletes the file afterwards: only right where no other process waits for the same lock.

    Raises:
        ReportError: The lock file cannot be made.
    """
    with translate_errors(path):
        project.make_state()
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        if remove:
            path.unlink(missing_ok=True)


def is_running(project: Project, run_id: str) -> bool:
    """Return whether the run of that id is still alive on this machine."""
    path = locate_lock(project, run_id)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def locate_lock(project: Project, run_id: str) -> Path:
    """Return the path of the lock file that marks a run as alive."""
    return project.state / "locks" / f"{run_id}.lock"
