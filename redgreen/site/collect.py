"""Everything that the pages show: the sealed runs, whether each holds, and what belongs together."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from redgreen.codes import Mode, Verdict
from redgreen.errors import VerifyError
from redgreen.evidence.pair import count_outcomes, name_proof
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import find_proof, load_replays, locate_replays
from redgreen.evidence.sealed import SealedRun, load_run, read_file
from redgreen.evidence.verify import examine_folder
from redgreen.project import Project

UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")
SEALED_FILES: Final = 200  # names of one folder that a page lists


@dataclass(frozen=True, slots=True)
class Row:
    """What lists say of a run.

    `key` sorts runs by time. `counts` says that it showed what was asked of it, in its replay as well; `tree` is the
    code that it ran, empty where that is not recorded, `declared` the digest of what its selector declared, `repeats`
    the number of its processes.
    """

    key: tuple[str, int, str]
    initiative: str
    stamp: str
    phase: str
    selector: str
    mode: Mode
    verdict: Verdict
    counts: bool
    reasons: tuple[str, ...]
    tests: str
    tree: str
    declared: str
    repeats: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed run with what belongs to it.

    `path` is its folder below the root, `problems` what `verify` says about it, `red` the RED that it answers,
    `answers` the runs that answer it, oldest first, `replay` what its newest replay showed.
    """

    row: Row
    run: SealedRun
    path: str
    problems: tuple[str, ...]
    red: SealedRun | None
    answers: tuple[SealedRun, ...]
    replay: ReplayRecord | None

    @property
    def proof(self) -> str:
        """What the pair proves, in one or two words; empty for what is no GREEN."""
        return name_proof(self.run.result, self.replay)

    @property
    def page(self) -> str:
        """The page of the run, below the top of the site."""
        return name_run_page(self.run)


@dataclass(frozen=True, slots=True)
class Collection:
    """All runs, newest first, and the folders that cannot be read, each with the reason."""

    entries: tuple[Entry, ...]
    unreadable: tuple[tuple[str, str], ...]


def name_page(kind: str, name: str, unique: str = "") -> str:
    """Name a page such that every file system and every address takes it, and no two names give the same."""
    plain = UNSAFE.sub("_", name)[:80].strip(".")
    unique = unique or (name if plain != name else "")
    return f"{kind}/{plain}{f'-{hashlib.sha256(unique.encode()).hexdigest()[:8]}' if unique else ''}.html"


def name_run_page(run: SealedRun) -> str:
    """Name the page of a run."""
    name = f"{run.stamp}-{run.folder.name}"
    return name_page("runs", name, f"{run.initiative}/{name}")


def describe_row(run: SealedRun) -> Row:
    """Describe a run as lists do."""
    result = run.result
    return Row(
        key=run.key,
        initiative=run.initiative,
        stamp=run.stamp,
        phase=result.phase,
        selector=result.selector,
        mode=result.mode,
        verdict=result.verdict,
        counts=run.is_valid,
        reasons=result.reasons,
        tests=count_outcomes(result),
        tree=result.git.tree if result.git else "",
        declared=result.entry_sha256 or "",
        repeats=result.repeat.n if result.repeat else 0,
    )


def read_sealed(run: SealedRun, name: str) -> bytes | None:
    """Return the bytes of one more file of a sealed folder; None when it has none of that name."""
    return read_file(run.folder / name)


def list_sealed(run: SealedRun) -> list[str]:
    """List the names of the files of a sealed folder."""
    return sorted(path.name for path in run.folder.iterdir())[:SEALED_FILES]


def collect(project: Project) -> Collection:
    """Load and verify every sealed run.

    Raises:
        VerifyError: A list of later replays cannot be read.
    """
    runs: dict[str, SealedRun] = {}
    unreadable = []
    problems: dict[str, list[str]] = {}
    for folder in project.list_folders():
        name = project.relativize(folder)
        run, problems[name] = examine_folder(project, folder)
        try:
            runs[name] = run or load_run(folder)
        except ValueError as error:
            unreadable.append((name, str(error)))
    reds = {name: _find_red(run, runs) for name, run in runs.items()}
    answers: dict[str, list[SealedRun]] = {}
    for name, red in reds.items():
        if red is not None:
            answers.setdefault(project.relativize(red.folder), []).append(runs[name])
    later = {initiative: _load_later(project, initiative) for initiative in {run.initiative for run in runs.values()}}
    entries = [
        Entry(
            describe_row(run),
            run,
            name,
            tuple(problems[name]),
            reds[name],
            tuple(sorted(answers.get(name, []), key=lambda each: each.key)),
            _find_replay(run, later[run.initiative]),
        )
        for name, run in runs.items()
    ]
    entries.sort(key=lambda entry: (entry.row.key, entry.path), reverse=True)
    return Collection(tuple(entries), tuple(unreadable))


def _find_red(run: SealedRun, runs: dict[str, SealedRun]) -> SealedRun | None:
    """Find the RED that a run answers, if it is still the one that was answered."""
    pair = run.result.pairs_with
    red = runs.get(pair.folder) if pair else None
    return red if red and pair and red.seal.manifest_sha256 == pair.seal else None


def _load_later(project: Project, initiative: str) -> dict[str, ReplayRecord]:
    try:
        return load_replays(project, initiative)
    except ValueError as error:
        raise VerifyError(f"{project.relativize(locate_replays(project, initiative))}: {error}") from None


def _find_replay(run: SealedRun, later: dict[str, ReplayRecord]) -> ReplayRecord | None:
    try:
        return find_proof(run, later)
    except ValueError:
        return None  # verify names it
