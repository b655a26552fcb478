"""`verify` asks git: a folder that is sealed without a flaw must also name code that exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target, write_loose

from redgreen.codec import digest
from redgreen.evidence import ledger
from redgreen.evidence.folder import MANIFEST, seal
from redgreen.evidence.record import INTENT, RESULT, SEAL
from redgreen.evidence.sealed import load_run
from redgreen.evidence.summary import render_summary

ENTRY = "product: [product.py]"


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return make_sandbox(tmp_path / "repo", target(extra=ENTRY), guard())


def forge(sandbox: Sandbox, folder: Path, change: Callable[[dict[str, dict[str, Any]]], object]) -> None:
    """Change the JSON files of a folder and seal it again, as somebody would who knows how that is done."""
    write_loose(folder)
    files = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in (INTENT, RESULT, "tests.json")}
    change(files)
    files[INTENT]["entry_sha256"] = files[RESULT]["entry_sha256"] = digest(files[INTENT]["entry"])
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    run = load_run(folder)
    (folder / "summary.md").write_text(render_summary(run.result, run.intent.load_selector()), encoding="utf-8")
    for name in (MANIFEST, SEAL):
        (folder / name).unlink()
    partial = folder.rename(folder.with_name(f".{folder.name}.partial"))
    seal(partial, run.result.run_id, run.verdict)
    ledger.rebuild(sandbox.project, sandbox.loaded())


def set_git(key: str, value: object) -> Callable[[dict[str, dict[str, Any]]], object]:
    """A change of what the record says of the code."""

    def change(files: dict[str, dict[str, Any]]) -> None:
        for name in (INTENT, RESULT):
            files[name]["git"][key] = value

    return change


def set_identity(files: dict[str, dict[str, Any]]) -> None:
    for identity in files["tests.json"].values():
        identity["ast"] = "0" * 64


def set_entry(files: dict[str, dict[str, Any]]) -> None:
    files[INTENT]["entry"]["title"] = "another"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(set_git("head", "1" * 40), "its commit 111111111111 is not in this repository", id="commit"),
        pytest.param(set_git("tree", "2" * 40), "it names 222222222222", id="tree"),
        pytest.param(set_identity, "test_answer is another test at its tree", id="identities of another folder"),
        pytest.param(set_entry, "the registry at its tree declares another 'title'", id="registry entry"),
        pytest.param(
            lambda files: files[INTENT]["registry"].update(sha256="3" * 64), "is not the registry", id="registry"
        ),
    ],
)
def test_what_git_does_not_know_is_found(
    sandbox: Sandbox, change: Callable[[dict[str, dict[str, Any]]], object], told: str
) -> None:
    red = sandbox.record("red")
    assert sandbox.run("verify").code == 0
    forge(sandbox, red.folder, change)
    done = sandbox.run("verify")
    assert done.code == 21
    assert told in done.err, done.err
    assert sandbox.run("verify", "--no-git").code == 0


def test_uncommitted_changes_are_rebuilt_from_commit_and_patch(sandbox: Sandbox) -> None:
    sandbox.write("tests/helper.py", "NEW = 1\n")
    sandbox.record("red")
    fix_product(sandbox)
    green = sandbox.record("green")
    assert green.result.exit_code == 0
    assert sandbox.run("verify").code == 0
    sandbox.commit("all of it")
    assert sandbox.run("verify").code == 0


def test_a_shallow_clone_is_not_held_against_the_evidence(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.record("red")
    sandbox.commit("evidence")
    fix_product(sandbox)
    sandbox.commit("later")
    sandbox.git("clone", "-q", "--depth=1", f"file://{sandbox.root}", str(tmp_path / "shallow"))
    clone = Sandbox(tmp_path / "shallow")
    assert clone.run("verify").code == 0, clone.run("verify").err


def test_a_folder_without_a_repository_is_checked_without_history(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.record("red")
    copy = sandbox.copy(tmp_path / "bare")
    (copy.root / ".git").rename(tmp_path / "git")
    assert copy.run("verify").code == 0


def test_a_clock_that_is_a_little_behind_leaves_a_pair_that_holds(sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    red = sandbox.record("red", now=now)
    fix_product(sandbox)
    green = sandbox.record("green", now=now - timedelta(seconds=60))
    assert green.key > red.key
    assert sandbox.run("verify").code == 0, sandbox.run("verify").err
