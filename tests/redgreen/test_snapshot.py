"""Which code was tested: commit and patch give the tree, and the user's own index is not touched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, fix_product, make_sandbox

from redgreen.gitrepo import take_snapshot
from redgreen.registry.layout import Layout


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return make_sandbox(tmp_path / "repo")


def test_commit_and_patch_give_the_tree_in_another_clone(sandbox: Sandbox, tmp_path: Path) -> None:
    fix_product(sandbox)
    sandbox.write("new/file.py", "VALUE = 1\n")
    (sandbox.root / "new/data.bin").write_bytes(bytes(range(256)))
    (sandbox.root / "tests/test_held.py").unlink()
    code = take_snapshot(sandbox.root, Layout().evidence)
    assert code.revision.dirty
    sandbox.git("clone", "-q", str(sandbox.root), str(tmp_path / "clone"))
    clone = Sandbox(tmp_path / "clone")
    (tmp_path / "x.patch").write_bytes(code.patch)
    clone.git("apply", "--index", str(tmp_path / "x.patch"))
    assert clone.git("write-tree").strip() == code.revision.tree


def test_evidence_and_ignored_files_are_no_part_of_the_code(sandbox: Sandbox) -> None:
    before = take_snapshot(sandbox.root, Layout().evidence)
    sandbox.write("plans/active/DEMO-001/reports/2020-01-01T000000Z/x/result.json", "{}")
    sandbox.write("docs/fix_plan.md", "# Ledger\n")
    sandbox.write(".redgreen/scratch/x", "x")
    sandbox.git("add", "-A")
    after = take_snapshot(sandbox.root, Layout().evidence)
    assert (after.revision.tree, after.revision.dirty, after.patch) == (before.revision.tree, False, b"")


def test_the_index_and_the_objects_stay_as_they_were(sandbox: Sandbox) -> None:
    def state() -> tuple[str, int]:
        index = hashlib.sha256((sandbox.root / ".git/index").read_bytes()).hexdigest()
        return index, sum(1 for path in (sandbox.root / ".git/objects").rglob("*") if path.is_file())

    fix_product(sandbox)
    sandbox.write("other.py", "VALUE = 2\n")
    before = state()
    assert take_snapshot(sandbox.root, Layout().evidence).revision.dirty
    assert state() == before


def test_a_change_of_the_same_size_within_the_same_second_is_seen(sandbox: Sandbox) -> None:
    moment = (1_700_000_000, 1_700_000_000)
    sandbox.git("config", "core.trustctime", "false")
    os.utime(sandbox.root / "product.py", moment)
    sandbox.git("update-index", "--refresh")
    os.utime(sandbox.root / ".git/index", moment)
    fix_product(sandbox)
    os.utime(sandbox.root / "product.py", moment)
    code = take_snapshot(sandbox.root, Layout().evidence)
    assert code.revision.dirty
    assert b"return 42" in code.patch
