"""Bad input ends in one clear line on standard error and the right exit code; nothing is lost, nothing half-written."""

from __future__ import annotations

import resource
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redgreen_sandbox import Done, Sandbox, fix_product, guard, make_sandbox, target

from redgreen.evidence.ledger import check
from redgreen.evidence.verify_all import verify_all


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sandbox = make_sandbox(tmp_path_factory.mktemp("bad") / "repo", target(), guard())
    sandbox.record("red")
    sandbox.commit("evidence")
    return sandbox.root


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo")
    return Sandbox(tmp_path / "repo")


def assert_refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.err + done.out
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("redgreen: ")
    assert all(word in lines[0] for word in words), lines[0]


REGISTRIES = {
    "missing": (None, "no such file"),
    "empty": ("", "empty"),
    "only a comment": ("# nothing\n", "empty"),
    "not YAML": ("selectors: [unclosed\n", "not valid YAML"),
    "a list": ("- a\n- b\n", "expected a mapping"),
    "a number": ("42\n", "expected a mapping"),
    "binary": ("\udcff\udcfe\x00", "cannot be read as text"),
    "numbers for selectors": ("schema: 1\ninitiatives: 3\nselectors: 7\n", "expected a mapping"),
    "nothing in it": ("schema: 1\n", "no selector is declared"),
    "null entries": ("schema: 1\ninitiatives: {A-1: }\nselectors: {x: }\n", "is missing"),
    "a key that is no text": ("1: 2\n", "is not a string"),
    "tabs": ("schema:\t1\n\tselectors: x\n", "not valid YAML"),
    "an alias of nothing": ("schema: *gone\n", "not valid YAML"),
    "an object": ("schema: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_registry_that_is_none(sandbox: Sandbox, kind: str) -> None:
    content, told = REGISTRIES[kind]
    path = sandbox.root / "plans/registry.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    done = sandbox.run("run", "red", "demo")
    assert_refused(done, 20, "plans/registry.yaml", told)
    assert done.closing[:3] == ["REDGREEN", "20", "REGISTRY_ERROR"]


def test_words_that_are_no_command(sandbox: Sandbox) -> None:
    assert_refused(sandbox.run("run", "blue", "demo"), 20, "blue")
    assert_refused(sandbox.run("nothing"), 20, "nothing")
    assert_refused(sandbox.run("ledger"), 20, "--check")
    assert_refused(sandbox.run("run", "red", "--initiative", "NONE-1"), 20, "NONE-1")
    assert_refused(sandbox.run("run", "red", "dmeo"), 20, "did you mean demo?")
    assert_refused(sandbox.run("run", "green", "demo", "--red", "no-such-run"), 26, "no-such-run")
    assert_refused(sandbox.run("verify", "--against", "no-such-commit"), 29, "git")


def test_a_selector_that_collects_nothing_leaves_an_invalid_attempt(sandbox: Sandbox) -> None:
    sandbox.write("tests/test_demo.py", "VALUE = 1\n")
    done = sandbox.run("run", "red", "demo")
    assert (done.code, done.verdict) == (43, "NO_TESTS")
    assert verify_all(sandbox.project)[0] == []


def test_a_folder_without_git_or_without_a_commit(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.root / ".git")
    sandbox.env["GIT_CEILING_DIRECTORIES"] = str(sandbox.root.parent)
    assert_refused(sandbox.run("run", "red", "demo"), 29, "not a git repository", "--scratch")
    sandbox.git("init", "-q")
    assert_refused(sandbox.run("run", "red", "demo"), 29, "no commit", "--scratch")
    scratch = sandbox.run("run", "red", "demo", "--scratch")
    assert (scratch.code, scratch.verdict) == (0, "VALID_RED")
    assert scratch.closing[3].startswith(".redgreen/scratch/")


def test_a_detached_head_is_recorded_as_one(sandbox: Sandbox) -> None:
    sandbox.git("checkout", "-q", "--detach")
    done = sandbox.run("run", "red", "demo")
    assert done.code == 0, done.err
    code = sandbox.sealed(done).result.git
    assert code is not None
    assert code.branch == ""


def test_a_file_where_the_reports_should_be(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.root / "plans/active/DEMO-001/reports")
    sandbox.write("plans/active/DEMO-001/reports", "in the way")
    assert_refused(sandbox.run("run", "red", "demo"), 28, "a file stands where a folder is needed")
    assert (sandbox.root / "plans/active/DEMO-001/reports").read_text(encoding="utf-8") == "in the way"


def test_a_file_where_the_state_folder_should_be(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.root / ".redgreen")
    sandbox.write(".redgreen", "in the way")
    assert_refused(sandbox.run("run", "red", "demo"), 28)


def test_a_full_disk_seals_nothing(sandbox: Sandbox) -> None:
    before = (sandbox.root / "docs/fix_plan.md").read_bytes()
    sandbox.write("tests/test_demo.py", "def test_answer():\n    print('x' * 300_000)\n    assert 0, 'answer'\n")
    limit = (100_000, 100_000)
    done = sandbox.spawn("run", "red", "demo", preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert_refused(done, 28, "nothing of it counts")
    assert (sandbox.root / "docs/fix_plan.md").read_bytes() == before
    assert len(list(sandbox.project.list_folders())) == 1, "only the earlier run is sealed"
    assert verify_all(sandbox.project)[0], "what was left is no evidence"
    assert sandbox.run("close").code == 0
    assert verify_all(sandbox.project)[0] == []


def test_a_clock_that_went_back(sandbox: Sandbox) -> None:
    project = sandbox.project
    folder = next(iter(project.list_folders()))
    future = datetime.now(UTC) + timedelta(days=400)
    (folder.parents[1] / future.strftime("%Y-%m-%dT%H%M%SZ")).mkdir()
    assert_refused(sandbox.run("run", "red", "demo"), 27, "the clock says", "set the clock")
    assert len(list(project.list_folders())) == 1


def test_a_folder_renamed_by_hand(sandbox: Sandbox) -> None:
    folder = next(iter(sandbox.project.list_folders()))
    folder.rename(folder.with_name("better_name"))
    done = sandbox.run("verify")
    assert done.code == 21
    assert "better_name: the folder is not where it was written" in done.err
    assert sandbox.run("ledger", "--check").code == 22
    assert sandbox.run("status").code == 0
    fix_product(sandbox)
    assert sandbox.run("run", "green", "demo").code == 21


def test_a_ledger_that_cannot_be_replaced_loses_nothing(sandbox: Sandbox) -> None:
    text = sandbox.project.ledger.read_bytes()
    sandbox.project.ledger.unlink()
    sandbox.project.ledger.mkdir()
    done = sandbox.run("run", "red", "demo")
    assert done.code in (22, 28)
    assert len(list(sandbox.project.list_folders())) == 2, "the run itself is sealed"
    sandbox.project.ledger.rmdir()
    sandbox.project.ledger.write_bytes(text)
    assert sandbox.run("ledger", "--rebuild").code == 0
    assert check(sandbox.project, sandbox.loaded()) == []


def test_json_goes_to_standard_output_even_when_refused(sandbox: Sandbox) -> None:
    done = sandbox.run("run", "red", "nothing", "--json")
    assert done.values()["label"] == "REGISTRY_ERROR"
    assert done.values()["code"] == done.code == 20
