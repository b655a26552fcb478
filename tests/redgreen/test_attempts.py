"""An attempt that was recorded here and taken away is named in the record of the GREEN that follows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target

from redgreen.codes import Verdict
from redgreen.evidence.sealed import load_replay


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return make_sandbox(tmp_path / "repo", target(extra="product: [product.py]"), guard())


def notes_of_green(sandbox: Sandbox) -> str:
    """What the replay of a GREEN notes."""
    fix_product(sandbox)
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    record = load_replay(green)
    return "\n".join(record.notes) if record is not None else ""


def test_a_failed_attempt_that_was_deleted_is_named(sandbox: Sandbox) -> None:
    sandbox.record("red")
    failed = sandbox.record("green")
    assert failed.verdict is Verdict.STILL_RED
    shutil.rmtree(failed.folder)
    assert sandbox.run("ledger", "--rebuild").code == 0
    told, run_id = notes_of_green(sandbox), failed.result.run_id
    assert run_id in told, f"the deleted attempt is not named: {told}"
    assert sandbox.run("verify").code == 0


def test_attempts_that_are_there_or_belong_to_another_red_are_not_named(sandbox: Sandbox) -> None:
    earlier = sandbox.record("red")
    shutil.rmtree(earlier.folder)
    sandbox.record("red")
    sandbox.record("green")
    assert "attempt" not in notes_of_green(sandbox)
