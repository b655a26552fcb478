"""A guard that held leaves one sealed line; one that broke leaves its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redgreen_kill import kill_at_each_step
from redgreen_sandbox import Sandbox, guard, make_sandbox, target

from redgreen.codec import digest, to_line
from redgreen.errors import ClockError
from redgreen.evidence import ledger
from redgreen.evidence.guards import GUARDS, GUARDS_ARCHIVE, load_lines, read_lines
from redgreen.evidence.packed import WITNESSES, read_contents
from redgreen.evidence.sealed import load_run
from redgreen.evidence.store import store
from redgreen.evidence.verify_all import verify_all

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    sandbox = make_sandbox(tmp_path_factory.mktemp("guards") / "repo", target(), guard())
    for minute in range(3):
        sandbox.record("guard", "held", now=NOW + timedelta(minutes=minute))
    sandbox.commit("evidence")
    return sandbox


@pytest.fixture
def sandbox(recorded: Sandbox, tmp_path: Path) -> Sandbox:
    return recorded.copy(tmp_path / "repo")


def log_of(sandbox: Sandbox) -> Path:
    return sandbox.root / "plans/active/DEMO-001/reports" / GUARDS


def test_a_guard_that_held_is_one_line_with_what_a_reviewer_asks(tmp_path: Path) -> None:
    sandbox = make_sandbox(tmp_path / "repo", target(), guard())
    sandbox.write("product.py", "def answer():\n    return 40\n")
    done = sandbox.run("guard", "held")
    assert done.closing == ["REDGREEN", "0", "GUARD_HELD", "plans/active/DEMO-001/reports/guards.jsonl"]
    assert [path.name for path in log_of(sandbox).parent.iterdir()] == [GUARDS]
    line = json.loads(log_of(sandbox).read_text(encoding="utf-8"))
    head = sandbox.git("rev-parse", "HEAD").strip()
    assert line["run_id"].startswith(line["folder"].split("/")[0] + "-held-guard-")
    assert (line["selector"], line["phase"], line["initiative"]) == ("held", "A", "DEMO-001")
    assert (line["verdict"], line["exit_code"], line["reasons"]) == ("GUARD_HELD", 0, [])
    assert (line["git"]["head"], line["git"]["dirty"]) == (head, True)
    patch = sandbox.git("diff", "--binary", "--full-index", "HEAD", "--", "product.py").encode()
    assert line["git"]["patch_sha256"] == hashlib.sha256(patch).hexdigest()
    assert line["outcomes"] == {"passed": 1}
    assert line["time"]["start"] <= line["time"]["end"]
    assert all(len(line[f"{name}_sha256"]) == 64 for name in ("tests", "entry", "promise", "manifest", "registry"))
    assert sandbox.run("verify").out == "1 report verified\n"


def test_status_and_ledger_know_it(sandbox: Sandbox) -> None:
    row = sandbox.run("status", "--json").values()["selectors"][1]
    assert (row["state"], row["attempts"], row["stale"]) == ("held", 3, False)
    assert row["last"] == "GUARD_HELD 2021-05-06T071009Z/held"
    text = sandbox.project.ledger.read_text(encoding="utf-8")
    assert "[line](../plans/active/DEMO-001/reports/guards.jsonl#2021-05-06T070809Z/held)" in text
    assert not ledger.rebuild(sandbox.project, sandbox.loaded())
    sandbox.registry(target(), guard(extra="k: other"))
    assert sandbox.run("status", "--json").values()["selectors"][1]["stale"]


def test_a_guard_that_broke_keeps_its_folder(sandbox: Sandbox) -> None:
    sandbox.write("tests/test_held.py", "def test_held():\n    assert 1 == 2\n")
    done = sandbox.run("guard", "held")
    assert (done.code, done.verdict) == (57, "GUARD_BROKEN")
    folder = sandbox.folder(done)
    assert {path.name for path in folder.iterdir()} == {"summary.md", "pytest_held.log", WITNESSES}
    assert "assert 1 == 2" in (folder / "pytest_held.log").read_text(encoding="utf-8")
    assert len(read_lines(log_of(sandbox))) == 3
    assert sandbox.run("verify", "--against", "HEAD").code == 0
    assert sandbox.run("status", "--json").values()["selectors"][1]["state"] == "invalid"


def test_a_guard_that_held_keeps_its_folder_when_asked(sandbox: Sandbox) -> None:
    done = sandbox.run("guard", "held", "--keep", "--json").values()
    assert {path.name for path in (sandbox.root / done["path"]).iterdir()} >= {"summary.md", WITNESSES}
    assert sandbox.run("verify", "--against", "HEAD").code == 0


def test_the_time_of_a_line_is_taken(sandbox: Sandbox) -> None:
    again = sandbox.record("guard", "held", now=NOW + timedelta(minutes=2))
    assert again.stamp == "2021-05-06T071009Z-01"
    assert [line.stamp for line in load_lines(sandbox.project)][-1] == again.stamp
    with pytest.raises(ClockError):
        sandbox.record("guard", "held", now=NOW - timedelta(hours=1))
    assert verify_all(sandbox.project)[0] == []


def test_one_log_or_one_initiative_can_be_verified_alone(sandbox: Sandbox) -> None:
    assert sandbox.run("verify", "plans/active/DEMO-001/reports/guards.jsonl").out == "3 reports verified\n"
    assert sandbox.run("verify", "plans/active/DEMO-001").out == "3 reports verified\n"


def change_line(log: Path, change: Callable[[dict[str, Any]], object], number: int = 1) -> None:
    """Change a line, and seal it again, as somebody would who knows how."""
    lines = log.read_bytes().splitlines(keepends=True)
    value = json.loads(lines[number])
    change(value)
    value.pop("seal", None)
    lines[number] = to_line(value | {"seal": digest(value)}).encode()
    log.write_bytes(b"".join(lines))


def change_lines(log: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))


TAMPERS: dict[str, Callable[[Path], object]] = {
    "a value": lambda log: change_lines(log, lambda ls: [ls[0], ls[1].replace(b'"passed":1', b'"passed":2'), ls[2]]),
    "a value, sealed again": lambda log: change_line(log, lambda v: v["outcomes"].update(passed=2)),
    "a line taken away": lambda log: change_lines(log, lambda ls: ls[1:]),
    "a line twice": lambda log: change_lines(log, lambda ls: [*ls, ls[2]]),
    "half a line": lambda log: change_lines(log, lambda ls: [*ls[:2], ls[2][:50]]),
    "words": lambda log: change_lines(log, lambda ls: [*ls, b"words\n"]),
    "another order": lambda log: change_lines(log, lambda ls: [ls[1], ls[0], ls[2]]),
    "all lines taken away": lambda log: log.write_bytes(b""),
    "the log taken away": lambda log: log.unlink(),
    "another verdict": lambda log: change_line(log, lambda v: v.update(verdict="GUARD_BROKEN", exit_code=57)),
    "another exit code": lambda log: change_line(log, lambda v: v.update(exit_code=1)),
    "a failure": lambda log: change_line(log, lambda v: v["outcomes"].update(failed=1)),
    "another time": lambda log: change_line(log, lambda v: v.update(folder="2021-05-06T070910Z/held")),
    "the clock set back": lambda log: change_line(log, lambda v: v["time"].update(end="2000-01-01T000000Z")),
    "another initiative": lambda log: change_line(log, lambda v: v.update(initiative="X-1")),
    "another schema": lambda log: change_line(log, lambda v: v.update(schema=2)),
    "a key more": lambda log: change_line(log, lambda v: v.update(more=1)),
    "a folder that leads out": lambda log: change_line(log, lambda v: v.update(folder="../../x")),
    "files that are not there": lambda log: change_line(log, lambda v: v.update(kept=True)),
    "moved to another initiative": lambda log: log.parents[1].rename(log.parents[2] / "X-1"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERS)
def test_every_change_of_the_log_is_found(sandbox: Sandbox, name: str) -> None:
    TAMPERS[name](log_of(sandbox))
    done = sandbox.run("verify", "--against", "HEAD")
    assert done.code == 21, done.out
    assert "Traceback" not in done.err
    assert sandbox.run("status").code == 0


def test_close_sorts_what_a_merge_has_mixed(sandbox: Sandbox) -> None:
    before = log_of(sandbox).read_bytes()
    change_lines(log_of(sandbox), lambda lines: lines[::-1])
    assert "close" in sandbox.run("verify").err
    assert sandbox.run("close").code == 0
    assert log_of(sandbox).read_bytes() == before
    assert sandbox.run("verify", "--against", "HEAD").code == 0


def test_guards_of_two_branches_merge_by_themselves(sandbox: Sandbox) -> None:
    sandbox.git("checkout", "-q", "-b", "other")
    sandbox.record("guard", "held", now=NOW + timedelta(hours=1))
    sandbox.git("commit", "-q", "-m", "other", "--", log_of(sandbox).as_posix())
    sandbox.git("checkout", "-q", "--force", "main")
    sandbox.record("guard", "held", now=NOW + timedelta(hours=2))
    sandbox.git("commit", "-q", "-m", "ours", "--", log_of(sandbox).as_posix())
    sandbox.git("checkout", "-q", "--force", "main")
    sandbox.git("merge", "-q", "other", "-m", "merge")
    assert sandbox.run("close").code == 0
    assert [line.stamp[11:15] for line in read_lines(log_of(sandbox))] == ["0708", "0709", "0710", "0808", "0908"]
    assert sandbox.run("verify", "--against", "other").code == 0


def test_a_kill_at_any_step_loses_no_guard(tmp_path: Path) -> None:
    origin = make_sandbox(tmp_path / "origin", target(), guard())
    origin.record("guard", "held")
    run = origin.record("guard", "held", keep=True)
    contents = read_contents(run.folder)
    origin.commit("evidence")
    copies: list[Sandbox] = []

    def prepare() -> Callable[[], object]:
        made = origin.copy(tmp_path / f"repo{len(copies)}")
        copies.append(made)
        folder = made.root / origin.project.relativize(run.folder)
        return lambda: store(made.project, made.loaded(), folder, keep=False)

    for step in kill_at_each_step(prepare):
        sandbox = copies[-1]
        folder = sandbox.root / origin.project.relativize(run.folder)
        assert verify_all(sandbox.project, str(sandbox.root / "plans"))[0] == [], step
        states = sandbox.run("status", "--json").values()["selectors"]
        assert (states[1]["state"], states[1]["attempts"]) == ("held", 2), step
        is_begun = len(read_lines(log_of(sandbox))) == 2
        was_there = folder.is_dir()
        assert is_begun or was_there, step
        assert sandbox.run("close").code == 0
        assert sandbox.run("verify").code == 0
        assert folder.is_dir() == (was_there and not is_begun)
        if was_there and is_begun:
            unpacked = sandbox.run("unpack", run.result.run_id, "--to", str(tmp_path / f"out{step}"))
            assert unpacked.code == 0, "what was left was moved, not deleted"
            assert {p.name: p.read_bytes() for p in (tmp_path / f"out{step}").iterdir()} == contents
    assert len(copies) > 2
    final = copies[-1]
    assert not (final.root / origin.project.relativize(run.folder)).exists()
    assert not log_of(final).with_name(GUARDS_ARCHIVE).exists()
    assert final.run("verify").code == 0
    assert final.run("verify", "--against", "HEAD").code == 21, "a folder that was committed is gone"


def test_a_scratch_guard_keeps_its_files_loose(sandbox: Sandbox) -> None:
    done = sandbox.run("guard", "held", "--scratch")
    assert (sandbox.folder(done) / "result.json").is_file()
    assert load_run(sandbox.folder(done)).result.verdict == "GUARD_HELD"
    assert sandbox.git("status", "--porcelain") == ""
