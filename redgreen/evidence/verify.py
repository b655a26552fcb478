"""Check that sealed folders are what they claim: every byte, and that the evidence gives the verdict; find a RED."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from redgreen.codec import digest, from_json, parse_object
from redgreen.codes import GREEN, Verdict
from redgreen.errors import PairError, VerifyError
from redgreen.evidence.artifacts import Audit
from redgreen.evidence.folder import MANIFEST, STAMP, UNSEALED, parse_stamp
from redgreen.evidence.packed import is_report, read_contents
from redgreen.evidence.record import SEAL, Seal, read_record
from redgreen.evidence.replayed import CHANGE, REPLAY, find_exit_code, read_replay
from redgreen.evidence.scrub import GENERIC_PATHS, PATH_HINTS
from redgreen.evidence.sealed import SealedRun, load_run, load_runs, make_red_side, read_identities
from redgreen.evidence.summary import render_summary
from redgreen.judge.conclusion import RedSide
from redgreen.judge.events import read_attempt
from redgreen.judge.pairing import Guarded, conclude
from redgreen.project import PARTIAL, Project
from redgreen.registry.model import Selector

MANIFEST_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^/\\\n][^\\\n]*)\Z")


def verify_folder(project: Project, folder: Path) -> list[str]:
    """Return everything that is wrong with one sealed folder; an empty list when nothing is."""
    if folder.name.endswith(PARTIAL):
        return ["the run was never finished; seal it as abandoned with `redgreen close`"]
    try:
        contents = read_contents(folder)
    except ValueError as error:
        return [str(error)]
    return verify_contents(project, folder, contents)


def verify_contents(
    project: Project, folder: Path, contents: dict[str, bytes], run: SealedRun | None = None
) -> list[str]:
    """Return everything that is wrong with the files of a sealed folder, wherever they are kept.

    `run` is what they hold, where that was read already.
    """
    problems = _check_manifest(contents)
    if problems:
        return problems
    try:
        run = run or load_run(folder, contents)
        problems += _check_claims(run, contents)
        problems += _check_traces(project, contents)
        if run.verdict is not Verdict.ABANDONED:
            problems += _check_evidence(project, run, contents)
    except (ValueError, KeyError) as error:
        problems.append(f"its files do not fit together: {error}")
    return problems


def _check_manifest(contents: dict[str, bytes]) -> list[str]:
    if MANIFEST not in contents or SEAL not in contents:
        return ["there is no seal"]
    try:
        sealed_manifest = read_record(Seal, contents[SEAL], SEAL).manifest_sha256
        listed = contents[MANIFEST].decode("utf-8").splitlines()
    except ValueError:
        return ["the seal is not readable"]
    problems = []
    if _hash(contents[MANIFEST]) != sealed_manifest:
        problems.append("the manifest does not match the seal")
    named: set[str] = set()
    for line in listed:
        match = MANIFEST_LINE.match(line)
        if match is None or ".." in match[2].split("/") or match[2] in named:
            problems.append(f"the manifest has an invalid line: {line[:80]!r}")
            continue
        named.add(match[2])
        if match[2] not in contents:
            problems.append(f"{match[2]} is missing")
        elif _hash(contents[match[2]]) != match[1]:
            problems.append(f"{match[2]} was changed")
    problems += [f"{name} is not in the manifest" for name in contents if name not in named and name not in UNSEALED]
    return problems


def _check_claims(run: SealedRun, contents: dict[str, bytes]) -> list[str]:
    """Compare the names, ids and digests that several files repeat."""
    result, intent = run.result, run.intent
    pairs: list[tuple[str, object, object]] = [
        ("the folder is not where it was written", intent.folder, f"{run.stamp}/{run.folder.name}"),
        ("the folder is in another initiative", intent.initiative, run.initiative),
        ("run.json and result.json differ about the run", intent.run_id, result.run_id),
        ("SEAL.json is of another run", run.seal.run_id, result.run_id),
        ("SEAL.json names another verdict", run.seal.verdict, result.verdict),
        ("run.json and result.json differ about the selector", intent.selector, result.selector),
        ("run.json and result.json differ about the mode", intent.mode, result.mode),
        ("the registry entry was changed", intent.entry_sha256, digest(intent.entry)),
        ("the git facts differ", intent.git, result.git),
    ]
    patch = contents.get("worktree.patch")
    claimed = result.git.patch_sha256 if result.git else None
    pairs.append(("worktree.patch is not the one that the result names", patch and _hash(patch), claimed))
    if run.verdict is not Verdict.ABANDONED:
        environment = parse_object(contents["env.json"], "env.json")
        environment.pop("sha256", None)
        pairs += [
            ("the result is of another registry entry", result.entry_sha256, intent.entry_sha256),
            ("env.json is not the one that the result names", digest(environment), result.env_sha256),
        ]
    problems = [message for message, one, other in pairs if one != other]
    problems += _check_replay(run, contents)
    if not STAMP.match(run.stamp) or not result.run_id.startswith(f"{run.stamp}-"):
        problems.append("the time of the run is not that of its folder")
    if result.time.end < result.time.start:
        problems.append("the run ended before it began")
    return problems


def _check_replay(run: SealedRun, contents: dict[str, bytes]) -> list[str]:
    """Compare what the replay says with what the run says."""
    result, selector = run.result, run.intent.load_selector() if run.verdict is not Verdict.ABANDONED else None
    replayed = read_replay(contents[REPLAY]) if REPLAY in contents else None
    if selector is None:
        return [] if result.exit_code == run.verdict.exit_code else ["the exit code is not that of the verdict"]
    problems = []
    if result.exit_code != find_exit_code(run.verdict, replayed, selector):
        problems.append("the exit code is not that of the verdict")
    if replayed is None:
        promised = "replay_repeat" in run.intent.entry and not run.intent.scratch
        missing = promised and run.verdict is Verdict.VALID_GREEN
        return [*problems, *(["a GREEN of this kind is replayed, and replay.json is missing"] if missing else [])]
    trees = result.git.tree if result.git else None
    pairs = [
        ("replay.json is of another run", replayed.run_id, result.run_id),
        ("replay.json is of another RED", replayed.red, result.pairs_with and result.pairs_with.run_id),
        ("replay.json is of another tree", replayed.head, trees),
        ("result.json does not name the verdict of the replay", result.proof, replayed.verdict.value),
        ("a run that is no GREEN was replayed", run.verdict, Verdict.VALID_GREEN),
    ]
    return problems + [message for message, one, other in pairs if one != other]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_traces(project: Project, contents: dict[str, bytes]) -> list[str]:
    own = str(project.root)
    hints = (*PATH_HINTS, f"{own}/".encode())
    problems = []
    for name, data in contents.items():
        if name in ("worktree.patch", "NOTES.md"):
            continue
        if not any(hint in data for hint in hints):
            continue  # searching for plain bytes is a hundred times faster than the expression
        text = data.decode("utf-8", "replace")
        match = GENERIC_PATHS.search(text)
        if match or (own.count("/") > 1 and f"{own}/" in text):
            problems.append(f"{name} holds a path of a machine ({match.group() if match else 'the checkout'})")
    return problems


def _check_evidence(project: Project, run: SealedRun, contents: dict[str, bytes]) -> list[str]:
    """Judge the sealed records again and compare with what the result and the summary say."""
    result, intent, selector = run.result, run.intent, run.intent.load_selector()
    red, complaints = load_red(project, run)
    problems = []
    if contents["summary.md"].decode("utf-8") != _render_again(run, selector, red, contents):
        problems.append("summary.md does not say what the record says")
    attempts = [read_attempt(contents.get, process) for process in result.runs]
    if tuple(attempt.process for attempt in attempts) != result.runs:
        return [*problems, "the numbers in result.json are not those of the events"]
    guards = intent.load_guards()
    artifact_problems, complaint = _check_artifacts(run, selector, contents)
    if complaints or complaint:
        return problems + complaints + complaint
    done = conclude(
        selector,
        result.mode,
        [each.evidence for each in attempts if not each.process.protects],
        expected=intent.expected,
        guards=[Guarded(guards[a.process.selector], a.evidence) for a in attempts if a.process.protects],
        red=make_red_side(project, red) if red else None,
        identities=read_identities(contents.get("tests.json")),
        identity=result.identity or 1,
        artifact_problems=artifact_problems,
    )
    if REPLAY in contents:
        done = replace(done, proof=result.proof)  # that of the replay, compared with it elsewhere
    return problems + [f"the evidence gives another '{key}' than result.json" for key in result.compare(done)]


def _render_again(run: SealedRun, selector: Selector, red: SealedRun | None, contents: dict[str, bytes]) -> str:
    """Render summary.md from the record."""
    return render_summary(
        run.result,
        selector,
        red=red.result if red else None,
        replay=read_replay(contents[REPLAY]) if REPLAY in contents else None,
        change=contents.get(CHANGE, b""),
    )


def _check_artifacts(
    run: SealedRun, selector: Selector, contents: dict[str, bytes]
) -> tuple[tuple[str, ...], list[str]]:
    """Derive what the audit finds missing, and compare the audit with the result."""
    if not selector.artifacts or not run.result.mode.audited:
        return (), []
    audit = from_json(Audit, parse_object(contents.get("artifact_audit.json", b""), "artifact_audit.json"))
    labels = [process.label for process in run.result.runs if not process.protects]
    derived = Audit.of(audit.artifacts, labels, selector.artifacts)
    same = audit == derived and tuple(each.shorten() for each in audit.artifacts) == run.result.artifacts
    return derived.problems, [] if same else ["the artifact audit is not the one that the result names"]


def load_red(project: Project, run: SealedRun) -> tuple[SealedRun | None, list[str]]:
    """Load the RED that a run answers, and say what is wrong with it; None where it answers none."""
    pair = run.result.pairs_with
    if run.intent.answers != (pair.run_id if pair else None):
        return None, ["run.json and result.json differ about the RED"]
    if pair is None:
        return None, ["a GREEN names no RED"] if run.result.mode is GREEN else []
    try:
        red = load_run(project.root / pair.folder)
    except ValueError as error:
        return None, [f"its RED {pair.run_id} is gone: {error}"]
    if red.seal.manifest_sha256 != pair.seal or red.result.run_id != pair.run_id:
        return None, [f"its RED {pair.run_id} is sealed differently now"]
    problems = []
    if red.verdict is not Verdict.VALID_RED or red.result.selector != run.result.selector:
        problems.append(f"{pair.run_id} is not a valid RED of this selector")
    if parse_stamp(red.stamp) > parse_stamp(run.stamp):
        problems.append("the GREEN is older than its RED")
    return red, problems


def find_red(project: Project, selector: Selector, reference: str = "") -> RedSide:
    """Find the RED that a GREEN of the selector answers: the named one (run id or folder), or the newest valid one.

    A scratch run looks among scratch runs first.

    Raises:
        PairError: None exists, it is not valid, or the registry has changed what it promised.
        VerifyError: The folder of the RED was altered.
    """
    places = [project, replace(project, scratch=False)] if project.scratch else [project]
    for place in places:
        run = find_named(place, reference) if reference else _find_newest(place, selector)
        if run is not None:
            return _check_red(place, selector, run)
    if reference:
        raise PairError(f"no sealed run is called '{reference}'")
    raise PairError(
        f"{selector.name} has no valid RED to answer; record one with `redgreen run red {selector.name}` first"
    )


def _find_newest(project: Project, selector: Selector) -> SealedRun | None:
    runs = [run for run in load_runs(project) if run.result.selector == selector.name]
    valid = [run for run in runs if run.verdict is Verdict.VALID_RED]
    return max(valid, key=lambda run: run.key, default=None)


def find_named(project: Project, reference: str) -> SealedRun | None:
    """Find a run by its id or its folder; None when there is none.

    Raises:
        VerifyError: The folder cannot be read.
    """
    for folder in (project.root / reference, Path(reference).resolve()):
        if is_report(folder) and folder.is_relative_to(project.base):
            try:
                return load_run(folder)
            except ValueError as error:
                raise VerifyError(f"{reference}: {error}") from None
    return next((run for run in load_runs(project) if run.result.run_id == reference), None)


def _check_red(project: Project, selector: Selector, run: SealedRun) -> RedSide:
    name = run.result.run_id
    if run.result.selector != selector.name or run.verdict is not Verdict.VALID_RED:
        raise PairError(f"{name} is a {run.verdict} of {run.result.selector}, not a valid RED of {selector.name}")
    problems = verify_folder(project, run.folder)
    if problems:
        raise VerifyError(f"the RED {name} does not hold: {problems[0]}")
    before = run.intent.load_selector()
    if before.digest_promise() != selector.digest_promise():
        raise PairError(
            f"the registry entry of {selector.name} has changed what it declares since the RED {name}; record a new RED"
        )
    return make_red_side(project, run)
