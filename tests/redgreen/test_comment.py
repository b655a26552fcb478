"""The text for a merge request: five lines a pair, each of them true, and harmless wherever it is posted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from page_reader import read_page
from redgreen_sandbox import Sandbox, guard, target, write_loose
from replay_fixture import make_replay, record_pair, reseal

from redgreen.codes import ProofVerdict
from redgreen.evidence.replays import append_replay
from redgreen.evidence.sealed import SealedRun, load_run

TEST = """\
from product import answer


def test_answer():
    assert answer() == 42, "the answer is <img src=x> [click](javascript:x) @person `not` there yet"
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("comment") / "repo"
    sandbox, _, _ = record_pair(root, target(extra="protects: [held]"), guard(), test=TEST)
    return sandbox.root


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo", symlinks=True)
    return Sandbox(tmp_path / "repo")


def load_pair(sandbox: Sandbox) -> tuple[SealedRun, SealedRun]:
    red, green = (load_run(folder) for folder in sorted(sandbox.project.list_folders()))
    return red, green


def test_the_newest_green_is_told_in_five_lines(sandbox: Sandbox) -> None:
    done = sandbox.run("comment")
    _, green = load_pair(sandbox)
    assert done.code == 0
    verdict, fixed, protected, hunks, where = done.out.splitlines()
    assert verdict == "**VALID_GREEN · PROVEN** `demo` (GREEN)"
    assert fixed.startswith("- Fixed: 1 of 1 declared test; at the RED `tests/test_demo.py::test_answer`: ``")
    assert "there yet" in fixed
    assert protected == "- Protected: 1 test passed before and now; `held` held"
    assert hunks == "- Hunks that no test notices: 0 of 1"
    assert where == f"- Read on: `{sandbox.project.relativize(green.folder)}/summary.md`"


def test_text_of_tests_is_harmless(sandbox: Sandbox) -> None:
    page = read_page(MarkdownIt("commonmark").render(sandbox.run("comment").out))
    assert {*page.tags} == {"p", "strong", "code", "ul", "li"}
    assert "the answer is <img src=x> [click](javascript:x) @person `not` there yet" in page.text


def test_what_is_new_since_a_commit_is_told(sandbox: Sandbox) -> None:
    sandbox.commit("evidence")
    before = sandbox.git("rev-parse", "HEAD~1").strip()
    told = sandbox.run("comment", "--base", before).out
    assert told == sandbox.run("comment").out + "\n"
    sandbox.record("red")
    assert sandbox.run("comment", "--base", "HEAD").out.splitlines() == [
        "No pair is new since `HEAD`.",
        "Also recorded: 1 NOTHING_FAILED.",
    ]


def test_a_run_is_named_by_id_or_folder(sandbox: Sandbox) -> None:
    red, _ = load_pair(sandbox)
    by_id = sandbox.run("comment", red.result.run_id)
    assert by_id.out == sandbox.run("comment", sandbox.project.relativize(red.folder)).out
    assert by_id.out.startswith("**VALID_RED** `demo` (RED)\n- Fails as declared: 1 test: ")


def test_the_newest_replay_counts(sandbox: Sandbox) -> None:
    _, green = load_pair(sandbox)
    later = make_replay(green, verdict=ProofVerdict.CHARACTERISATION, when="2041-01-01T00:00:00+00:00")
    append_replay(sandbox.project, "DEMO-001", later)
    assert sandbox.run("comment").out.startswith("**VALID_GREEN · CHARACTERISATION** `demo`")


def test_a_folder_that_does_not_verify_is_never_praised(sandbox: Sandbox) -> None:
    _, green = load_pair(sandbox)
    (write_loose(green.folder) / "env.json").write_text("{}", encoding="utf-8")
    done = sandbox.run("comment")
    assert done.out.startswith("**DOES NOT VERIFY** (`env.json was changed`) `demo`")
    assert "VALID_GREEN" not in done.out


def test_unwitnessed_hunks_are_named(sandbox: Sandbox) -> None:
    red, green = load_pair(sandbox)
    replay = make_replay(green)
    hunks = tuple(replace(replay.hunks[1], line=line) for line in range(1, 8))
    reseal(sandbox, green, red, replay=make_replay(green, hunks=hunks))
    assert "- Hunks that no test notices: 7 of 7: `product.py:1`, `product.py:2`, `product.py:3`, 4 more" in (
        sandbox.run("comment").out
    )


def test_what_cannot_be_told_is_refused_in_one_line(sandbox: Sandbox) -> None:
    for words, code in ((("nothing",), 26), (("--base", "nowhere"), 29), (("demo", "--base", "HEAD"), 20)):
        done = sandbox.run("comment", *words)
        assert done.code == code
        assert done.err.count("\n") == 1
    for folder in sandbox.project.list_folders():
        shutil.rmtree(folder)
    assert sandbox.run("comment").code == 26
