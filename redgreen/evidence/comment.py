"""What a merge request brings, in five lines a pair: Markdown to be posted beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from redgreen.codes import GREEN, Verdict
from redgreen.errors import PairError, RepositoryError, VerifyError
from redgreen.evidence.guards import Recorded, load_recorded
from redgreen.evidence.ledger import read_rows
from redgreen.evidence.markdown import code, escape
from redgreen.evidence.pair import count, list_fixed, list_protected, name_proof
from redgreen.evidence.record import Result
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import find_proof, load_replays
from redgreen.evidence.sealed import SealedRun, load_runs
from redgreen.evidence.verify import find_named, load_red, verify_folder
from redgreen.gitrepo import git
from redgreen.judge.conclusion import ErrorRow
from redgreen.project import Project
from redgreen.registry.model import Selector

MOST_PAIRS: Final = 10
MOST_NAMES: Final = 3
LONGEST_MESSAGE: Final = 160


def find_new_runs(project: Project, base: str) -> list[Recorded]:
    """Find the runs that the ledger of a commit does not have, oldest first.

    Raises:
        RepositoryError: There is no such commit.
    """
    git(project.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    ledger = project.relativize(project.ledger)
    try:
        known = read_rows(git(project.root, "show", f"{base}:./{ledger}").decode("utf-8", "replace"))
    except RepositoryError:  # it had no ledger yet
        known = {}
    runs = [run for run in load_recorded(project) if _name_folder(project, run) not in known]
    return sorted(runs, key=lambda run: run.key)


def _name_folder(project: Project, run: Recorded) -> str:
    """Name the folder that a run has, or had before a line was made of it, as the ledger does."""
    return project.relativize(project.base / run.initiative / "reports" / run.stamp / run.name)


def find_one(project: Project, reference: str) -> SealedRun:
    """Find the run of that id or folder; without either, the newest valid GREEN.

    Raises:
        PairError: There is none.
        VerifyError: The folder cannot be read.
    """
    if reference:
        run = find_named(project, reference)
        if run is None:
            raise PairError(f"no sealed run is called '{reference}'")
        return run
    greens = [run for run in load_runs(project) if run.verdict is Verdict.VALID_GREEN]
    if not greens:
        raise PairError("no GREEN is recorded yet; name a run, or give --base REF")
    return max(greens, key=lambda run: run.key)


def describe_new(project: Project, runs: Sequence[Recorded], base: str) -> list[str]:
    """Describe the valid pairs among new runs, and count everything else."""
    pairs = [run for run in runs if isinstance(run, SealedRun) and run.verdict is Verdict.VALID_GREEN]
    lines = [f"No pair is new since {code(base)}."] if not pairs else []
    for run in pairs[:MOST_PAIRS]:
        lines += [*describe_pair(project, run), ""]
    if len(pairs) > MOST_PAIRS:
        lines += [f"And {len(pairs) - MOST_PAIRS} more pairs.", ""]
    rest = Counter(run.verdict for run in runs if run.verdict not in (Verdict.VALID_GREEN, Verdict.VALID_RED))
    told = ", ".join(f"{number} {verdict}" for verdict, number in sorted(rest.items()))
    return [*lines, *([f"Also recorded: {told}."] if told else [])]


def describe_pair(project: Project, run: SealedRun) -> list[str]:
    """Describe one run in five lines: its verdict, what was fixed, protected and not noticed, where to read on.

    Raises:
        VerifyError: The log of later replays was changed.
    """
    result, selector = run.result, run.intent.load_selector()
    red = load_red(project, run)[0]
    before = red.result if red else None
    try:
        replay = find_proof(run, load_replays(project, run.initiative))
    except ValueError as error:
        raise VerifyError(f"{run.initiative}: {error}") from None
    return [
        f"{_tell_verdict(project, run, replay)} {code(result.selector)} ({result.mode.name})",
        f"- {_tell_fixed(result, before)}",
        f"- Protected: {_tell_protected(result, selector, before)}",
        f"- Hunks that no test notices: {_tell_hunks(replay)}",
        f"- Read on: {code(f'{project.relativize(run.folder)}/summary.md')}",
    ]


def _tell_verdict(project: Project, run: SealedRun, replay: ReplayRecord | None) -> str:
    problems = verify_folder(project, run.folder)
    if problems:
        return f"**DOES NOT VERIFY** ({code(problems[0])})"
    proof = name_proof(run.result, replay)
    return f"**{run.verdict}{f' · {escape(proof)}' if proof else ''}**"


def _tell_fixed(result: Result, red: Result | None) -> str:
    """Say how many of the declared tests pass now, and how the first of them failed; of an invalid run, why it is."""
    if not result.verdict.is_valid:
        return f"Why: {code(result.reasons[0])}" if result.reasons else "Why: it did not come to its end"
    declared = list_fixed(result, red)
    failed = [f"{code(one.id)}: {_tell_failure(one.before)}" for one in declared if one.before][:1]
    if result.mode is GREEN:
        passing = sum(one.outcome == "passed" for one in declared)
        return "; at the RED ".join([f"Fixed: {passing} of {count(len(declared), 'declared test')}", *failed])
    return ": ".join([f"Fails as declared: {count(len(declared), 'test')}", *failed]) if declared else "Nothing to fix"


def _tell_failure(error: ErrorRow) -> str:
    """Tell the exception with the first line of its message."""
    first = error.message.strip().split("\n")[0]
    return code(f"{error.type}: {first}", LONGEST_MESSAGE)


def _tell_protected(result: Result, selector: Selector, red: Result | None) -> str:
    kept = f"{count(result.transition.p2p, 'test')} passed before and now" if result.transition else ""
    guards = [f"{code(one.name)} {one.told}" for one in list_protected(result, selector, red)[:MOST_NAMES]]
    more = len(selector.protects) - len(guards)
    told = [*filter(None, [kept]), *guards, *([f"{more} more guards"] if more else [])]
    return "; ".join(told if guards else [*told, "no guard is declared"])


def _tell_hunks(replay: ReplayRecord | None) -> str:
    if replay is None:
        return "not replayed"
    if not replay.hunks:
        return "not tried"
    names = [code(f"{hunk.file}:{hunk.line}") for hunk in replay.unwitnessed[:MOST_NAMES]]
    more = len(replay.unwitnessed) - len(names)
    told = ", ".join([*names, *([f"{more} more"] if more else [])])
    return f"{len(replay.unwitnessed)} of {len(replay.hunks)}{f': {told}' if told else ''}"
