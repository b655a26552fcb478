"""The record: typed, read and written in one place, and refused in one line when it is not what it must be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redgreen_sandbox import TOP, Sandbox, fix_product, make_sandbox, write_loose

from redgreen.codec import OMITTED, digest, from_json, to_json
from redgreen.codes import GREEN, Mode, Verdict
from redgreen.evidence.guards import list_logs, read_archived
from redgreen.evidence.packed import read_contents
from redgreen.evidence.record import INTENT, RESULT, SEAL, Intent, Result, Seal, read_record
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify_all import verify_all
from redgreen.project import Project
from redgreen.registry.load import load_registry
from redgreen.registry.model import Selector

KINDS: dict[str, type[Intent | Result | Seal]] = {INTENT: Intent, RESULT: Result, SEAL: Seal}


@dataclass(frozen=True)
class Inner:
    """A part of the example."""

    kind: str = field(metadata={"key": "class"})
    size: float


@dataclass(frozen=True)
class Example:
    """One field of each kind."""

    mode: Mode
    verdict: Verdict
    names: tuple[str, ...]
    inner: dict[str, Inner]
    perhaps: Inner | None
    left_out: str | None = field(default=None, metadata=OMITTED)
    hidden: int = field(default=7, compare=False)


EXAMPLE = Example(GREEN, Verdict.TIMEOUT, ("a", "b"), {"x": Inner("stub", 1.5)}, None)
PLAIN: dict[str, Any] = {
    "mode": "green",
    "verdict": "TIMEOUT",
    "names": ["a", "b"],
    "inner": {"x": {"class": "stub", "size": 1.5}},
    "perhaps": None,
}


def test_values_survive_the_way_to_json_and_back() -> None:
    assert to_json(EXAMPLE) == PLAIN
    assert from_json(Example, json.loads(json.dumps(PLAIN))) == EXAMPLE
    assert digest(EXAMPLE) == digest(PLAIN)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": "blue"}, "mode: 'blue' is not a valid Mode"),
        ({"verdict": "FINE"}, "verdict: 'FINE' is not a valid Verdict"),
        ({"names": "a"}, "names: expected a list, found 'a'"),
        ({"names": [1]}, "names: expected a string, found 1"),
        ({"inner": []}, "inner: expected an object"),
        ({"inner": {"x": {"class": "stub"}}}, "inner: the key 'size' is missing"),
        ({"inner": {"x": {"class": "stub", "size": True}}}, "inner: size: expected a number, found True"),
        ({"perhaps": 3}, "perhaps: expected an object, found 3"),
        ({"hidden": 3}, "the key 'hidden' is unknown"),
        ({"more": 3}, "the key 'more' is unknown"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"\A" + told.replace("[", r"\[")):
        from_json(Example, PLAIN | change)


# keys of an entry that folders written before do not have
LATER_KEYS = {"replay_repeat": 3, "replay_budget_s": 600.0, "may_skip": []}
LATER_RED: dict[str, object] = {"accept_hidden": []}


def test_every_folder_of_this_repository_is_read_and_written_as_it_is() -> None:
    project = Project(TOP)
    kept = {folder: read_contents(folder) for folder in project.list_folders()}
    for log in list_logs(project):
        kept |= {log.parent / name: dict(files) for name, files in read_archived(log).items()}
    assert len(kept) >= 100
    for folder, contents in kept.items():
        for name, kind in KINDS.items():
            assert to_json(read_record(kind, contents[name], name)) == json.loads(contents[name]), folder
        intent = load_run(folder, contents).intent
        written = to_json(intent.load_selector())
        red = intent.entry["red"] and LATER_RED | intent.entry["red"]
        assert written == LATER_KEYS | intent.entry | {"red": red}, folder


def test_every_selector_of_this_repository_survives() -> None:
    for selector in load_registry(TOP).selectors.values():
        assert from_json(Selector, to_json(selector)) == selector


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    sandbox = make_sandbox(tmp_path_factory.mktemp("record") / "repo")
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.record("green")
    return sandbox


def test_what_was_just_recorded_is_read_as_it_was_written(recorded: Sandbox) -> None:
    for folder in recorded.project.list_folders():
        contents = read_contents(folder)
        run = load_run(folder)
        assert to_json(run.result) == json.loads(contents[RESULT])
        assert to_json(run.intent) == json.loads(contents[INTENT])
        assert run.intent.schema == run.result.schema == run.seal.schema == 1


def test_a_run_that_died_before_its_intent_has_a_record_of_few_keys() -> None:
    entry = {"name": "demo", "phase": "?", "budget_s": 0.0}
    plain = {
        "schema": 1, "run_id": "t-demo-unknown", "folder": "t/demo", "initiative": "DEMO-001", "selector": "demo",
        "mode": "unknown", "entry": entry, "entry_sha256": digest(entry), "answers": None, "git": None,
    }  # fmt: skip
    intent = read_record(Intent, json.dumps(plain), INTENT)
    assert to_json(intent).items() >= plain.items()
    assert (intent.mode.success, intent.guards, intent.started) == (Verdict.ABANDONED, (), "")


DAMAGES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "another schema": (RESULT, lambda v: v.update(schema=2)),
    "no schema": (INTENT, lambda v: v.pop("schema")),
    "an unknown key": (RESULT, lambda v: v.update(more=1)),
    "an unknown verdict": (RESULT, lambda v: v.update(verdict="FINE")),
    "an unknown mode": (INTENT, lambda v: v.update(mode="blue")),
    "a text for a number": (RESULT, lambda v: v["time"].update(wall_s="long")),
    "a text for a list": (RESULT, lambda v: v.update(reasons="none")),
    "a test without an id": (RESULT, lambda v: v["tests"][0].pop("id")),
    "an error that is a text": (RESULT, lambda v: v["tests"][0].update(error="AssertionError")),
    "null for the tests": (RESULT, lambda v: v.update(tests=None)),
    "a seal without a digest": (SEAL, lambda v: v.pop("manifest_sha256")),
    "an entry that is none": (INTENT, lambda v: v["entry"].pop("select")),
    "a reason that is no expression": (INTENT, lambda v: v["entry"]["red"]["reasons"][0].update(match="(")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_malformed_record_is_refused_in_one_line(recorded: Sandbox, tmp_path: Path, damage: str) -> None:
    sandbox = recorded.copy(tmp_path / "repo")
    folder = write_loose(min(sandbox.project.list_folders()))
    name, change = DAMAGES[damage]
    value = json.loads((folder / name).read_bytes())
    change(value)
    (folder / name).write_text(json.dumps(value), encoding="utf-8")
    problems, _ = verify_all(sandbox.project)
    assert problems
    assert all("\n" not in problem for problem in problems)
    done = sandbox.run("verify")
    assert done.code == 21
    assert "Traceback" not in done.err
    assert sandbox.run("status").code == 0
    with pytest.raises(ValueError, match=r"(run|result|SEAL)\.json|key|regular expression"):
        load_run(folder).intent.load_selector()
