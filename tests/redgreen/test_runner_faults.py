"""The fault matrix: every way in which a test run can mislead, each in a pytest session of its own.

The evidence of each session is judged as a RED, as a GREEN and as a guard. Only the honest cases may pass as anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from redgreen_sandbox import fork_server

from redgreen.codes import GREEN, GUARD, RED, Mode, Verdict
from redgreen.evidence.scrub import Scrubber
from redgreen.judge.verdict import Judgement, judge
from redgreen.project import Project
from redgreen.registry.model import Count, RedSpec, Registry, Rule, Selector
from redgreen.run.launch import Launcher, Session
from redgreen.run.process import Finished, Interrupts, run_child

V = Verdict
FAILING = 'def test_it():\n    assert 1 == 2, "declared"\n'
PASSING = "def test_it():\n    assert True\n"
ANY_NUMBER = Count()
NO_REGISTRY = Registry("", "", {}, {}, {}, ())
DECLARED = Rule("*", "AssertionError", "declared", "tests")


@dataclass(frozen=True)
class Case:
    """Files of a small repository, what the registry says of it, and how a RED, and a guard, must be judged."""

    name: str
    test: str
    red: Verdict
    held: Verdict
    conftest: str = ""
    files: dict[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = (DECLARED,)
    accept: tuple[str, ...] = ("assertion",)
    select: tuple[str, ...] = ("tests/test_case.py",)
    k: str = ""
    args: tuple[str, ...] = ("-q",)
    plugins: tuple[str, ...] = ()
    count: Count = ANY_NUMBER
    budget_s: float = 60
    expected: tuple[str, ...] | None = None
    product: tuple[str, ...] = ()


def wrap_report(body: str) -> str:
    """A conftest that lays hands on every report."""
    return (
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    report = yield\n"
        f"    {body}\n"
        "    return report\n"
    )


HONEST = (
    Case("a declared assertion", FAILING, V.VALID_RED, V.GUARD_BROKEN),
    Case("a passing test", PASSING, V.NOTHING_FAILED, V.GUARD_HELD),
    Case(
        "a declared assertion in unittest",
        "import unittest\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(1, 2, 'declared')\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
    ),
    Case(
        "a declared failure to raise",
        "import pytest\ndef test_it():\n    with pytest.raises(ValueError):\n        pass\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
        rules=(Rule("*", "Failed", "DID NOT RAISE", "tests"),),
    ),
    Case(
        "a declared stub",
        "def test_it():\n    raise NotImplementedError('declared')\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
        rules=(Rule("*", "NotImplementedError", "declared", "tests"),),
        accept=("stub",),
    ),
    Case(
        "a declared product error",
        "from prod import go\ndef test_it():\n    go()\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
        files={"prod.py": "def go():\n    raise ValueError('declared')\n"},
        rules=(Rule("*", "ValueError", "declared", "product"),),
        accept=("exception",),
        product=("prod.py",),
    ),
    Case(
        "a declared missing symbol",
        "import prod\ndef test_it():\n    prod.go()\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
        files={"prod.py": ""},
        rules=(Rule("*", "AttributeError", "go", "tests"),),
        accept=("missing_symbol",),
    ),
    Case(
        "a declared parameter beside one that passes",
        "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_it(n):\n    assert n == 1, 'declared'\n",
        V.VALID_RED,
        V.GUARD_BROKEN,
        rules=(Rule("*test_it[2]", "AssertionError", "declared", "tests"),),
    ),
)

FAULTS = (
    # --- collection
    Case("syntax error", "def test_it(:\n", V.COLLECTION_ERROR, V.COLLECTION_ERROR),
    Case(
        "import error at collection", "import nowhere_to_be_found\n" + FAILING, V.COLLECTION_ERROR, V.COLLECTION_ERROR
    ),
    Case(
        "collection error told to go on",
        FAILING,
        V.COLLECTION_ERROR,
        V.COLLECTION_ERROR,
        files={"tests/test_other.py": "import nowhere_to_be_found\n"},
        select=("tests",),
        args=("-q", "--continue-on-collection-errors"),
    ),
    Case("missing file", PASSING, V.USAGE_ERROR, V.USAGE_ERROR, select=("tests/test_gone.py",)),
    Case("unknown test id", FAILING, V.USAGE_ERROR, V.USAGE_ERROR, select=("tests/test_case.py::test_gone",)),
    Case("unknown option", FAILING, V.USAGE_ERROR, V.USAGE_ERROR, args=("--no-such-option",)),
    Case(
        "conftest cannot be imported", FAILING, V.CONFTEST_ERROR, V.CONFTEST_ERROR, conftest="import nowhere_at_all\n"
    ),
    Case("conftest is no Python", FAILING, V.CONFTEST_ERROR, V.CONFTEST_ERROR, conftest="def (:\n"),
    Case("expression selects nothing", FAILING, V.NO_TESTS, V.NO_TESTS, k="nothing_like_it"),
    Case("file without tests", "VALUE = 1\n", V.NO_TESTS, V.NO_TESTS),
    Case("too few tests", FAILING, V.IDS_DISAGREE, V.IDS_DISAGREE, count=Count(2, 2)),
    Case(
        "other tests than the frozen ones",
        FAILING,
        V.IDS_DISAGREE,
        V.IDS_DISAGREE,
        expected=("tests/test_case.py::test_it", "tests/test_case.py::test_more"),
    ),
    Case(
        "declared test is not there",
        FAILING,
        V.IDS_DISAGREE,
        V.GUARD_BROKEN,
        rules=(Rule("*test_x", "AssertionError", "", "tests"),),
    ),
    Case(
        "a test collected twice",
        PASSING,
        V.IDS_DISAGREE,
        V.IDS_DISAGREE,
        select=("tests/test_case.py", "./tests/test_case.py"),
        args=("-q", "--keep-duplicates"),
    ),
    # --- skipped, expected to fail
    Case("skip mark", "import pytest\n@pytest.mark.skip\n" + FAILING, V.SKIPPED, V.SKIPPED),
    Case("skip in the body", "import pytest\ndef test_it():\n    pytest.skip('no')\n", V.SKIPPED, V.SKIPPED),
    Case(
        "module skipped for an import",
        "import pytest\npytest.importorskip('nowhere')\n" + FAILING,
        V.SKIPPED,
        V.SKIPPED,
    ),
    Case(
        "no parameters",
        "import pytest\n@pytest.mark.parametrize('n', [])\ndef test_it(n):\n    assert n\n",
        V.SKIPPED,
        V.SKIPPED,
    ),
    Case(
        "skip beside a declared failure",
        "import pytest\n" + FAILING + "@pytest.mark.skip\ndef test_b():\n    pass\n",
        V.SKIPPED,
        V.SKIPPED,
    ),
    Case(
        "unittest skip",
        "import unittest\nclass TestIt(unittest.TestCase):\n    @unittest.skip('no')\n    def test_it(self):\n        assert 0\n",
        V.SKIPPED,
        V.SKIPPED,
    ),
    Case("xfail mark", "import pytest\n@pytest.mark.xfail\n" + FAILING, V.XFAILED, V.XFAILED),
    Case("xfail in the body", "import pytest\ndef test_it():\n    pytest.xfail('declared')\n", V.XFAILED, V.XFAILED),
    Case("xfail that passes", "import pytest\n@pytest.mark.xfail(strict=False)\n" + PASSING, V.XPASSED, V.XPASSED),
    Case(
        "strict xfail that passes", "import pytest\n@pytest.mark.xfail(strict=True)\n" + PASSING, V.XPASSED, V.XPASSED
    ),
    Case(
        "unittest expected failure",
        "import unittest\nclass TestIt(unittest.TestCase):\n    @unittest.expectedFailure\n"
        "    def test_it(self):\n        assert 0, 'declared'\n",
        V.XFAILED,
        V.XFAILED,
    ),
    # --- setup and teardown
    Case(
        "fixture fails as declared",
        "import pytest\n@pytest.fixture\ndef f():\n    assert 0, 'declared'\ndef test_it(f):\n    pass\n",
        V.FIXTURE_ERROR,
        V.FIXTURE_ERROR,
    ),
    Case(
        "unknown fixture", "def test_it(no_such_fixture):\n    assert 0, 'declared'\n", V.FIXTURE_ERROR, V.FIXTURE_ERROR
    ),
    Case(
        "setup method fails",
        "class TestIt:\n    def setup_method(self):\n        assert 0, 'declared'\n    def test_it(self):\n        pass\n",
        V.FIXTURE_ERROR,
        V.FIXTURE_ERROR,
    ),
    Case(
        "setup of the module fails",
        "def setup_module():\n    assert 0, 'declared'\n" + PASSING,
        V.FIXTURE_ERROR,
        V.FIXTURE_ERROR,
    ),
    Case(
        "teardown fails after a pass",
        "import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0, 'declared'\ndef test_it(f):\n    pass\n",
        V.TEARDOWN_ERROR,
        V.TEARDOWN_ERROR,
    ),
    Case(
        "teardown fails after a declared failure",
        "import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0\ndef test_it(f):\n    assert 0, 'declared'\n",
        V.TEARDOWN_ERROR,
        V.TEARDOWN_ERROR,
    ),
    # --- the process ends otherwise
    Case("os._exit(0) in a test", "import os\ndef test_it():\n    os._exit(0)\n", V.EXITED_EARLY, V.EXITED_EARLY),
    Case(
        "os._exit(0) in the second test",
        "import os\n" + PASSING + "def test_z():\n    os._exit(0)\n",
        V.EXITED_EARLY,
        V.EXITED_EARLY,
    ),
    Case(
        "os._exit(1) after a declared failure",
        "import os\n" + FAILING + "def test_z():\n    os._exit(1)\n",
        V.EXITED_EARLY,
        V.EXITED_EARLY,
    ),
    Case(
        "os._exit(0) after a failed session",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import atexit, os\natexit.register(os._exit, 0)\n",
    ),
    Case("sys.exit(0) in a test", "import sys\ndef test_it():\n    sys.exit(0)\n", V.WRONG_REASON, V.GUARD_BROKEN),
    Case(
        "pytest.exit(0) after a declared failure",
        "import pytest\n" + FAILING + "def test_z():\n    pytest.exit('done', returncode=0)\n",
        V.EXITED_EARLY,
        V.EXITED_EARLY,
    ),
    Case(
        "more warnings than allowed",
        "import warnings\ndef test_it():\n    warnings.warn('declared')\n",
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        args=("-q", "--max-warnings=0"),
    ),
    Case("Ctrl-C inside", "def test_it():\n    raise KeyboardInterrupt\n", V.EXITED_EARLY, V.EXITED_EARLY),
    Case(
        "stops at the first failure",
        FAILING + "def test_z():\n    assert 0, 'declared'\n",
        V.IDS_DISAGREE,
        V.IDS_DISAGREE,
        args=("-q", "-x"),
    ),
    Case("budget used up", "import time\ndef test_it():\n    time.sleep(60)\n", V.TIMEOUT, V.TIMEOUT, budget_s=1.0),
    Case(
        "pytest-timeout by signal",
        "import time\ndef test_it():\n    time.sleep(60)\n",
        V.TIMEOUT,
        V.TIMEOUT,
        plugins=("pytest_timeout",),
        args=("-q", "--timeout=0.3", "--timeout-method=signal"),
        rules=(Rule("*", "Failed", "Timeout", "tests"),),
    ),
    Case(
        "pytest-timeout by thread",
        "import time\ndef test_it():\n    time.sleep(60)\n",
        V.EXITED_EARLY,
        V.EXITED_EARLY,
        plugins=("pytest_timeout",),
        args=("-q", "--timeout=0.3", "--timeout-method=thread"),
    ),
    Case("killed", "import os\ndef test_it():\n    os.kill(os.getpid(), 9)\n", V.CRASHED, V.CRASHED),
    Case("terminated", "import os\ndef test_it():\n    os.kill(os.getpid(), 15)\n", V.CRASHED, V.CRASHED),
    Case("segmentation fault", "import os\ndef test_it():\n    os.kill(os.getpid(), 11)\n", V.CRASHED, V.CRASHED),
    Case(
        "a plugin breaks pytest",
        FAILING,
        V.PYTEST_BROKE,
        V.PYTEST_BROKE,
        conftest="def pytest_runtest_logstart(nodeid):\n    raise RuntimeError('declared')\n",
    ),
    # --- outcomes rewritten on the way
    Case(
        "failure reported as passed",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest=wrap_report("report.outcome = 'passed'"),
    ),
    Case(
        "pass reported as failed",
        PASSING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest=wrap_report("report.outcome, report.longrepr = 'failed', 'declared'"),
    ),
    Case(
        "failure reported as skipped",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest=wrap_report("report.outcome = 'skipped'; report.longrepr = ('f', 1, 'r')"),
    ),
    Case(
        "skip reported as passed",
        "import pytest\ndef test_it():\n    pytest.skip('no')\n",
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest=wrap_report("report.outcome = 'passed'"),
    ),
    Case(
        "failure marked as expected",
        FAILING,
        V.XFAILED,
        V.XFAILED,
        conftest=wrap_report("report.outcome, report.wasxfail = 'skipped', 'declared'"),
    ),
    Case(
        "outcome changed while it is logged",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n",
    ),
    Case(
        "body never run",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    ),
    Case(
        "failure swallowed",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import pytest\n@pytest.hookimpl(wrapper=True)\ndef pytest_pyfunc_call(pyfuncitem):\n"
        "    try:\n        return (yield)\n    except AssertionError:\n        return True\n",
    ),
    Case(
        "body exchanged after collection",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="def pytest_collection_modifyitems(items):\n    for item in items:\n        item.obj = lambda: None\n",
    ),
    Case(
        "exception forgotten before the report",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    call.excinfo = None\n    return (yield)\n",
    ),
    Case(
        "exit code rewritten",
        FAILING,
        V.OUTCOME_REWRITTEN,
        V.OUTCOME_REWRITTEN,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
    ),
    Case(
        "tests dropped without a word",
        FAILING + "def test_z():\n    pass\n",
        V.IDS_DISAGREE,
        V.IDS_DISAGREE,
        conftest="def pytest_collection_modifyitems(items):\n    del items[1:]\n",
    ),
    Case(
        "test never run",
        FAILING,
        V.IDS_DISAGREE,
        V.IDS_DISAGREE,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item):\n    return True\n",
    ),
    Case(
        "junit thrown away",
        FAILING,
        V.WITNESSES_DISAGREE,
        V.WITNESSES_DISAGREE,
        conftest="import os\ndef pytest_unconfigure(config):\n    config.add_cleanup(lambda: os.path.exists(config.option.xmlpath) and os.unlink(config.option.xmlpath))\n",
    ),
    Case(
        "junit tells another story",
        FAILING,
        V.WITNESSES_DISAGREE,
        V.WITNESSES_DISAGREE,
        conftest="import atexit, sys\ndef lie(path):\n    text = open(path).read()\n"
        "    open(path, 'w').write(text.replace('<failure', '<properties').replace('</failure', '</properties'))\n"
        "def pytest_configure(config):\n    atexit.register(lie, config.option.xmlpath)\n",
    ),
    # --- the wrong reason
    Case(
        "import error behind pytest.fail",
        "import pytest\ndef test_it():\n    try:\n        import nowhere\n    except ImportError:\n        pytest.fail('declared')\n",
        V.DISGUISED_IMPORT,
        V.GUARD_BROKEN,
        rules=(Rule("*", "Failed", "declared", "tests"),),
    ),
    Case(
        "import error behind an assertion, from None",
        "def test_it():\n    try:\n        import nowhere\n    except ImportError:\n        raise AssertionError('declared') from None\n",
        V.DISGUISED_IMPORT,
        V.GUARD_BROKEN,
    ),
    Case(
        "missing attribute behind an assertion",
        "import os\ndef test_it():\n    try:\n        os.nowhere()\n    except AttributeError:\n        assert 0, 'declared'\n",
        V.DISGUISED_IMPORT,
        V.GUARD_BROKEN,
    ),
    Case(
        "import error two exceptions deep",
        "def test_it():\n    try:\n        try:\n            import nowhere\n        except ImportError as e:\n"
        "            raise ValueError('x') from e\n    except ValueError:\n        assert 0, 'declared'\n",
        V.DISGUISED_IMPORT,
        V.GUARD_BROKEN,
    ),
    Case("import error in the call", "def test_it():\n    import nowhere_declared\n", V.WRONG_REASON, V.GUARD_BROKEN),
    Case("another exception", "def test_it():\n    raise ValueError('declared')\n", V.WRONG_REASON, V.GUARD_BROKEN),
    Case(
        "another exception of an accepted class",
        "def test_it():\n    raise KeyError('declared')\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
        accept=("exception",),
        rules=(Rule("*", "ValueError", "declared", "tests"),),
    ),
    Case("another message", "def test_it():\n    assert 0, 'something else'\n", V.WRONG_REASON, V.GUARD_BROKEN),
    Case(
        "another place",
        "from prod import go\ndef test_it():\n    go()\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
        files={"prod.py": "def go():\n    assert 0, 'declared'\n"},
    ),
    Case(
        "a stub that is not declared",
        "def test_it():\n    raise NotImplementedError('declared')\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
    ),
    Case(
        "an undeclared test fails too",
        FAILING + "def test_z():\n    assert 0, 'declared'\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
        rules=(Rule("*::test_it", "AssertionError", "declared", "tests"),),
    ),
    Case("one declared test passes", FAILING + "def test_z():\n    pass\n", V.PARTLY_RED, V.GUARD_BROKEN),
    Case(
        "async test without a plugin",
        "async def test_it():\n    assert 0, 'declared'\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
    ),
    Case(
        "subtest fails",
        "def test_it(subtests):\n    with subtests.test('a'):\n        assert 0, 'declared'\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
    ),
    Case(
        "a warning turned into an error",
        "import warnings\ndef test_it():\n    warnings.warn('declared')\n",
        V.WRONG_REASON,
        V.GUARD_BROKEN,
        args=("-q", "-W", "error"),
    ),
    Case(
        "product from elsewhere",
        "import sys\nsys.path.insert(0, __file__.rsplit('/', 3)[0] + '/elsewhere')\nimport prod_away\n" + FAILING,
        V.WRONG_TREE,
        V.WRONG_TREE,
        product=("prod_away/**",),
        files={"../elsewhere/prod_away/__init__.py": ""},
    ),
)


def selector_of(case: Case) -> Selector:
    """The registry entry of a case."""
    return Selector(
        name="case", initiative="X-1", phase="A", category="c", title="", select=case.select, k=case.k, m="", env={},
        pass_env=("PATH",), pytest_args=case.args, plugins=case.plugins, budget_s=case.budget_s, repeat_red=1,
        repeat_green=1, max_skipped=0, max_xfailed=0, count=case.count, role="target", state="live",
        red=RedSpec(case.accept, case.rules), protects=(), product=case.product, test_support=(), artifacts=(),
        log_red="red.log", log_green="green.log", log_guard="guard.log", subdir="case", tests_roots=("tests",),
    )  # fmt: skip


def write_case(case: Case, root: Path) -> None:
    """Write the small repository of a case."""
    files = {"tests/test_case.py": case.test, "tests/conftest.py": case.conftest, "pytest.ini": "[pytest]\n"}
    for name, text in (files | case.files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def launched(
    case: Case, tmp_path: Path, interrupts: Interrupts, start: Callable[..., Finished] = run_child
) -> dict[Mode, Judgement]:
    """Run a case as redgreen runs a selector, and judge it in every mode."""
    write_case(case, tmp_path / "repo")
    (tmp_path / "report").mkdir()
    session = Session(
        Project(tmp_path / "repo"), NO_REGISTRY, lambda chunk: None, environ={"PATH": "/usr/bin:/bin"},
        interrupts=interrupts, start=start,
    )  # fmt: skip
    scrubber = Scrubber(tmp_path / "repo", {})
    launcher = Launcher(session, tmp_path / "report", f"fault-{os.getpid()}-{tmp_path.name}", scrubber)
    attempt = launcher.launch(selector_of(case), label="main", log="case.log", tmp=tmp_path / "run" / "1")
    return {mode: judge(attempt.evidence, selector_of(case), mode, case.expected) for mode in (RED, GREEN, GUARD)}


@pytest.mark.parametrize("case", [*HONEST, *FAULTS], ids=lambda case: case.name.replace(" ", "-"))
def test_every_way_to_mislead_has_its_own_name(case: Case, tmp_path: Path) -> None:
    judged = launched(case, tmp_path, Interrupts(), fork_server().start)
    told = (tmp_path / "report" / "case.log").read_text(encoding="utf-8")
    assert judged[RED].verdict is case.red, f"{judged[RED]}\n{told}"
    assert judged[GUARD].verdict is case.held, f"{judged[GUARD]}\n{told}"
    if case in FAULTS:
        assert not any(judgement.verdict.is_valid for judgement in judged.values())
        assert all(judgement.reasons for judgement in judged.values())


@pytest.mark.parametrize(
    "case", {case.red: case for case in reversed([*HONEST, *FAULTS])}.values(), ids=lambda c: c.red
)
def test_an_interpreter_of_its_own_is_judged_alike(case: Case, tmp_path: Path) -> None:
    judged = launched(case, tmp_path, Interrupts())
    assert (judged[RED].verdict, judged[GUARD].verdict) == (case.red, case.held)


def test_the_matrix_is_large_and_honest() -> None:
    assert len(FAULTS) >= 40
    names = [case.name for case in (*HONEST, *FAULTS)]
    assert len(set(names)) == len(names)
    assert all(not case.red.is_valid and not case.held.is_valid for case in FAULTS)


def test_each_kind_of_misleading_run_has_an_exit_code_of_its_own() -> None:
    kinds = {case.red for case in FAULTS}
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert all(kind.exit_code > 7 for kind in kinds), "pytest uses the codes up to 7"


def test_an_interrupt_of_the_runner_is_neither(tmp_path: Path) -> None:
    case = replace(HONEST[0], test="import time\ndef test_it():\n    time.sleep(60)\n")
    interrupts = Interrupts()
    interrupts.name = "SIGTERM"
    judged = launched(case, tmp_path, interrupts)
    assert {judgement.verdict for judgement in judged.values()} == {Verdict.INTERRUPTED}
