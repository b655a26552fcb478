"""From a project's own tests to a registry, and from a failing test to a target, without writing YAML."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from redgreen_sandbox import TOP, Sandbox

import redgreen
from redgreen.registry.load import load_registry

CALC = "def add(a, b):\n    return a + b\n\n\ndef mean(values):\n    return 0\n"
TEST_ADD = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
TEST_MEAN = "from calc import mean\n\n\ndef test_mean():\n    assert mean([1, 2, 3]) == 2\n"
FLAT = {"calc.py": CALC, "tests/test_calc.py": TEST_ADD}


def make_project(root: Path, files: dict[str, str], *, commit: bool = True) -> Sandbox:
    """A project as a stranger has it: no registry, and a repository where asked."""
    root.mkdir()
    made = Sandbox(root)
    for name, text in files.items():
        made.write(name, text)
    if commit:
        made.git("init", "-q", "--template=")
        made.commit("first")
    return made


LAYOUTS = {
    "flat": (FLAT, {"calc": "tests/test_calc.py"}),
    "src": ({"src/calc/__init__.py": CALC, "tests/test_calc.py": TEST_ADD}, {"calc": "tests/test_calc.py"}),
    "tests elsewhere": (
        {
            "calc.py": CALC,
            "checks/unit/calc_test.py": TEST_ADD,
            "pytest.ini": "[pytest]\ntestpaths = checks\n",
        },
        {"checks.unit.calc": "checks/unit/calc_test.py"},
    ),
    "tests inside of the package": (
        {"pkg/__init__.py": "", "pkg/tests/__init__.py": "", "pkg/tests/test_a.py": "def test_a():\n    pass\n"},
        {"pkg.tests.a": "pkg/tests/test_a.py"},
    ),
    "unittest": (
        {"tests/test_u.py": "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"},
        {"u": "tests/test_u.py"},
    ),
    "tests beside the code": ({"calc.py": CALC, "test_calc.py": TEST_ADD}, {"calc": "test_calc.py"}),
    "the same name twice": (
        {"tests/test_a.py": "def test_a():\n    pass\n", "tests/a_test.py": "def test_b():\n    pass\n"},
        {"a": "tests/a_test.py", "a_2": "tests/test_a.py"},
    ),
    "options of other plugins": (
        FLAT | {"tox.ini": "[pytest]\naddopts = -n auto --dist loadfile --cov=calc --timeout=9 --strict-config\n"},
        {"calc": "tests/test_calc.py"},
    ),
    "a mark of a plugin": (
        {"tests/test_t.py": "import pytest\n\n\n@pytest.mark.timeout(9)\ndef test_t():\n    pass\n"},
        {"t": "tests/test_t.py"},
    ),
    "stops at the first failure": (FLAT | {"pytest.ini": "[pytest]\naddopts = -x\n"}, {"calc": "tests/test_calc.py"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gets_guards_that_hold(tmp_path: Path, layout: str) -> None:
    files, wanted = LAYOUTS[layout]
    project = make_project(tmp_path / "my project", files)
    done = project.run("init", "--json")
    assert done.code == 0, done.err
    assert done.values()["guards"] == wanted
    project.commit("registry")
    lint = project.run("lint")
    assert lint.code == 0, lint.err
    for name in wanted:
        held = project.run("guard", name)
        assert held.code == 0, held.out
    assert project.run("verify").code == 0


def test_an_exception_without_a_message_gets_a_reason_that_it_meets(tmp_path: Path) -> None:
    raising = {"calc.py": "def mean(values):\n    raise ValueError\n", "tests/test_mean.py": TEST_MEAN}
    project = make_project(tmp_path / "p", raising)
    project.run("init")
    words = shlex.split(project.run("add", "mean_of", "tests/test_mean.py").out.splitlines()[-1])
    assert words[-6:] == ["--type", "ValueError", "--match", "^$", "--raised-in", "product"]
    assert project.run(*words[3:]).code == 0
    project.commit("declared")
    assert project.run("run", "red", "mean_of").code == 0


def test_nothing_is_written_over(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT | {"plans/registry.yaml": "mine\n"})
    done = project.run("init")
    assert done.code == 20
    assert "plans/registry.yaml: is there already" in done.err
    assert (project.root / "plans/registry.yaml").read_text(encoding="utf-8") == "mine\n"
    assert project.git("status", "--porcelain") == ""


def test_files_that_cannot_be_collected_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT | {"tests/test_broken.py": "import nowhere_at_all\n"})
    done = project.run("init")
    assert done.code == 0
    told = "tests/test_broken.py: ModuleNotFoundError: No module named 'nowhere_at_all'"
    assert f"cannot be collected: {told}" in done.out
    project.commit("registry")
    assert project.run("guard", "calc").code == 0
    assert project.run("guard", "broken").code == 12


@pytest.mark.parametrize(("commit", "step"), [(False, "git init"), (True, "git add plans/registry.yaml")])
def test_the_next_steps_fit_the_state_of_git(tmp_path: Path, commit: bool, step: str) -> None:
    project = make_project(tmp_path / "p", FLAT, commit=commit)
    done = project.run("init")
    assert done.code == 0
    assert step in done.out
    assert "python -m redgreen guard calc" in done.out
    assert "plans/active/*/reports/** -text" in done.out


def test_a_project_without_tests_can_begin_with_its_first_target(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"calc.py": CALC})
    assert project.run("init").code == 0
    assert "redgreen add" in project.run("status").err
    project.write("tests/test_mean.py", TEST_MEAN)
    declared = ("--type", "AssertionError", "--match", "assert 0 == 2")
    added = project.run("add", "mean", "tests/test_mean.py::test_mean", *declared)
    assert added.code == 0, added.err
    assert project.run("lint").code == 0
    project.commit("test")
    assert project.run("run", "red", "mean").code == 0


def test_the_example_in_the_file_is_a_good_entry(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT)
    project.run("init")
    path = project.root / "plans/registry.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=registry.schema.json\n")
    assert (project.root / "plans/registry.schema.json").is_file()
    path.write_text(re.sub(r"^  # (example:|  .*)$", r"  \1", text, flags=re.MULTILINE), encoding="utf-8")
    assert [*load_registry(project.root).selectors] == ["example", "calc"]


def test_a_package_beside_its_tests_is_not_taken_for_tests(tmp_path: Path) -> None:
    inside = {"pkg/__init__.py": "", "pkg/tests/test_a.py": "def test_a():\n    pass\n"}
    apart = {"checks/unit/a/calc_test.py": TEST_ADD, "checks/unit/b_test.py": TEST_ADD, "calc.py": CALC}
    project = make_project(tmp_path / "p", inside | apart | {"pytest.ini": "[pytest]\ntestpaths = pkg checks\n"})
    assert project.run("init").code == 0
    roots = {selector.tests_roots for selector in load_registry(project.root).selectors.values()}
    assert roots == {("checks/unit/a", "checks/unit", "pkg/tests")}


def test_many_files_are_guarded_by_folder(tmp_path: Path) -> None:
    names = [f"tests/{folder}/test_{folder[0]}{number}.py" for folder in ("a", "b/c") for number in range(16)]
    project = make_project(tmp_path / "p", dict.fromkeys([*names, "tests/test_top.py"], "def test_it():\n    pass\n"))
    guards = project.run("init", "--json").values()["guards"]
    assert guards == {"a": "tests/a/test_*.py", "b.c": "tests/b/c", "tests": "tests/test_*.py"}
    assert project.run("lint").code == 0


def test_without_a_reason_the_test_is_run_once_and_nothing_is_kept(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT | {"tests/test_mean.py": TEST_MEAN})
    project.run("init")
    before = (project.root / "plans/registry.yaml").read_bytes()
    seen = project.run("add", "mean_of", "tests/test_mean.py::test_mean")
    assert seen.code == 0, seen.err
    assert (project.root / "plans/registry.yaml").read_bytes() == before
    assert not (project.root / "plans/active").exists()
    command = seen.out.splitlines()[-1].strip()
    assert command == (
        "python -m redgreen add mean_of tests/test_mean.py::test_mean --type AssertionError --match 'assert 0 == 2'"
    )
    reason = ("--type", "AssertionError", "--match", "assert 0")
    declared = project.run("add", "mean_of", "tests/test_mean.py::test_mean", *reason)
    assert declared.code == 0, declared.err
    project.commit("declared")
    assert project.run("run", "red", "mean_of").code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["add", "calc", "tests/test_calc.py"], 20, "written twice"),
        (["add", "a b", "tests/test_calc.py"], 20, "must be letters"),
        (["add", "x", "../test_calc.py"], 20, "relative to the repository"),
        (["add", "x", "tests/test_calc.py"], 10, "every test passes now"),
        (["add", "x", "tests/test_gone.py"], 48, "USAGE_ERROR"),
        (["add", "x", "tests/test_calc.py", "--type", "X"], 20, "both --type and --match"),
        (["add", "x", "tests/test_calc.py", "--type", "X", "--match", "("], 20, "not a regular expression"),
        (["add", "x", "tests/test_calc.py", "--type", "X", "--match", ".", "--initiative", "Q"], 20, "is called 'Q'"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_is_refused_and_nothing_changes(
    tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    project = make_project(tmp_path / "p", FLAT)
    project.run("init")
    before = (project.root / "plans/registry.yaml").read_bytes()
    done = project.run(*words)
    assert (done.code, told in done.out + done.err) == (code, True), done.out + done.err
    assert (project.root / "plans/registry.yaml").read_bytes() == before


def test_a_target_goes_behind_the_others_whatever_the_file_looks_like(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT | {"tests/test_mean.py": TEST_MEAN})
    project.run("init")
    path = project.root / "plans/registry.yaml"
    head, _, entries = path.read_text(encoding="utf-8").partition("selectors:\n")
    wide = re.sub(r"^  ", "    ", entries, flags=re.MULTILINE)
    path.write_text(f"{head}selectors: # all of them\n{wide}\n# behind\nignored: []\n", encoding="utf-8")
    reason = ("--type", "ValueError", "--match", r"it's \d+ \"x\" # y", "--raised-in", "product")
    done = project.run("add", "mean_of", "tests/test_mean.py", *reason, "--product", "calc.py")
    assert done.code == 0, done.err
    registry = load_registry(project.root)
    assert [*registry.selectors] == ["calc", "mean", "mean_of"]
    red = registry.selectors["mean_of"].red
    assert red is not None
    assert (red.accept, red.reasons[0].match) == (("exception",), r"it's \d+ \"x\" # y")
    text = path.read_text(encoding="utf-8")
    assert "# behind\nignored: []\n" in text
    assert "# all of them" in text
    assert yaml.safe_load(text)["ignored"] == []


def test_a_run_that_pytest_refuses_says_what_to_write(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FLAT)
    project.run("init")
    project.write("pytest.ini", "[pytest]\naddopts = --timeout=9 --reruns=3\n")
    project.commit("options")
    done = project.run("guard", "calc")
    assert done.code == 48
    assert "the option --timeout is of the plugin timeout: list it, `plugins: [timeout]`" in done.out
    assert "below defaults in plans/registry.yaml" in done.out
    assert "the option --reruns is of no installed plugin" in done.out


def test_a_skip_that_nobody_declared_says_what_to_write(tmp_path: Path) -> None:
    skipped = "import pytest\n\n\n@pytest.mark.skip\ndef test_later():\n    pass\n\n\ndef test_now():\n    pass\n"
    project = make_project(tmp_path / "p", FLAT | {"tests/test_s.py": skipped})
    project.run("init")
    done = project.run("guard", "s")
    assert done.code == 44
    assert "`expect: {skipped: 1}`" in done.out
    assert '`may_skip: ["tests/test_s.py::test_later"]`' in done.out


def test_a_variable_of_the_registry_adds_to_the_import_path(tmp_path: Path) -> None:
    files = {"lib/calc.py": CALC, "tests/test_calc.py": TEST_ADD}
    project = make_project(tmp_path / "p", files)
    assert project.run("init").code == 0
    assert load_registry(project.root).selectors["calc"].env == {"PYTHONPATH": "lib"}
    project.commit("registry")
    assert project.run("guard", "calc").code == 0


def test_the_version_is_that_of_the_distribution(tmp_path: Path) -> None:
    declared = tomllib.loads((TOP / "redgreen/pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert Sandbox(tmp_path).spawn("--version").out == f"redgreen {declared}\n"
    assert redgreen.__version__ == declared
