"""The ledger is a view of the sealed folders; prose is kept, and many writers lose nothing."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, copy_report, fix_product, guard, make_sandbox, target

from redgreen.errors import LedgerError
from redgreen.evidence import ledger
from redgreen.evidence.folder import reserve
from redgreen.evidence.verify_all import verify_all
from redgreen.project import Project

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
PROSE = """# Fix plan

Hand-written, with trailing spaces   and a | pipe.

## DEMO-001

Why: because.
<!-- redgreen:begin DEMO-001 (generated; edit outside) -->
words of yesterday
<!-- redgreen:end DEMO-001 -->
Afterwards: more words.
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sandbox = make_sandbox(tmp_path_factory.mktemp("ledger") / "repo", target(), guard())
    sandbox.record("guard", "held")
    return sandbox.root


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo")
    return Sandbox(tmp_path / "repo")


def report_of(sandbox: Sandbox) -> Path:
    """The one sealed folder."""
    return next(iter(sandbox.project.folders()))


def test_adding_row_by_row_equals_rendering_from_the_folders(sandbox: Sandbox) -> None:
    registry = sandbox.loaded()
    for minute in (3, 1, 2):
        ledger.add(
            sandbox.project, registry, copy_report(sandbox.project, report_of(sandbox), NOW.replace(minute=minute))
        )
    added = sandbox.project.ledger.read_bytes()
    assert not ledger.rebuild(sandbox.project, registry)
    sandbox.project.ledger.unlink()
    assert ledger.rebuild(sandbox.project, registry)
    assert sandbox.project.ledger.read_bytes() == added
    assert added.count(b"GUARD_HELD") == 4
    assert verify_all(sandbox.project)[0] == []


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_prose_is_kept_to_the_byte(sandbox: Sandbox, newline: str) -> None:
    before = PROSE.replace("\n", newline).encode()
    sandbox.project.ledger.write_bytes(before)
    assert ledger.check(sandbox.project, sandbox.loaded())
    ledger.rebuild(sandbox.project, sandbox.loaded())
    after = sandbox.project.ledger.read_bytes()
    start, end = b"<!-- redgreen:begin", b"<!-- redgreen:end DEMO-001 -->"
    assert after.split(start)[0] == before.split(start)[0]
    assert after.split(end)[1] == before.split(end)[1]
    assert b"GUARD_HELD" in after
    assert b"yesterday" not in after
    assert ledger.check(sandbox.project, sandbox.loaded()) == []


def test_invalid_and_abandoned_attempts_stay_visible(sandbox: Sandbox) -> None:
    fix_product(sandbox)
    sandbox.record("red")
    stamp = reserve(sandbox.project, "DEMO-001", datetime.now(UTC))
    (stamp / ".demo.partial").mkdir()
    assert sandbox.run("close").code == 0
    text = sandbox.project.ledger.read_text(encoding="utf-8")
    assert "NOTHING_FAILED" in text
    assert "ABANDONED" in text
    assert verify_all(sandbox.project)[0] == []
    assert "[plans/active/DEMO-001/implementation.md]" in text, "the plan with its checklists is linked"


@pytest.mark.parametrize(
    "broken",
    [
        "<!-- redgreen:begin DEMO-001 (generated; edit outside) -->\n",
        "<!-- redgreen:end DEMO-001 -->\n",
        PROSE + PROSE,
        PROSE.replace("redgreen:end DEMO-001", "redgreen:end DEMO-002"),
        PROSE.replace("(generated; edit outside)", ""),
    ],
    ids=["no end", "no begin", "twice", "another end", "mark edited"],
)
def test_broken_marks_are_named_and_nothing_is_overwritten(sandbox: Sandbox, broken: str) -> None:
    sandbox.project.ledger.write_text(broken, encoding="utf-8")
    with pytest.raises(LedgerError, match=r"docs/fix_plan\.md:\d+"):
        ledger.rebuild(sandbox.project, sandbox.loaded())
    done = sandbox.run("ledger", "--check")
    assert done.code == 22
    assert done.err.count("\n") == 1
    assert sandbox.project.ledger.read_text(encoding="utf-8") == broken


def test_a_merge_conflict_inside_a_block_is_cured_by_rendering(sandbox: Sandbox) -> None:
    ledger.rebuild(sandbox.project, sandbox.loaded())
    good = sandbox.project.ledger.read_text(encoding="utf-8")
    mark = "<!-- redgreen:end"
    sandbox.project.ledger.write_text(
        good.replace(mark, f"<<<<<<< ours\n| a |\n=======\n| b |\n>>>>>>> theirs\n{mark}"), "utf-8"
    )
    ledger.rebuild(sandbox.project, sandbox.loaded())
    assert sandbox.project.ledger.read_text(encoding="utf-8") == good


def seal_many(root: str, number: int, add: bool) -> None:
    """Seal reports from one of several processes, every one under the same frozen clock."""
    os.fsync = lambda fd: None  # power cuts are not the question here, and waiting for the disk takes a minute
    project = Project(Path(root))
    sandbox = Sandbox(Path(root))
    source = min(project.folders())
    registry = sandbox.loaded()
    for _ in range(number):
        folder = copy_report(project, source, NOW)
        if add:
            ledger.add(project, registry, folder)


def in_processes(function: object, count: int, *arguments: object) -> None:
    """Run a function in several processes at once."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=function, args=arguments) for _ in range(count)]  # type: ignore[arg-type]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0


def test_sixteen_writers_of_two_hundred_results_lose_none(sandbox: Sandbox) -> None:
    in_processes(seal_many, 16, str(sandbox.root), 200, False)
    ledger.rebuild(sandbox.project, sandbox.loaded())
    rows = ledger.ledger_rows(sandbox.project.ledger.read_text(encoding="utf-8"))
    assert len(rows) == 16 * 200 + 1
    assert len({row.rpartition("`")[0][-12:] for row in rows.values()}) == len(rows), "every seal is its own"


def test_writers_that_add_their_rows_at_once_lose_none(sandbox: Sandbox) -> None:
    in_processes(seal_many, 8, str(sandbox.root), 10, True)
    added = sandbox.project.ledger.read_bytes()
    assert len(ledger.ledger_rows(added.decode())) == 81
    assert not ledger.rebuild(sandbox.project, sandbox.loaded())


def reserve_many(root: str, number: int, queue: multiprocessing.Queue[list[str]]) -> None:
    """Reserve report folders under a frozen clock."""
    queue.put([reserve(Project(Path(root)), "DEMO-001", NOW).name for _ in range(number)])


def test_a_thousand_reservations_under_one_frozen_clock_never_collide(sandbox: Sandbox) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=reserve_many, args=(str(sandbox.root), 125, queue)) for _ in range(8)]
    for worker in workers:
        worker.start()
    names = [name for _ in workers for name in queue.get(timeout=120)]
    for worker in workers:
        worker.join(60)
    assert len(names) == len(set(names)) == 1000
