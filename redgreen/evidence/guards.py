"""Guards that held: a sealed line each in `guards.jsonl` of their initiative, instead of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redgreen.codec import OMITTED, JsonObject, from_json, to_json
from redgreen.codes import GUARD, Verdict
from redgreen.errors import ReportError
from redgreen.evidence import journal
from redgreen.evidence.collected import Folders, name_folder, read_folders
from redgreen.evidence.folder import parse_stamp
from redgreen.evidence.pair import count_by_outcome
from redgreen.evidence.record import SCHEMA, PytestFacts, Times
from redgreen.evidence.sealed import SealedRun, load_runs
from redgreen.gitrepo import Revision
from redgreen.project import Project

GUARDS: Final = "guards.jsonl"
GUARDS_ARCHIVE: Final = "guards.tar.xz"


@dataclass(frozen=True, slots=True)
class GuardLine:
    """What is kept of a guard that held.

    `folder` is `<UTC>/<subdir>` of the report folder that the run had, `manifest_sha256` what it was sealed with;
    `tests_sha256` is the digest of its tests.json (every test, and its code), `promise_sha256` of what the selector
    declared. `kept` says that the files of the folder are in `guards.tar.xz`.
    """

    schema: int
    run_id: str
    folder: str
    initiative: str
    phase: str
    selector: str
    verdict: Verdict
    exit_code: int
    reasons: tuple[str, ...]
    git: Revision | None
    outcomes: dict[str, int]
    pytest: PytestFacts | None
    time: Times
    tests_sha256: str
    registry_sha256: str | None
    entry_sha256: str
    promise_sha256: str
    env_sha256: str | None
    manifest_sha256: str
    kept: bool = False
    seal: str | None = field(default=None, metadata=OMITTED)

    @property
    def stamp(self) -> str:
        """Name of the `<UTC>` folder."""
        return self.folder.partition("/")[0]

    @property
    def name(self) -> str:
        """Name of the folder inside of its time."""
        return self.folder.partition("/")[2]

    @property
    def key(self) -> tuple[str, int, str]:
        """Sorts runs by time, then by name."""
        return (*parse_stamp(self.stamp), self.name)

    @property
    def is_valid(self) -> bool:
        """Whether it showed what was asked of it."""
        return self.verdict.is_valid

    @property
    def promise(self) -> str:
        """Digest of what the selector declared."""
        return self.promise_sha256

    @property
    def short_seal(self) -> str:
        """The first twelve digits of the manifest's digest, as the ledger shows it."""
        return self.manifest_sha256[:12]


Recorded = SealedRun | GuardLine


def can_be_line(run: SealedRun) -> bool:
    """Return whether a run is one of which a line is kept: a guard that held."""
    return run.result.mode is GUARD and run.verdict is Verdict.GUARD_HELD


def describe(run: SealedRun, contents: Mapping[str, bytes], *, kept: bool) -> GuardLine:
    """Describe a guard that held by its line."""
    result = run.result
    return GuardLine(
        schema=SCHEMA,
        run_id=result.run_id,
        folder=name_folder(run.folder),
        initiative=run.initiative,
        phase=result.phase,
        selector=result.selector,
        verdict=result.verdict,
        exit_code=result.exit_code,
        reasons=result.reasons,
        git=result.git,
        outcomes=count_by_outcome(result),
        pytest=result.pytest,
        time=result.time,
        tests_sha256=hashlib.sha256(contents["tests.json"]).hexdigest(),
        registry_sha256=result.registry_sha256,
        entry_sha256=run.intent.entry_sha256,
        promise_sha256=run.promise,
        env_sha256=result.env_sha256,
        manifest_sha256=run.seal.manifest_sha256,
        kept=kept,
    )


def locate_log(project: Project, initiative: str) -> Path:
    """Return the path of the guards' log of an initiative."""
    return project.base / initiative / "reports" / GUARDS


def list_logs(project: Project) -> list[Path]:
    """List the guards' logs, and where one is missing beside an archive, its path."""
    names = (GUARDS, GUARDS_ARCHIVE)
    return sorted({path.with_name(GUARDS) for name in names for path in project.base.glob(f"*/reports/{name}")})


def read_lines(log: Path) -> list[GuardLine]:
    """Read every line of a log.

    Raises:
        ValueError: A line is broken, or not that of a guard.
    """
    lines = []
    for number, record in enumerate(journal.read(log), 1):
        try:
            lines.append(from_json(GuardLine, record))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return lines


def load_lines(project: Project) -> Iterator[GuardLine]:
    """Yield every line of every log that can be read, in the order of initiative and time."""
    for log in list_logs(project):
        try:
            yield from read_lines(log)
        except ValueError:
            continue  # verify names it


def list_stamps(project: Project, initiative: str) -> set[str]:
    """Return the times of the lines of an initiative; none where the log cannot be read."""
    try:
        return {line.stamp for line in read_lines(locate_log(project, initiative))}
    except ValueError:
        return set()


def load_recorded(project: Project) -> Iterator[Recorded]:
    """Yield every recorded run; a guard that has both a folder and a line, as its line."""
    lines = {(line.initiative, line.folder): line for line in load_lines(project)}
    for run in load_runs(project):
        if (run.initiative, name_folder(run.folder)) not in lines:
            yield run
    yield from lines.values()


def add_lines(project: Project, initiative: str, lines: list[GuardLine]) -> None:
    """Add lines to the log of an initiative; the log stays in the order of time.

    Raises:
        ReportError: It cannot be written, or it is broken and would have to be sorted.
    """
    log = locate_log(project, initiative)
    for line in lines:
        journal.append(project, log, to_json(line))
    try:
        journal.sort(project, log, _read_key)
    except ValueError as error:
        raise ReportError(f"{project.relativize(log)}: {error}; the new lines stand at its end") from None


def read_archived(log: Path) -> Folders:
    """Read the archived folders beside a log of guards, by `<UTC>/<subdir>`.

    Raises:
        ValueError: The archive cannot be unpacked.
    """
    return read_folders(log.with_name(GUARDS_ARCHIVE))


def locate(project: Project, run: SealedRun) -> Path:
    """Return where a run is kept: its folder, or the log of guards."""
    return run.folder if run.folder.is_dir() else locate_log(project, run.initiative)


def _read_key(record: JsonObject) -> tuple[str, int, str]:
    stamp, _, name = str(record.get("folder")).partition("/")
    return (*parse_stamp(stamp), name)
