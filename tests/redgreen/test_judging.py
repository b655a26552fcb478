"""Judging and pairing on evidence that is written down here; what pytest really writes is in the fault matrix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from redgreen.codes import GREEN, GUARD, RED, Mode, Verdict
from redgreen.judge.conclusion import Conclusion, RedSide
from redgreen.judge.events import Evidence, read_evidence
from redgreen.judge.identity import Identity, identify
from redgreen.judge.pairing import Guarded, conclude
from redgreen.judge.verdict import find_place, judge
from redgreen.registry.model import Count, RedSpec, Rule, Selector

V = Verdict
FILE = "tests/test_case.py"
SAME = Identity("f", "a", "s")


def selector(**changes: Any) -> Selector:
    """A target that declares one assertion."""
    values: dict[str, Any] = {
        "name": "case", "initiative": "X-1", "phase": "A", "category": "c", "title": "", "select": (FILE,), "k": "",
        "m": "", "env": {}, "pass_env": (), "pytest_args": (), "plugins": (), "budget_s": 60.0, "repeat_red": 1,
        "repeat_green": 1, "max_skipped": 0, "max_xfailed": 0, "count": Count(), "role": "target", "state": "live",
        "red": RedSpec(("assertion",), (Rule("*::test_a", "AssertionError", "declared", "tests"),)), "protects": (),
        "product": (), "test_support": (), "artifacts": (), "log_red": "r.log", "log_green": "g.log",
        "log_guard": "h.log", "subdir": "case", "tests_roots": ("tests",),
    }  # fmt: skip
    return Selector(**(values | changes))


def raw(type: str = "AssertionError", message: str = "declared", **changes: Any) -> dict[str, Any]:
    """An exception as the collector writes it."""
    exception = {"kind": "exception", "type": type, "module": "builtins", "bases": ["Exception"], "message": message}
    return exception | {"hidden": [], "file": FILE, "line": 2, "inside": True} | changes


def event(name: str, outcome: str, error: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The end of one phase of a test as the collector writes it."""
    found = {"e": "test", "id": f"{FILE}::{name}", "when": "call", "outcome": outcome, "s": 0.1}
    return found | ({"raw": error} if error else {}) | changes


def session(*events: dict[str, Any], rc: int | None = None, ids: list[str] | None = None, **ended: Any) -> Evidence:
    """Evidence of a whole session: both witnesses, made from the events of the tests."""
    outcomes = {each["id"]: each["outcome"] for each in events}
    code = int("failed" in outcomes.values()) if rc is None else rc
    lines = [
        {"e": "start", "pytest": "9"},
        {"e": "collected", "ids": list(outcomes) if ids is None else ids, "deselected": [], "dropped": []},
        *events,
        {"e": "finish", "rc": code, "origins": {}},
    ]
    tags = {"failed": "<failure/>", "skipped": "<skipped/>", "passed": ""}
    cases = (
        f"<testcase classname='tests.test_case' name={quoteattr(nodeid.rpartition('::')[2])}>{tags[outcome]}</testcase>"
        for nodeid, outcome in outcomes.items()
    )
    given: dict[str, Any] = {"timed_out": False, "interrupted": ""} | ended
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return read_evidence(text, f"<testsuite>{''.join(cases)}</testsuite>", rc=code, **given)


FAILED, PASSED = event("test_a", "failed", raw()), event("test_a", "passed")
KEPT = event("test_b", "passed")
SKIPPED_B = event("test_b", "skipped", raw("Skipped", kind="skip"))
XFAILED_B = event("test_b", "skipped", raw(), xfail=True)
NEVER_RUN = {"entered": False, "raised": None, "replaced": False}


@pytest.mark.parametrize(
    ("evidence", "changes", "red", "held"),
    [
        (session(FAILED, KEPT), {}, V.VALID_RED, V.GUARD_BROKEN),
        (session(PASSED, KEPT), {}, V.NOTHING_FAILED, V.GUARD_HELD),
        (session(event("test_a", "failed", raw(message="other"))), {}, V.WRONG_REASON, V.GUARD_BROKEN),
        (session(event("test_a", "failed", raw(file="prod.py"))), {}, V.WRONG_REASON, V.GUARD_BROKEN),
        (session(event("test_a", "failed", raw(hidden=["ImportError"]))), {}, V.DISGUISED_IMPORT, V.GUARD_BROKEN),
        (session(event("test_a", "failed", raw("KeyError"))), {}, V.WRONG_REASON, V.GUARD_BROKEN),
        (session(FAILED, event("test_b", "failed", raw())), {}, V.WRONG_REASON, V.GUARD_BROKEN),
        (session(FAILED, SKIPPED_B), {}, V.SKIPPED, V.SKIPPED),
        (session(FAILED, SKIPPED_B), {"max_skipped": 1}, V.VALID_RED, V.GUARD_BROKEN),
        (session(FAILED, KEPT), {"count": Count(3, 3)}, V.IDS_DISAGREE, V.IDS_DISAGREE),
        (session(FAILED, ids=[f"{FILE}::test_a", f"{FILE}::test_b"]), {}, V.IDS_DISAGREE, V.IDS_DISAGREE),
        (session(FAILED, rc=0), {}, V.OUTCOME_REWRITTEN, V.OUTCOME_REWRITTEN),
        (session(event("test_a", "passed", raw())), {}, V.OUTCOME_REWRITTEN, V.OUTCOME_REWRITTEN),
        (session(event("test_a", "passed", body=NEVER_RUN)), {}, V.OUTCOME_REWRITTEN, V.OUTCOME_REWRITTEN),
        (session(FAILED, rc=-9), {}, V.CRASHED, V.CRASHED),
        (session(FAILED, timed_out=True), {}, V.TIMEOUT, V.TIMEOUT),
        (session(FAILED, interrupted="SIGTERM"), {}, V.INTERRUPTED, V.INTERRUPTED),
    ],
)  # fmt: skip
def test_a_session_is_judged_by_what_was_declared(
    evidence: Evidence, changes: dict[str, Any], red: Verdict, held: Verdict
) -> None:
    judged = {mode: judge(evidence, selector(**changes), mode) for mode in (RED, GREEN, GUARD)}
    assert (judged[RED].verdict, judged[GUARD].verdict) == (red, held), judged
    assert judged[GREEN].verdict.is_valid == held.is_valid
    assert all(bool(each.reasons) != each.verdict.is_valid for each in judged.values())


@pytest.mark.parametrize("cut", ["", "\n", '{"e":"start"}\n', '{"e":"start"}\n{"e":"finish"', "null\n3\n[]\n"])
def test_events_that_are_cut_or_no_events_show_nothing(cut: str) -> None:
    evidence = read_evidence(cut, "<testsuite/>", rc=1, timed_out=False, interrupted="")
    assert not any(judge(evidence, selector(), mode).verdict.is_valid for mode in (RED, GREEN, GUARD))


@pytest.mark.parametrize("junit", [None, "", "<testsuite>", "<testsuite/>", "<testsuite><testcase/></testsuite>"])
def test_a_junit_file_that_says_something_else_rules_a_run_out(junit: str | None) -> None:
    lines = [{"e": "collected", "ids": [f"{FILE}::test_a"], "deselected": [], "dropped": []}, FAILED]
    lines.append({"e": "finish", "rc": 1, "origins": {}})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    evidence = read_evidence(text, junit, rc=1, timed_out=False, interrupted="")
    assert judge(evidence, selector(), RED).verdict is V.WITNESSES_DISAGREE


def test_whose_code_raised_is_told_by_the_file() -> None:
    failure = session(FAILED).tests[f"{FILE}::test_a"].failure
    assert failure is not None
    assert find_place(failure, selector()) == "tests"
    assert find_place(failure, selector(tests_roots=())) == "tests", "by the name of the file"


def red_side(evidence: Evidence, **changes: Any) -> RedSide:
    """The RED that some evidence gives."""
    outcomes = {nodeid: record.outcome for nodeid, record in evidence.tests.items()}
    declared = (f"{FILE}::test_a",)
    values: dict[str, Any] = {
        "run_id": "r", "seal": "s", "folder": "x/y/z", "outcomes": outcomes, "declared": declared,
        "kinds": {declared[0]: "assertion"}, "guards": {}, "identities": dict.fromkeys(outcomes, SAME),
    }  # fmt: skip
    return RedSide(**(values | changes))


def answer(*runs: Evidence, red: RedSide | None = None, mode: Mode = GREEN, **given: Any) -> Conclusion:
    """Conclude a run, by default a GREEN of the RED in which one test failed and one passed."""
    red = red or red_side(session(FAILED, KEPT))
    identities = given.pop("identities", dict.fromkeys(red.outcomes, SAME))
    return conclude(selector(), mode, runs, red=red if mode is GREEN else None, identities=identities, **given)


def test_a_green_counts_what_went_from_red_to_green() -> None:
    done = answer(session(PASSED, KEPT))
    assert done.verdict is V.VALID_GREEN
    assert done.transition is not None
    assert (done.transition.f2p, done.transition.p2p, done.transition.still_failing) == (1, 1, 0)
    assert [row.transition for row in done.tests] == ["F2P", "P2P"]
    assert done.proof is None


@pytest.mark.parametrize(
    ("evidence", "verdict", "told"),
    [
        (session(FAILED, KEPT), V.STILL_RED, "test_a"),
        (session(PASSED, event("test_b", "failed", raw())), V.LOST_TESTS, "test_b"),
        (session(PASSED, SKIPPED_B), V.NEW_SKIPS, "test_b"),
        (session(PASSED, XFAILED_B), V.NEW_SKIPS, "test_b"),
        (session(PASSED), V.LOST_TESTS, "test_b"),
        (session(event("test_a", "skipped", raw("Skipped", kind="skip")), KEPT), V.NEW_SKIPS, "test_a"),
    ],
)
def test_a_green_may_lose_nothing(evidence: Evidence, verdict: Verdict, told: str) -> None:
    done = answer(evidence)
    assert done.verdict is verdict
    assert told in done.reasons[0]


def test_a_changed_test_is_no_green_and_a_changed_file_is_noted() -> None:
    nodes = [f"{FILE}::test_a", f"{FILE}::test_b"]
    changed = answer(session(PASSED, KEPT), identities=dict.fromkeys(nodes, Identity("f2", "a2", "s")))
    assert changed.verdict is V.TEST_CHANGED
    noted = answer(session(PASSED, KEPT), identities=dict.fromkeys(nodes, Identity("f2", "a", "s2")))
    assert noted.verdict is V.VALID_GREEN
    assert noted.transition is not None
    assert len(noted.transition.notes) == 2


def test_a_red_from_a_stub_gives_a_characterisation() -> None:
    red = red_side(session(FAILED, KEPT), kinds={f"{FILE}::test_a": "stub"})
    assert answer(session(PASSED, KEPT), red=red).proof == "CHARACTERISATION"
    assert answer(session(FAILED, KEPT), red=red).proof is None


def test_repeats_must_agree() -> None:
    done = answer(session(FAILED, KEPT), session(PASSED, KEPT), mode=RED)
    assert done.verdict is V.FLAKY
    assert done.repeat is not None
    assert done.repeat.flaky == (f"{FILE}::test_a",)
    assert "failed, passed" in done.reasons[0]
    cut = answer(session(FAILED, KEPT), session(FAILED, KEPT, timed_out=True), mode=RED)
    assert (cut.verdict, cut.reasons[0].split(":")[0]) == (V.TIMEOUT, "repeat 2")


def test_what_is_protected_must_stay_whole() -> None:
    guard = selector(name="held", red=None, role="guard")
    red = red_side(session(FAILED, KEPT), guards={"held": {f"{FILE}::test_h": "passed", f"{FILE}::test_o": "failed"}})
    for now, verdict in (
        (event("test_h", "passed"), V.VALID_GREEN),
        (event("test_h", "failed", raw()), V.LOST_TESTS),
        (event("test_h", "skipped", raw("Skipped", kind="skip")), V.NEW_SKIPS),
    ):
        done = answer(session(PASSED, KEPT), red=red, guards=[Guarded(guard, session(now))])
        assert done.verdict is verdict
    crashed = Guarded(guard, session(event("test_h", "passed"), rc=-11))
    assert answer(session(PASSED, KEPT), red=red, guards=[crashed]).verdict is V.LOST_TESTS


def test_a_missing_artifact_rules_a_valid_run_out() -> None:
    assert answer(session(PASSED, KEPT), artifact_problems=["main: *.npy"]).verdict is V.ARTIFACT_MISSING
    assert answer(session(FAILED, KEPT), artifact_problems=["main: *.npy"]).verdict is V.STILL_RED


MODULE = '''\
import pytest
from helpers import measure

LIMIT = 3


def helper():
    """Says nothing."""
    return LIMIT


@pytest.fixture
def given():
    return helper()


class TestOne:
    scale = 2

    def test_a(self, given):
        assert given == self.scale

    def test_other(self):
        assert measure()


def test_alone():
    assert True
'''
ONE = f"{FILE}::TestOne::test_a"


def identity_of(root: Path, module: str = MODULE, **files: str) -> Identity:
    """Identity of one test of a module, with other files beside it."""
    names = {"conftest": "tests/conftest.py", "helpers": "tests/helpers.py", "config": "pyproject.toml"}
    given = {"helpers": "def measure():\n    return 1\n", "conftest": "", "config": ""} | files
    for name, text in ({names[key]: text for key, text in given.items()} | {FILE: module}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return identify(root, [ONE])[ONE]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("given == self.scale", "given >= self.scale", False),
        ("scale = 2", "scale = 3", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("return LIMIT", "return LIMIT + 0", False),
        ("@pytest.fixture\n", "@pytest.fixture(scope='module')\n", False),
        ("import pytest\n", "import pytest\npytestmark = pytest.mark.slow\n", False),
        ("LIMIT = 3", "LIMIT = 3\n\n\n@pytest.fixture(autouse=True)\ndef always():\n    pass\n", False),
        ("Says nothing.", "Says something.", True),
        ("LIMIT = 3", "LIMIT = 3  # a comment", True),
        ("assert True", "assert 1", True),
        ("assert measure()", "assert measure() == 1", True),
    ],
)
def test_a_test_is_its_code_and_what_it_reaches(tmp_path: Path, old: str, new: str, same: bool) -> None:
    before = identity_of(tmp_path)
    assert old in MODULE
    after = identity_of(tmp_path, MODULE.replace(old, new))
    assert after.file != before.file
    assert (after.ast == before.ast) == same
    assert after.support == before.support


def test_conftest_and_configuration_are_the_third_level(tmp_path: Path) -> None:
    before = identity_of(tmp_path)
    conftest = identity_of(tmp_path, conftest="VALUE = 1\n")
    assert (conftest.ast == before.ast, conftest.support == before.support) == (True, False)
    hook = identity_of(tmp_path, conftest="def pytest_runtest_setup(item):\n    pass\n")
    assert hook.ast != before.ast
    config = identity_of(tmp_path, config="[tool.pytest.ini_options]\nxfail_strict = true\n")
    assert (config.ast == before.ast, config.support == before.support) == (True, False)


def test_what_is_allowed_to_change_is_left_out(tmp_path: Path) -> None:
    identity_of(tmp_path)
    before = identify(tmp_path, [ONE], [f"{FILE}::helper"])[ONE]
    identity_of(tmp_path, MODULE.replace("return LIMIT", "return 2"))
    assert identify(tmp_path, [ONE], [f"{FILE}::helper"])[ONE].ast == before.ast


@pytest.mark.parametrize(
    ("place", "line", "files"),
    [
        ("tests/helpers/__init__.py", "from tests.helpers import measure", {}),
        ("tests/helpers.py", "from tests import helpers", {}),
        ("tests/helpers.py", "from . import helpers", {}),
        ("checks/helpers.py", "from helpers import measure", {"pytest.ini": "[pytest]\npythonpath = lib checks\n"}),
        ("checks/helpers.py", "from helpers import measure", {"setup.cfg": "[tool:pytest]\npythonpath = checks\n"}),
        ("checks/helpers.py", "from helpers import measure", {"pytest.toml": "[pytest]\npythonpath = ['checks']\n"}),
        ("checks/helpers.py", "from checks.helpers import measure", {}),
    ],
)  # fmt: skip
def test_a_helper_belongs_to_its_tests_however_it_is_imported(
    tmp_path: Path, place: str, line: str, files: dict[str, str]
) -> None:
    def identity(body: str) -> Identity:
        test = f"{line}\n\n\ndef test_one():\n    {line.split()[-1]}\n"
        for name, text in ({place: body, FILE: test} | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        nodeid = f"{FILE}::test_one"
        return identify(tmp_path, [nodeid], tests_roots=("tests", "checks"))[nodeid]

    assert identity("def measure():\n    return 1\n").ast != identity("def measure():\n    return 2\n").ast


def test_other_tests_of_a_class_do_not_count_and_its_helpers_do(tmp_path: Path) -> None:
    def identity(other: str, helper: str) -> Identity:
        (tmp_path / "tests").mkdir(exist_ok=True)
        body = f"class TestIt:\n    def help(self):\n        {helper}\n    def test_b(self):\n        {other}\n"
        (tmp_path / FILE).write_text(f"{body}    def test_a(self):\n        self.help()\n", encoding="utf-8")
        found = identify(tmp_path, [f"{FILE}::TestIt::test_a", f"{FILE}::TestIt::test_made"])
        assert found[f"{FILE}::TestIt::test_made"].ast != found[f"{FILE}::TestIt::test_a"].ast
        return found[f"{FILE}::TestIt::test_a"]

    assert identity("pass", "pass").ast == identity("assert 1", "pass").ast
    assert identity("pass", "pass").ast != identity("pass", "assert 1").ast


def test_parameters_share_an_identity_and_other_files_have_their_bytes(tmp_path: Path) -> None:
    identity_of(tmp_path)
    (tmp_path / "tests/case.txt").write_text("not Python (", encoding="utf-8")
    found = identify(tmp_path, [f"{ONE}[1]", f"{ONE}[2]", "tests/case.txt::x", "tests/gone.py::x"])
    assert found[f"{ONE}[1]"] == found[f"{ONE}[2]"]
    assert found["tests/case.txt::x"].file == found["tests/case.txt::x"].ast
    assert found["tests/gone.py::x"].file == found["tests/gone.py::x"].ast
