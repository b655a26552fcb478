"""A GREEN answers one RED: the same tests, every declared one fixed, nothing lost, the test itself unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from redgreen_sandbox import RED_TEST, Sandbox, fix_product, guard, make_sandbox, target

from redgreen.codes import Verdict
from redgreen.errors import PairError, PlannedError, RegistryError, VerifyError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.sealed import SealedRun
from redgreen.judge.conclusion import Transition

MIXED = RED_TEST + '\n\ndef test_kept():\n    """Passes from the beginning."""\n    assert True\n'


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    made = make_sandbox(tmp_path / "repo", target(extra='product: ["product.py"]'), guard())
    made.write("tests/test_demo.py", MIXED)
    only = target(extra='product: ["product.py"]').replace("reasons: [{", 'reasons: [{tests: "*test_answer", ')
    made.registry(only, guard())
    made.commit()
    return made


def assert_invalid(outcome: SealedRun, verdict: Verdict, *words: str) -> None:
    assert outcome.verdict is verdict, outcome.result.reasons
    told = "\n".join(outcome.result.reasons)
    assert all(word in told for word in words), told


def transition_of(outcome: SealedRun) -> Transition:
    """What went from RED to GREEN."""
    assert outcome.result.transition is not None
    return outcome.result.transition


def answered(outcome: SealedRun) -> str:
    """Run id of the RED that was answered."""
    assert outcome.result.pairs_with is not None
    return outcome.result.pairs_with.run_id


def test_a_pair_names_its_red_and_counts_the_transitions(sandbox: Sandbox) -> None:
    red = sandbox.record("red")
    assert red.verdict is Verdict.VALID_RED, red.result.reasons
    fix_product(sandbox)
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    assert answered(green) == red.result.run_id
    change = transition_of(green)
    assert (change.f2p, change.p2p, change.lost, change.new_skips) == (1, 1, (), ())
    assert green.result.proof == "PROVEN"
    assert {row.id[-11:]: row.transition for row in green.result.tests} == {
        "test_answer": "F2P",
        "::test_kept": "P2P",
    }
    assert "worktree.patch" in read_contents(green.folder), "the fix is not committed, so it belongs to the evidence"


def test_a_green_needs_a_valid_red(sandbox: Sandbox) -> None:
    with pytest.raises(PairError, match="run red demo"):
        sandbox.record("green")
    fix_product(sandbox)
    assert sandbox.record("red").verdict is Verdict.NOTHING_FAILED
    with pytest.raises(PairError, match="no valid RED"):
        sandbox.record("green")


def test_a_green_over_unfixed_code_is_still_red(sandbox: Sandbox) -> None:
    sandbox.record("red")
    assert_invalid(sandbox.record("green"), Verdict.STILL_RED, "test_answer")


def test_a_test_that_passed_and_fails_now_is_lost(sandbox: Sandbox) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.write("tests/test_demo.py", MIXED.replace("assert True", "assert False"))
    assert_invalid(sandbox.record("green"), Verdict.LOST_TESTS, "test_kept")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (
            "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n    items[1].add_marker('skip')\n",
            Verdict.NEW_SKIPS,
        ),
        (
            "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n    items[1].add_marker('xfail')\n",
            Verdict.XPASSED,
        ),
        (
            "def pytest_collection_modifyitems(config, items):\n    config.hook.pytest_deselected(items=items[1:])\n"
            "    del items[1:]\n",
            Verdict.LOST_TESTS,
        ),
        ("def pytest_collection_modifyitems(items):\n    del items[1:]\n", Verdict.LOST_TESTS),
    ],
    ids=["skipped", "xfailed", "deselected", "dropped"],
)
def test_no_test_may_go_out_of_sight(sandbox: Sandbox, change: str, verdict: Verdict) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.write("tests/conftest.py", change)
    outcome = sandbox.record("green")
    assert_invalid(outcome, verdict, "test_kept")


def test_a_new_test_was_never_red(sandbox: Sandbox) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.write("tests/test_demo.py", MIXED + "\n\ndef test_new():\n    pass\n")
    assert_invalid(sandbox.record("green"), Verdict.IDS_DISAGREE, "test_new")


@pytest.mark.parametrize(
    "changed",
    [
        MIXED.replace("answer() == 42", "answer() >= 40"),
        MIXED.replace("from product import answer", "answer = lambda: 42"),
        MIXED + "\n\nimport pytest\n\n\n@pytest.fixture(autouse=True)\ndef helped():\n    return 1\n",
    ],
    ids=["body", "import", "autouse fixture"],
)
def test_a_changed_test_is_named(sandbox: Sandbox, changed: str) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.write("tests/test_demo.py", changed)
    assert_invalid(sandbox.record("green"), Verdict.TEST_CHANGED, "tests/test_demo.py::test_answer")


def test_an_autouse_fixture_in_conftest_changes_every_test(sandbox: Sandbox) -> None:
    sandbox.record("red")
    sandbox.write(
        "tests/conftest.py",
        "import product, pytest\n\n\n@pytest.fixture(autouse=True)\ndef helped(monkeypatch):\n"
        "    monkeypatch.setattr('test_demo.answer', lambda: 42, raising=False)\n",
    )
    fix_product(sandbox)
    assert_invalid(sandbox.record("green"), Verdict.TEST_CHANGED, "test_answer")


def test_words_around_a_test_may_change_and_are_noted(sandbox: Sandbox) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.write(
        "tests/test_demo.py", '"""What the product answers."""\n' + MIXED.replace("Passes from", "Passes since")
    )
    outcome = sandbox.record("green")
    assert outcome.verdict is Verdict.VALID_GREEN, outcome.result.reasons
    assert any("bytes changed" in note for note in transition_of(outcome).notes)


def test_a_stub_in_the_test_file_gives_a_characterisation(tmp_path: Path) -> None:
    stub = "def _run():\n    raise NotImplementedError('C1 stub')\n\n\ndef test_it():\n    assert _run() == 42\n"
    entry = target(
        accept="stub", type="NotImplementedError", match="C1 stub", extra='test_support: ["tests/test_demo.py::_run"]'
    )
    sandbox = make_sandbox(tmp_path / "repo", entry)
    sandbox.write("tests/test_demo.py", stub)
    sandbox.commit()
    assert sandbox.record("red").verdict is Verdict.VALID_RED
    sandbox.write(
        "tests/test_demo.py",
        "import math\n\n" + stub.replace("raise NotImplementedError('C1 stub')", "return math.floor(42.5)"),
    )
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    assert green.result.proof == "CHARACTERISATION"
    assert "CHARACTERISATION" in (green.folder / "summary.md").read_text(encoding="utf-8").splitlines()[0]
    assert "VALID_GREEN · characterisation" in sandbox.project.ledger.read_text(encoding="utf-8")


def test_what_a_target_protects_must_stay_whole(sandbox: Sandbox) -> None:
    entry = target(extra="protects: [held]").replace("reasons: [{", 'reasons: [{tests: "*test_answer", ')
    sandbox.registry(entry, guard())
    red = sandbox.record("red")
    assert red.result.guards == {"held": {"tests/test_held.py::test_held": "passed"}}
    fix_product(sandbox)
    assert transition_of(sandbox.record("green")).p2p == 2
    sandbox.write("tests/test_held.py", "def test_held():\n    assert False\n")
    assert_invalid(sandbox.record("green"), Verdict.LOST_TESTS, "test_held")
    sandbox.write("tests/test_held.py", "import pytest\n\n\n@pytest.mark.skip\ndef test_held():\n    pass\n")
    assert_invalid(sandbox.record("green"), Verdict.NEW_SKIPS, "test_held")


def test_repeats_must_agree(tmp_path: Path) -> None:
    sandbox = make_sandbox(tmp_path / "repo", target(extra="repeat: {red: 2}"))
    flag = tmp_path / "flag"
    sandbox.write(
        "tests/test_demo.py",
        f"from pathlib import Path\n\n\ndef test_answer():\n    flag = Path({str(flag)!r})\n"
        "    first = not flag.exists()\n"
        "    flag.touch()\n    assert not first, 'answer'\n",
    )
    sandbox.env["TMPDIR"] = str(tmp_path)
    sandbox.commit()
    assert_invalid(sandbox.record("red"), Verdict.FLAKY, "failed, passed")


def test_a_red_that_was_altered_answers_nothing(sandbox: Sandbox) -> None:
    red = sandbox.record("red")
    with (red.folder / "pytest_demo_red.log").open("a", encoding="utf-8") as log:
        log.write("one more line\n")
    fix_product(sandbox)
    with pytest.raises(VerifyError, match=r"pytest_demo_red\.log was changed"):
        sandbox.record("green")


def test_a_registry_that_promises_something_else_needs_a_new_red(sandbox: Sandbox) -> None:
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.registry(target(match=""), guard())
    with pytest.raises(PairError, match="changed what it declares"):
        sandbox.record("green")


def test_an_earlier_red_can_be_named_by_id_or_folder(sandbox: Sandbox) -> None:
    first, second = sandbox.record("red"), sandbox.record("red")
    assert first.folder != second.folder, "two runs within one second must not share a folder"
    fix_product(sandbox)
    green = sandbox.record("green", red=first.result.run_id)
    assert answered(green) == first.result.run_id
    green = sandbox.record("green", red=sandbox.project.relativize(first.folder))
    assert answered(green) == first.result.run_id
    with pytest.raises(PairError, match="no sealed run"):
        sandbox.record("green", red="nothing-like-it")
    with pytest.raises(PairError, match="not a valid RED"):
        sandbox.record("green", red=green.result.run_id)


def test_what_is_planned_or_of_another_role_is_refused(sandbox: Sandbox) -> None:
    sandbox.registry(target(extra="state: planned"), guard())
    for mode in ("red", "green"):
        with pytest.raises(PlannedError, match="later work"):
            sandbox.record(mode)
    with pytest.raises(RegistryError, match="guard"):
        sandbox.record("red", "held")
    assert sandbox.record("green", "held").verdict is Verdict.GUARD_HELD
    assert not list((sandbox.root / "plans/active/DEMO-001/reports").glob("*/demo"))


def test_artifacts_are_audited_and_a_missing_one_is_no_green(tmp_path: Path) -> None:
    entry = target(extra='artifacts: [{glob: "**/*.npy", min_bytes: 100}]')
    sandbox = make_sandbox(tmp_path / "repo", entry)
    sandbox.write(
        "tests/test_demo.py",
        "import product\n\n\ndef test_answer(tmp_path):\n    assert product.answer(tmp_path) == 42, 'answer'\n",
    )
    sandbox.write("product.py", "def answer(folder):\n    return 41\n")
    sandbox.commit()
    sandbox.record("red")
    sandbox.write("product.py", "def answer(folder):\n    return 42\n")
    assert_invalid(sandbox.record("green"), Verdict.ARTIFACT_MISSING, "*.npy")
    sandbox.write(
        "product.py",
        "HEAD = b\"{'descr': '<c8', 'fortran_order': False, 'shape': (3, 5), }\"\n"
        "def answer(folder):\n"
        "    data = b'\\x93NUMPY\\x01\\x00' + len(HEAD).to_bytes(2, 'little') + HEAD + bytes(120)\n"
        "    (folder / 'wave.npy').write_bytes(data)\n    return 42\n",
    )
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    audit = read_contents(green.folder)["artifact_audit.md"].decode()
    assert "complex64 [3, 5]" in audit
    assert "wave.npy" in audit
