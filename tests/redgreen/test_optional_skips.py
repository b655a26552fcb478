"""Tests that need something optional may skip where the entry names them; a declared test never may."""

from __future__ import annotations

from pathlib import Path

import pytest
from redgreen_sandbox import RED_TEST, Sandbox, fix_product, guard, make_sandbox, target

from redgreen.codes import Verdict

OPTIONAL = """

import os, pytest


@pytest.mark.skipif(not os.path.exists("device"), reason="no device here")
def test_on_cuda():
    assert True
"""
ONLY_ANSWER = target(extra='may_skip: ["*cuda*"]').replace("reasons: [{", 'reasons: [{tests: "*test_answer", ')


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    made = make_sandbox(tmp_path / "repo", ONLY_ANSWER, guard(extra='may_skip: ["*cuda*"]'))
    made.write("tests/test_demo.py", RED_TEST + OPTIONAL)
    made.write("tests/test_held.py", "def test_held():\n    assert True\n" + OPTIONAL)
    made.commit()
    return made


def test_a_skip_at_both_ends_leaves_the_pair_valid(sandbox: Sandbox) -> None:
    assert sandbox.record("red").verdict is Verdict.VALID_RED
    fix_product(sandbox)
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    assert sandbox.record("guard", "held").verdict is Verdict.GUARD_HELD
    assert sandbox.run("verify").code == 0


def test_what_ran_at_the_red_may_skip_at_the_green_and_is_named(sandbox: Sandbox) -> None:
    sandbox.write("device", "")
    assert sandbox.record("red").verdict is Verdict.VALID_RED
    (sandbox.root / "device").unlink()
    fix_product(sandbox)
    green = sandbox.record("green")
    assert green.verdict is Verdict.VALID_GREEN, green.result.reasons
    assert green.result.transition is not None
    assert any("test_on_cuda" in note for note in green.result.transition.notes)
    assert green.result.transition.new_skips == ()


def test_a_skip_of_another_test_is_none_of_them(sandbox: Sandbox) -> None:
    skipping = "\n\ndef test_other():\n    import pytest\n    pytest.skip('today')\n"
    sandbox.write("tests/test_demo.py", RED_TEST + OPTIONAL + skipping)
    red = sandbox.record("red")
    assert (red.verdict, len(red.result.reasons)) == (Verdict.SKIPPED, 1)
    assert "test_other" in red.result.reasons[0]


def test_the_declared_test_itself_may_not_skip(sandbox: Sandbox) -> None:
    sandbox.registry(ONLY_ANSWER.replace('"*cuda*"', '"*"'), guard())
    sandbox.commit()
    assert sandbox.record("red").verdict is Verdict.VALID_RED
    fix_product(sandbox)
    skipping = RED_TEST.replace("    assert", "    import pytest; pytest.skip('later')\n    assert")
    sandbox.write("tests/test_demo.py", skipping + OPTIONAL)
    assert sandbox.record("green").verdict is Verdict.NEW_SKIPS
    assert not sandbox.record("red").verdict.is_valid


def test_nothing_but_optional_skips_shows_nothing(sandbox: Sandbox) -> None:
    sandbox.write("tests/test_held.py", OPTIONAL)
    assert sandbox.record("guard", "held").verdict is Verdict.SKIPPED


def test_leave_to_skip_that_was_given_after_the_red_does_not_count(sandbox: Sandbox) -> None:
    assert sandbox.record("red").verdict is Verdict.VALID_RED
    sandbox.registry(ONLY_ANSWER.replace('"*cuda*"', '"*cuda*", "*other*"'), guard())
    fix_product(sandbox)
    done = sandbox.run("run", "green", "demo")
    assert (done.code, "changed what it declares" in done.err) == (26, True)


def test_a_file_that_skips_as_a_whole_is_one_skip(sandbox: Sandbox) -> None:
    text = "import pytest\npytest.importorskip('nothing_there')\ndef test_it():\n    pass\n"
    sandbox.write("tests/test_whole.py", text)
    select = '"tests/test_held.py", tests/test_whole.py'
    for extra, verdict in (
        ('may_skip: ["*cuda*", "tests/test_whole.py"]', Verdict.GUARD_HELD),
        ('may_skip: ["*cuda*"]\n    expect: {skipped: 1}', Verdict.GUARD_HELD),
        ('may_skip: ["*cuda*"]', Verdict.SKIPPED),
    ):
        sandbox.registry(target(), guard(select=select, extra=extra))
        held = sandbox.record("guard", "held")
        assert held.verdict is verdict, held.result.reasons


def test_defaults_give_leave_to_every_selector(sandbox: Sandbox) -> None:
    path = sandbox.root / "plans/registry.yaml"
    text = path.read_text(encoding="utf-8").replace('    may_skip: ["*cuda*"]\n', "")
    path.write_text(text.replace("pytest_args: [-q]", 'pytest_args: [-q], may_skip: ["*cuda*"]'), encoding="utf-8")
    assert sandbox.record("guard", "held").verdict is Verdict.GUARD_HELD
