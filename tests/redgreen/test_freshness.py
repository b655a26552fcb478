"""The status and the ledger say whether a proof still holds for the files at HEAD, without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target


@pytest.fixture
def proven(tmp_path: Path) -> Sandbox:
    sandbox = make_sandbox(tmp_path / "repo", target(extra='product: ["*.py"]'), guard())
    sandbox.write("other.py", "VALUE = 1\n")
    sandbox.commit("other")
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.record("green")
    sandbox.commit("fixed")
    return sandbox


def told(sandbox: Sandbox) -> str:
    """What the status says of the proof."""
    rows = sandbox.run("status", "--json").values()["selectors"]
    return str(next(row["proof"] for row in rows if row["selector"] == "demo"))


def test_a_proof_holds_until_its_fix_or_its_tests_change(proven: Sandbox) -> None:
    assert told(proven) == "PROVEN, holds"
    proven.write("README.txt", "words\n")
    proven.commit("words")
    assert told(proven) == "PROVEN, holds"
    proven.write("other.py", "VALUE = 2\n")
    proven.commit("beside it")
    assert told(proven) == "PROVEN, fix holds (other.py)"
    proven.write("product.py", "def answer():\n    return 21 * 2\n")
    proven.commit("the fix itself")
    assert told(proven) == "PROVEN, outdated (product.py)"
    assert "green (PROVEN, outdated (product.py))" in proven.run("status").out


@pytest.mark.parametrize("name", ["tests/test_demo.py", "tests/conftest.py", "conftest.py", "pytest.ini"])
def test_a_proof_is_outdated_when_its_tests_change(proven: Sandbox, name: str) -> None:
    path = proven.root / name
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    proven.write(name, before + ("\n# more\n" if name.endswith(".py") else "[pytest]\n"))
    proven.commit("tests")
    assert told(proven) == f"PROVEN, outdated ({name})"


def test_the_ledger_says_it_and_is_not_wrong_a_commit_later(proven: Sandbox) -> None:
    assert proven.run("ledger", "--rebuild").code == 0
    assert "demo holds." in proven.project.ledger.read_text(encoding="utf-8")
    proven.write("product.py", "def answer():\n    return 21 * 2\n")
    proven.commit("the fix itself")
    assert proven.run("ledger", "--check").code == 0
    assert proven.run("ledger", "--rebuild").code == 0
    assert "demo outdated" in proven.project.ledger.read_text(encoding="utf-8")
    proven.record("guard", "held")
    assert "demo outdated" in proven.project.ledger.read_text(encoding="utf-8")
    assert proven.run("verify").code == 0


def test_a_commit_that_git_lost_makes_a_proof_unknown(proven: Sandbox) -> None:
    proven.git("checkout", "-q", "--orphan", "other")
    proven.commit("all anew")
    proven.git("branch", "-q", "-D", "main")
    proven.git("reflog", "expire", "--expire=now", "--all")
    proven.git("gc", "-q", "--prune=now")
    assert told(proven) == "PROVEN, unknown"
