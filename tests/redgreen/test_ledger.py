"""The ledger is a view of the sealed folders; prose is kept, and many writers lose nothing."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redgreen_sandbox import (
    Copier,
    Sandbox,
    fix_product,
    guard,
    make_sandbox,
    reserve_many,
    seal_many,
    target,
)

from redgreen.errors import LedgerError
from redgreen.evidence import ledger
from redgreen.evidence.folder import reserve
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify_all import verify_all

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
    sandbox.record("guard", "held", keep=True)
    return sandbox.root


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo")
    return Sandbox(tmp_path / "repo")


def report_of(sandbox: Sandbox) -> Path:
    """The one sealed folder."""
    return next(iter(sandbox.project.list_folders()))


def test_adding_row_by_row_equals_rendering_from_the_folders(sandbox: Sandbox) -> None:
    registry, copier = sandbox.loaded(), Copier(sandbox.project, report_of(sandbox))
    for minute in (3, 1, 2):
        ledger.add(sandbox.project, registry, load_run(copier.seal(NOW.replace(minute=minute))))
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


CONTEXT = multiprocessing.get_context("fork")  # a new interpreter for each would take most of the time


def in_processes(function: Callable[..., None], count: int, *arguments: object) -> None:
    """Run a function in several processes at once."""
    workers = [CONTEXT.Process(target=function, args=arguments) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0


def test_sixteen_writers_of_two_hundred_results_lose_none(sandbox: Sandbox) -> None:
    in_processes(seal_many, 16, str(sandbox.root), 200, NOW, False, True)
    ledger.rebuild(sandbox.project, sandbox.loaded())
    rows = ledger.read_rows(sandbox.project.ledger.read_text(encoding="utf-8"))
    assert len(rows) == 16 * 200 + 1
    assert len({row.rpartition("`")[0][-12:] for row in rows.values()}) == len(rows), "every seal is its own"


def test_writers_that_add_their_rows_at_once_lose_none(sandbox: Sandbox) -> None:
    in_processes(seal_many, 8, str(sandbox.root), 10, NOW, True)
    added = sandbox.project.ledger.read_bytes()
    assert len(ledger.read_rows(added.decode())) == 81
    assert not ledger.rebuild(sandbox.project, sandbox.loaded())


def test_a_thousand_reservations_under_one_frozen_clock_never_collide(sandbox: Sandbox) -> None:
    queue = CONTEXT.SimpleQueue()
    in_processes(reserve_many, 8, str(sandbox.root), 125, NOW, queue)
    names = [name for _ in range(8) for name in queue.get()]
    assert len(names) == len(set(names)) == 1000
