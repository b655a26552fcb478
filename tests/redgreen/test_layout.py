"""Where a project keeps its registry, reports, ledger and documents is its own choice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target

from redgreen.evidence.packed import read_contents
from redgreen.project import find_project

SETTINGS = """
[tool.redgreen]
registry = "ci/selectors.yaml"
plans = "evidence"
ledger = "LEDGER.md"

[tool.redgreen.documents]
index = "docs/tests.md"
"""


def move(sandbox: Sandbox, settings: str = SETTINGS) -> Sandbox:
    """Give a sandbox other paths."""
    path = sandbox.root / "pyproject.toml"
    path.write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n' + settings, encoding="utf-8")
    sandbox.write("ci/selectors.yaml", (sandbox.root / "plans/registry.yaml").read_text(encoding="utf-8"))
    (sandbox.root / "plans/registry.yaml").unlink()
    sandbox.commit("moved")
    return sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return move(make_sandbox(tmp_path / "repo", target(), guard()))


def test_a_pair_is_recorded_and_verified_where_the_project_says(sandbox: Sandbox) -> None:
    assert sandbox.run("lint", "--freeze").code == 0
    assert (sandbox.root / "ci/selectors.lock.json").is_file()
    sandbox.commit("frozen")
    red = sandbox.run("run", "red", "demo")
    assert red.code == 0, red.out + red.err
    assert red.closing[3].startswith("evidence/DEMO-001/reports/")
    fix_product(sandbox)
    assert sandbox.run("run", "green", "demo").code == 0
    sandbox.commit("pair")
    assert sandbox.run("verify").code == 0
    assert sandbox.run("verify", "--against", "HEAD").code == 0
    assert sandbox.run("ledger", "--check").code == 0
    ledger = (sandbox.root / "LEDGER.md").read_text(encoding="utf-8")
    assert f"[folder]({red.closing[3]}/)" in ledger
    assert "(plans/active/DEMO-001/implementation.md)" in ledger
    assert not (sandbox.root / "docs/fix_plan.md").exists()


def test_the_evidence_of_a_project_is_no_part_of_its_code(sandbox: Sandbox) -> None:
    assert sandbox.run("guard", "held").code == 0
    again = sandbox.run("guard", "held", "--json").values()
    assert again["git"]["dirty"] is False


def test_what_is_gone_since_a_commit_is_found_in_another_place_too(sandbox: Sandbox) -> None:
    done = sandbox.run("guard", "held", "--keep")
    sandbox.commit("recorded")
    shutil.rmtree(sandbox.folder(done))
    told = sandbox.run("verify", "--against", "HEAD").err
    assert f"{done.closing[3]}: sealed at HEAD, gone now" in told


def test_documents_are_written_only_where_the_project_asks_for_them(sandbox: Sandbox) -> None:
    assert sandbox.run("docs").out == "docs/tests.md: written\n"
    text = (sandbox.root / "docs/tests.md").read_text(encoding="utf-8")
    assert "ci/selectors.yaml" in text
    assert "(../plans/active/DEMO-001/implementation.md)" in text
    for word in ("TESTING_GUIDE", "SELECTOR_MAP"):
        assert word not in text
    assert sandbox.run("docs", "--check").code == 0


def test_a_project_without_documents_is_told_how_to_have_some(tmp_path: Path) -> None:
    sandbox = move(make_sandbox(tmp_path / "repo", guard()), '[tool.redgreen]\nregistry = "ci/selectors.yaml"\n')
    done = sandbox.run("docs")
    assert done.code == 0
    assert "[tool.redgreen.documents]" in done.out
    assert not (sandbox.root / "docs").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('regsitry = "a.yaml"', "unknown key 'regsitry'; did you mean registry"),
        ('registry = "../a.yaml"', "tool.redgreen.registry: '../a.yaml' must be relative"),
        ('registry = "/a.yaml"', "must be relative"),
        ('registry = "a.json"', "must end in .yaml"),
        ('plans = ".redgreen/x"', "must not lie in .redgreen"),
        ('plans = "a b"', "plain path"),
        ('plans = "a//b"', "plain path"),
        ("plans = 3", "expected a string, found 3"),
        ('ledger = "a.txt"', "must end in .md"),
        ('plans = "ev"\nledger = "ev/X/reports/a.md"', "among the reports"),
        ('ledger = "a.md"\ndocuments = {index = "A.md"}', "are both"),
        ('documents = {inedx = "A.md"}', "did you mean documents.index"),
        ('documents = "a.md"', "expected a mapping"),
        ("plans = ", "pyproject.toml: cannot be read"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named_with_file_and_key(sandbox: Sandbox, settings: str, told: str) -> None:
    sandbox.write("pyproject.toml", f"[tool.redgreen]\n{settings}\n")
    done = sandbox.run("status")
    assert (done.code, done.err.count("\n")) == (20, 1)
    assert done.err.startswith("redgreen: pyproject.toml: "), done.err
    assert told in done.err


def test_a_file_of_its_own_holds_the_same_keys(sandbox: Sandbox) -> None:
    sandbox.write("pyproject.toml", "")
    sandbox.write("redgreen.toml", 'registry = "ci/selectors.yaml"\nplans = "evidence"\n')
    assert sandbox.run("guard", "held").closing[3].startswith("evidence/")
    sandbox.write("pyproject.toml", '[tool.redgreen]\nplans = "other"\n')
    assert "keep one of the two" in sandbox.run("status").err


def test_the_project_is_found_from_a_folder_inside_of_it(sandbox: Sandbox) -> None:
    project = find_project(sandbox.root / "tests", scratch=False)
    assert (project.root, project.layout.plans) == (sandbox.root, "evidence")


def test_a_missing_registry_is_told_with_the_way_on(sandbox: Sandbox) -> None:
    (sandbox.root / "ci/selectors.yaml").unlink()
    done = sandbox.run("status")
    assert done.code == 20
    assert "ci/selectors.yaml: there is no such file" in done.err
    assert "redgreen init" in done.err


def test_a_change_of_a_project_below_the_top_can_be_replayed(tmp_path: Path) -> None:
    outer = make_sandbox(tmp_path / "repo", guard())
    inner = Sandbox(outer.root / "services/one")
    inner.write("shop.py", "def price():\n    return 41\n")
    inner.write("tests/test_shop.py", "def test_nothing():\n    pass\n")
    outer.commit("a project in a folder")
    inner.write("shop.py", "def price():\n    return 42\n")
    inner.write("tests/test_shop.py", "from shop import price\n\n\ndef test_price():\n    assert price() == 42\n")
    outer.commit("changed")
    done = inner.run("prove", "HEAD~1..HEAD", "--repeat", "1", "--", "tests/test_shop.py")
    assert done.out.startswith("PROVEN"), done.out


def test_a_project_below_the_top_of_its_repository_is_recorded_with_the_whole_tree(tmp_path: Path) -> None:
    outer = make_sandbox(tmp_path / "repo", guard())
    inner = Sandbox(outer.root / "services/one")
    for name in ("plans/registry.yaml", "tests/test_held.py", "plans/active/DEMO-001/implementation.md"):
        inner.write(name, (outer.root / name).read_text(encoding="utf-8"))
    inner.write("pyproject.toml", "[tool.pytest.ini_options]\n")
    outer.commit("a project in a folder")
    outer.write("product.py", "VALUE = 3\n")
    done = inner.run("guard", "held", "--keep")
    assert done.code == 0, done.out + done.err
    assert b"VALUE = 3" in read_contents(inner.folder(done))["worktree.patch"]
    outer.commit("recorded")
    clean = inner.run("guard", "held", "--json").values()
    assert clean["git"]["dirty"] is False
    assert inner.run("verify", "--against", "HEAD").code == 0
    shutil.rmtree(inner.folder(done))
    assert "gone now" in inner.run("verify", "--against", "HEAD").err
