"""Check that sealed folders are what they claim: every byte, and that the evidence gives the verdict."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Final

from redgreen.codes import Verdict
from redgreen.evidence.artifacts import missing_artifacts
from redgreen.evidence.folder import MANIFEST, SEAL, STAMP, UNSEALED, stamp_key
from redgreen.evidence.scrub import GENERIC_PATHS, PATH_HINTS
from redgreen.evidence.sealed import SealedRun, load_run, read_object, red_side
from redgreen.evidence.summary import render_summary
from redgreen.judge.attempt import read_attempt
from redgreen.judge.pairing import Guarded, RedSide, conclude
from redgreen.project import PARTIAL, Project
from redgreen.registry.model import Selector, digest

__all__ = ["verify_folder"]

MANIFEST_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^/\\\n][^\\\n]*)\Z")
DERIVED: Final = ("verdict", "exit_code", "reasons", "proof", "declared", "tests", "guards", "transition")


def verify_folder(project: Project, folder: Path) -> list[str]:
    """Everything that is wrong with one sealed folder; an empty list when it holds.

    Args:
        project: Repository that holds the folder.
        folder: The sealed folder.
    """
    if folder.name.endswith(PARTIAL):
        return ["the run was never finished; seal it as abandoned with `redgreen close`"]
    files, problems = _walk(folder)
    contents: dict[str, bytes] = {}
    for name in files:
        contents[name] = (folder / name).read_bytes()
    problems += _check_manifest(contents)
    if problems:
        return problems
    try:
        run = load_run(folder, contents)
        problems += _check_claims(run, contents)
        problems += _check_traces(project, contents)
        if run.verdict is not Verdict.ABANDONED:
            selector = Selector.from_entry(run.intent["entry"])
            problems += _check_summary(run, selector, contents)
            problems += _check_derivation(project, run, selector, contents)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, re.error) as error:
        problems.append(f"its files do not fit together: {type(error).__name__}: {error}")
    return problems


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Files of a folder, and what must not be in one."""
    files: list[str] = []
    problems: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                problems.append(f"{entry.name} is a symbolic link")
            elif not entry.is_file():
                problems.append(f"{entry.name} is not a plain file")
            else:
                files.append(entry.name)
    folded = [name.casefold() for name in files]
    problems += [
        f"{name} differs from another file only by case" for name in files if folded.count(name.casefold()) > 1
    ]
    return sorted(files), problems


def _check_manifest(contents: dict[str, bytes]) -> list[str]:
    if MANIFEST not in contents or SEAL not in contents:
        return ["there is no seal"]
    try:
        seal = json.loads(contents[SEAL])
        sealed_manifest = seal["manifest_sha256"]
        listed = contents[MANIFEST].decode("utf-8").splitlines()
    except (ValueError, KeyError, TypeError):
        return ["the seal is not readable"]
    problems = []
    if hashlib.sha256(contents[MANIFEST]).hexdigest() != sealed_manifest:
        problems.append("the manifest does not match the seal")
    named: set[str] = set()
    for line in listed:
        match = MANIFEST_LINE.match(line)
        if match is None or ".." in match[2].split("/") or match[2] in named:
            problems.append(f"the manifest has a line that is none: {line[:80]!r}")
            continue
        named.add(match[2])
        if match[2] not in contents:
            problems.append(f"{match[2]} is missing")
        elif hashlib.sha256(contents[match[2]]).hexdigest() != match[1]:
            problems.append(f"{match[2]} was changed")
    problems += [f"{name} is not in the manifest" for name in contents if name not in named and name not in UNSEALED]
    return problems


def _check_claims(run: SealedRun, contents: dict[str, bytes]) -> list[str]:
    """Names, ids and digests that several files repeat."""
    result, intent = run.result, run.intent
    pairs: list[tuple[str, object, object]] = [
        ("the folder is not where it was written", intent["folder"], f"{run.stamp}/{run.folder.name}"),
        ("the folder lies in another initiative", intent["initiative"], run.initiative),
        ("run.json and result.json differ about the run", intent["run_id"], result["run_id"]),
        ("SEAL.json is of another run", run.seal["run_id"], result["run_id"]),
        ("SEAL.json names another verdict", run.seal["verdict"], result["verdict"]),
        ("run.json and result.json differ about the selector", intent["selector"], result["selector"]),
        ("run.json and result.json differ about the mode", intent["mode"], result["mode"]),
        ("the exit code is not that of the verdict", result["exit_code"], run.verdict.exit_code),
        ("the registry entry was changed", intent["entry_sha256"], digest(intent["entry"])),
        ("the git facts differ", intent["git"], result["git"]),
    ]
    problems = [message for message, one, other in pairs if one != other]
    if not STAMP.match(run.stamp) or not str(result["run_id"]).startswith(f"{run.stamp}-"):
        problems.append("the time of the run is not that of its folder")
    if result["time"]["end"] < result["time"]["start"]:
        problems.append("the run ended before it began")
    claimed = (result["git"] or {}).get("patch_sha256")
    patch = contents.get("worktree.patch")
    if (hashlib.sha256(patch).hexdigest() if patch is not None else None) != claimed:
        problems.append("worktree.patch is not the one that the result names")
    if run.verdict is not Verdict.ABANDONED:
        if result["entry_sha256"] != intent["entry_sha256"]:
            problems.append("the result is of another registry entry")
        environment = json.loads(contents["env.json"])
        if digest({key: value for key, value in environment.items() if key != "sha256"}) != result["env_sha256"]:
            problems.append("env.json is not the one that the result names")
    return problems


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


def _check_summary(run: SealedRun, selector: Selector, contents: dict[str, bytes]) -> list[str]:
    if contents["summary.md"].decode("utf-8") != render_summary(run.result, selector):
        return ["summary.md does not say what result.json says"]
    return []


def _check_derivation(project: Project, run: SealedRun, selector: Selector, contents: dict[str, bytes]) -> list[str]:
    """Judge the sealed witnesses again and compare with what the result says."""
    result, intent = run.result, run.intent
    attempts = [read_attempt(contents.get, facts) for facts in result["runs"]]
    if [attempt.facts() for attempt in attempts] != result["runs"]:
        return ["the numbers in result.json are not those of the events"]
    guards = {entry["name"]: Selector.from_entry(entry) for entry in intent["guards"]}
    red, problems = _red_of(project, run)
    artifact_problems, complaint = _artifacts(run, selector)
    if problems or complaint:
        return problems + complaint
    main = [each.evidence for each in attempts if not each.label.startswith("protects ")]
    done = conclude(
        selector,
        run.result["mode"],
        main,
        expected=intent["expected"],
        guards=[Guarded(guards[a.selector], a.evidence) for a in attempts if a.label.startswith("protects ")],
        red=red,
        identities=json.loads(contents["tests.json"]),
        artifact_problems=artifact_problems,
    )
    derived: dict[str, Any] = {
        "verdict": done.verdict.value,
        "exit_code": done.verdict.exit_code,
        "reasons": done.reasons,
        "proof": done.proof,
        "declared": list(done.declared),
        "tests": done.tests,
        "guards": done.guards,
        "transition": done.transition,
    }
    derived = json.loads(json.dumps(derived))
    return [f"the evidence gives another '{key}' than result.json" for key in DERIVED if derived[key] != result[key]]


def _artifacts(run: SealedRun, selector: Selector) -> tuple[list[str], list[str]]:
    if not selector.artifacts or run.result["mode"] == "red":
        return [], []
    audited = read_object(run.folder / "artifact_audit.json")
    labels = [facts["label"] for facts in run.result["runs"] if not facts["label"].startswith("protects ")]
    found: list[str] = []
    for label in labels:
        entries = [entry for entry in audited["artifacts"] if entry["process"] == label]
        found += [f"{label}: {each}" for each in missing_artifacts(entries, selector.artifacts)]
    listed = [{key: e[key] for key in ("process", "path", "bytes", "sha256", "kind")} for e in audited["artifacts"]]
    if found != audited["problems"] or listed != run.result["artifacts"]:
        return found, ["the artifact audit is not the one that the result names"]
    return found, []


def _red_of(project: Project, run: SealedRun) -> tuple[RedSide | None, list[str]]:
    pair = run.result["pairs_with"]
    if run.intent["answers"] != (pair or {}).get("run_id"):
        return None, ["run.json and result.json differ about the RED"]
    if pair is None:
        return None, ["a GREEN names no RED"] if run.result["mode"] == "green" else []
    folder = project.root / pair["folder"]
    try:
        red = load_run(folder)
    except ValueError as error:
        return None, [f"its RED {pair['run_id']} is gone: {error}"]
    if red.seal["manifest_sha256"] != pair["seal"] or red.result["run_id"] != pair["run_id"]:
        return None, [f"its RED {pair['run_id']} is sealed differently now"]
    problems = []
    if red.verdict is not Verdict.VALID_RED or red.result["selector"] != run.result["selector"]:
        problems.append(f"{pair['run_id']} is no valid RED of this selector")
    if stamp_key(red.stamp) > stamp_key(run.stamp):
        problems.append("the GREEN is older than its RED")
    return red_side(project, red), problems
