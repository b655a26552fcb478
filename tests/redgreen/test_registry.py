"""The registry: every mistake is found and named with file and line, by reading or against the real collection."""

from __future__ import annotations

from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, guard, make_sandbox, target

from redgreen.errors import RegistryError
from redgreen.registry.load import find_selector, load_registry

GOOD = target() + guard()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return make_sandbox(tmp_path / "repo", GOOD)


def line_of(sandbox: Sandbox, word: str) -> int:
    """Line of the registry that holds a word."""
    text = (sandbox.root / "plans/registry.yaml").read_text(encoding="utf-8")
    return next(number for number, line in enumerate(text.splitlines(), 1) if word in line)


@pytest.mark.parametrize(
    ("old", "new", "told", "at"),
    [
        ("budget_s: 60", "budget_s: soon", "a number", "budget_s: soon"),
        ("category: demo", "categroy: demo", "did you mean category", "categroy"),
        ("    phase: A", "    phase: A\n    phase: B", "twice", "phase: B"),
        ('match: "answer"', 'match: "(answer"', "not a regular expression", "reasons"),
        ("accept: [assertion]", "accept: [anything]", "assertion, exception", "accept"),
        ("raised_in: tests", "raised_in: here", "tests, product", "raised_in"),
        ("role: target", "role: hero", "guard, target", "role: hero"),
        ("initiative: DEMO-001", "initiative: DEMO-0001", "did you mean DEMO-001", "  demo:"),
        ("select: [tests/test_demo.py]", "select: []", "empty", "select: []"),
        ("select: [tests/test_demo.py]", "select: [/etc/x]", "relative", "/etc/x"),
        ("select: [tests/test_demo.py]", "select: [../x]", "relative", "../x"),
        ("select: [tests/test_demo.py]", "", "'select' is missing", "  demo:"),
        ("    role: target", "    role: target\n    protects: [hold]", "did you mean held", "  demo:"),
        ("    role: target", "    role: target\n    env: {A: 1}", "quote numbers", "env:"),
        ("    role: target", "    role: target\n    count: {min: 3, max: 2}", "from 3 on", "count"),
        ("    role: target", "    role: target\n    plugins: [xdist]", "xdist", "plugins"),
        ("    role: target", "    role: target\n    log: {red: ../x.log}", "plain file name", "log:"),
        ("    role: target", "", "a guard has no RED", "red:"),
        ("subdir: held", "subdir: demo", "same folder", "  held:"),
        ("schema: 1", "schema: 2", "schema 1", "schema"),
        ("    red:", "    rde:", "needs 'red'", "role: target"),
        ("selectors:", "selectrs:", "selectors", "selectrs"),
        ("    role: target", "    role: target\n    repeat: {red: 0}", "repeat.red", "repeat: {red"),
        ("    role: target", "    role: target\n    repeat: {rde: 2}", "did you mean repeat.red", "repeat: {rde"),
        ("    role: target", "    role: target\n    repeat.red: 2", "unknown key 'repeat.red'", "repeat.red"),
        ("    role: target", "    role: target\n    count: {max: }", "count.max", "count"),
        ("    role: target", "    role: target\n    title: 3", "demo.title: expected a string", "title: 3"),
        ("reasons: [{", "reasons: [{}, {", "'match' is missing", "reasons"),
    ],
)  # fmt: skip
def test_a_wrong_registry_is_named_with_its_line(sandbox: Sandbox, old: str, new: str, told: str, at: str) -> None:
    path = sandbox.root / "plans/registry.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        load_registry(sandbox.root)
    found = [str(problem) for problem in caught.value.problems]
    fitting = [line for line in found if told in line]
    assert fitting, found
    assert fitting[0].startswith(f"plans/registry.yaml:{line_of(sandbox, at)}: "), found


def test_a_known_selector_is_found_and_near_names_are_offered(sandbox: Sandbox) -> None:
    registry = load_registry(sandbox.root)
    assert find_selector(registry, "demo").select == ("tests/test_demo.py",)
    with pytest.raises(RegistryError, match="did you mean demo"):
        find_selector(registry, "dmeo")


def test_a_registry_without_fault_is_clean(sandbox: Sandbox) -> None:
    done = sandbox.run("lint", "--json")
    assert done.code == 0, done.err
    assert done.values()["selectors"] == {"demo": 1, "held": 1}
    assert sandbox.git("status", "--porcelain") == "", "lint leaves nothing behind"


LINT_FAULTS = {
    "renamed test": (GOOD.replace("tests/test_demo.py", '"tests/test_demo.py::test_question"'), "was it renamed"),
    "missing file": (GOOD.replace("tests/test_demo.py", "tests/test_gone.py"), "selects no test"),
    "empty expression": (target() + guard(extra="k: nothing_like_it"), "selects no test"),
    "drifted count": (target() + guard(extra="count: 3"), "the registry says 3"),
    "over-broad expression": (target() + guard(select="tests", extra="k: test"), "over-broad"),
    "broken expression": (target() + guard(extra='k: "held and"'), "not an expression"),
    "overlapping targets": (GOOD + target("demo2"), "overlaps with demo"),
    "unregistered tests": (target(), "no selector covers"),
    "reason for no test": (GOOD.replace("reasons: [{", 'reasons: [{tests: "*test_gone", '), "names none"),
    "unknown marker expression": (target() + guard(extra="m: no_such_mark"), "selects no test"),
}


@pytest.mark.parametrize("fault", LINT_FAULTS)
def test_lint_holds_the_registry_against_the_real_tests(sandbox: Sandbox, fault: str) -> None:
    entries, told = LINT_FAULTS[fault]
    sandbox.registry(entries)
    done = sandbox.run("lint")
    assert done.code == 20, done.out
    assert told in done.err
    assert "Traceback" not in done.err


def test_lint_finds_a_missing_plan_drifted_ids_and_uncollectable_files(sandbox: Sandbox) -> None:
    assert sandbox.run("lint", "--freeze").code == 0
    assert sandbox.loaded().frozen == {"demo": ("tests/test_demo.py::test_answer",)}
    sandbox.write(
        "tests/test_demo.py", "from product import answer\n\n\ndef test_other():\n    assert answer() == 42\n"
    )
    (sandbox.root / "plans/active/DEMO-001/implementation.md").unlink()
    sandbox.write("tests/test_broken.py", "import nowhere_at_all\n")
    done = sandbox.run("lint")
    assert done.code == 20
    for told in (
        "frozen ids are out of date (1 gone, 1 new)",
        "implementation.md is missing",
        "cannot collect this file",
    ):
        assert told in done.err
    assert sandbox.record("red").verdict == "IDS_DISAGREE", "frozen ids bind the run as well"


def test_planned_entries_need_no_tests_and_say_when_they_could_go_live(sandbox: Sandbox) -> None:
    sandbox.registry(target("later", "tests/test_later.py", extra="state: planned") + GOOD)
    done = sandbox.run("lint")
    assert done.code == 0, done.err
    sandbox.write("tests/test_later.py", "def test_it():\n    pass\n")
    assert "make it live?" in sandbox.run("lint").out


@pytest.mark.parametrize("match", [".*", ".", "", "assert", "==", "False|True", r"[\s\S]", "a?"])
def test_a_reason_that_any_failure_has_is_none(sandbox: Sandbox, match: str) -> None:
    sandbox.registry(target(match=match.replace("\\", "\\\\")), guard())
    done = sandbox.run("lint")
    assert done.code == 20, done.out
    assert "matches any failure" in done.err


@pytest.mark.parametrize("match", ["the answer is not there yet", r"assert 41 == 42", "answer"])
def test_a_reason_that_names_something_stands(sandbox: Sandbox, match: str) -> None:
    sandbox.registry(target(match=match), guard())
    assert sandbox.run("lint").code == 0
