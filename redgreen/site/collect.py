"""Everything that the pages show: the recorded runs, whether each holds, and what belongs together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redgreen.codec import parse_object
from redgreen.errors import VerifyError
from redgreen.evidence.environments import Difference, compare_environments
from redgreen.evidence.guards import GuardLine, list_logs, read_lines
from redgreen.evidence.packed import read_contents
from redgreen.evidence.pair import name_proof
from redgreen.evidence.replayed import CHANGE, REPLAY, ReplayRecord, read_replay
from redgreen.evidence.replays import choose_newest, load_replays, locate_replays
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.verify import verify_contents
from redgreen.evidence.verify_guards import verify_guards
from redgreen.project import Project
from redgreen.site.rows import Row, describe_line, describe_run, name_run_page

PATCH: Final = "worktree.patch"
ENVIRONMENT: Final = "env.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A difference that a folder holds: the name of the file, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded run with what belongs to it.

    `path` is its folder below the root (of a guard that is a line, the log), `problems` what `verify` says about it,
    `proof` what the pair proves in one or two words, `red` the RED that it answers, `answers` the runs that answer it,
    oldest first, `replay` what its newest replay showed. `change` is the difference that the folder keeps,
    `environment` what differs from the RED's (None where that is not known), `files` the names of its files.
    """

    row: Row
    run: SealedRun | GuardLine
    path: str
    problems: tuple[str, ...]
    proof: str = ""
    red: SealedRun | None = None
    answers: tuple[SealedRun, ...] = ()
    replay: ReplayRecord | None = None
    change: Source | None = None
    environment: tuple[Difference, ...] | None = None
    files: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The page of the run, below the top of the site."""
        return name_run_page(self.run)


@dataclass(frozen=True, slots=True)
class Collection:
    """All runs, newest first, and what cannot be read, each with the reason."""

    entries: tuple[Entry, ...]
    unreadable: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    """A sealed folder as it was read, once."""

    run: SealedRun
    problems: tuple[str, ...]
    change: Source | None
    environment: bytes
    replay: ReplayRecord | None
    files: tuple[str, ...]


def collect(project: Project) -> Collection:
    """Load and verify every recorded run.

    Raises:
        VerifyError: A log of later replays was changed.
    """
    unreadable: list[tuple[str, str]] = []
    entries = list(_collect_lines(project, unreadable))
    known = {(entry.run.initiative, entry.row.key) for entry in entries}
    folders: dict[str, _Folder] = {}
    for folder in project.list_folders():
        name = project.relativize(folder)
        try:
            read = _read_folder(project, folder)
        except ValueError as error:
            unreadable.append((name, str(error)))
            continue
        if (read.run.initiative, read.run.key) not in known:
            folders[name] = read
    entries += _join(project, folders)
    entries.sort(key=lambda entry: (entry.row.key, entry.path), reverse=True)
    return Collection(tuple(entries), tuple(unreadable))


def _collect_lines(project: Project, unreadable: list[tuple[str, str]]) -> list[Entry]:
    """Load the guards that are lines of a log; what is wrong with a log as a whole is noted."""
    entries = []
    for log in list_logs(project):
        name, problems = project.relativize(log), verify_guards(project, log)[0]
        try:
            lines = read_lines(log)
        except ValueError:
            lines = []  # the problems say so
        for line in lines:
            start = f"{name}: {line.run_id}: "
            own = tuple(problem.removeprefix(start) for problem in problems if problem.startswith(start))
            entries.append(Entry(describe_line(line), line, name, own))
        starts = tuple(f"{name}: {line.run_id}: " for line in lines)
        unreadable += [
            (name, problem.removeprefix(f"{name}: ")) for problem in problems if not problem.startswith(starts)
        ]
    return entries


def _read_folder(project: Project, folder: Path) -> _Folder:
    """Read a sealed folder, and verify it.

    Raises:
        ValueError: It cannot be read.
    """
    contents = read_contents(folder)
    run = load_run(folder, contents)
    name = CHANGE if CHANGE in contents else PATCH
    change = Source(name, contents[name]) if name in contents else None
    problems = tuple(verify_contents(project, folder, contents, run))
    try:
        replay = read_replay(contents[REPLAY]) if REPLAY in contents else None
    except ValueError:
        replay = None  # the problems say so
    return _Folder(run, problems, change, contents.get(ENVIRONMENT, b""), replay, tuple(sorted(contents)))


def _join(project: Project, folders: dict[str, _Folder]) -> list[Entry]:
    """Put together what belongs together."""
    reds = {name: _find_red(read.run, folders) for name, read in folders.items()}
    answers: dict[str, list[SealedRun]] = {}
    for name, red in reds.items():
        answers.setdefault(project.relativize(red.run.folder) if red else "", []).append(folders[name].run)
    initiatives = {read.run.initiative for read in folders.values()}
    later = {initiative: _load_later(project, initiative) for initiative in initiatives}
    entries = []
    for name, read in folders.items():
        run, red = read.run, reds[name]
        replay = choose_newest(read.replay, later[run.initiative].get(run.run_id))
        entries.append(
            Entry(
                row=describe_run(run),
                run=run,
                path=name,
                problems=read.problems,
                proof=name_proof(run.result, replay),
                red=red.run if red else None,
                answers=tuple(sorted(answers.get(name, []), key=lambda each: each.key)),
                replay=replay,
                change=read.change,
                environment=_compare(red, read) if red else None,
                files=read.files,
            )
        )
    return entries


def _find_red(run: SealedRun, folders: dict[str, _Folder]) -> _Folder | None:
    """Find the RED that a run answers, if it is still the one that was answered."""
    pair = run.result.pairs_with
    red = folders.get(pair.folder) if pair else None
    return red if red and pair and red.run.seal.manifest_sha256 == pair.seal else None


def _compare(red: _Folder, green: _Folder) -> tuple[Difference, ...] | None:
    try:
        then, now = (parse_object(each.environment, ENVIRONMENT) for each in (red, green))
    except ValueError:
        return None
    return tuple(compare_environments(then, now))


def _load_later(project: Project, initiative: str) -> dict[str, ReplayRecord]:
    try:
        return load_replays(project, initiative)
    except ValueError as error:
        raise VerifyError(f"{project.relativize(locate_replays(project, initiative))}: {error}") from None
