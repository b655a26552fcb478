"""A GREEN is replayed from its records: it was the product that changed, and the tests are those of the RED."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redgreen_sandbox import Sandbox, fix_product, fork_server, guard, make_sandbox, target

from redgreen.codes import Mode, ProofVerdict, Verdict
from redgreen.errors import PairError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import append_replay, count_hunks, find_proof
from redgreen.evidence.sealed import SealedRun, load_replay, load_run
from redgreen.registry.load import find_selector
from redgreen.replay.cell import Conditions
from redgreen.replay.pair import replay_pair
from redgreen.replay.recorded import load_side
from redgreen.run.launch import Session
from redgreen.run.process import Finished
from redgreen.runner import run_selector

PRODUCT = "product: [product.py]"
FIXED = "def answer():\n    return 42\n"


def replayed(run: SealedRun) -> ReplayRecord:
    """The replay of a run, which must have one."""
    record = load_replay(run)
    assert record is not None, (run.verdict, run.result.reasons)
    return record


def make(root: Path, *, extra: str = PRODUCT, files: dict[str, str] | None = None, **words: str) -> Sandbox:
    """A sandbox whose product is declared, with further files, all committed."""
    sandbox = make_sandbox(root / "repo", target(extra=extra, **words), guard())
    for name, text in (files or {}).items():
        sandbox.write(name, textwrap.dedent(text))
    sandbox.commit()
    return sandbox


def record_pair(sandbox: Sandbox, change: Callable[[Sandbox], object]) -> SealedRun:
    """Record a RED, make the change and record the GREEN."""
    red = sandbox.record("red")
    assert red.verdict is Verdict.VALID_RED, red.result.reasons
    change(sandbox)
    return sandbox.record("green")


def assert_unproven(run: SealedRun, *verdicts: str) -> None:
    """It ends with a code above 0: in the run itself, or by its replay."""
    assert run.result.exit_code, (run.verdict, run.result.proof)
    if run.verdict is Verdict.VALID_GREEN:
        record = replayed(run)
        assert record.verdict in verdicts, (record.verdict, record.reasons)
        assert record.reasons
        assert all("\n" not in reason for reason in record.reasons)
    else:
        assert run.verdict in verdicts, (run.verdict, run.result.reasons)


def edit(name: str, old: str, new: str) -> Callable[[Sandbox], object]:
    """Replace text in a file."""

    def change(sandbox: Sandbox) -> None:
        text = (sandbox.root / name).read_text(encoding="utf-8")
        assert old in text
        sandbox.write(name, text.replace(old, new))

    return change


def test_a_fix_of_the_product_is_proven_with_its_hunks(tmp_path: Path) -> None:
    sandbox = make(tmp_path)
    green = record_pair(sandbox, fix_product)
    record = replayed(green)
    assert record.verdict == "PROVEN", record.reasons
    assert record.fixed == ("tests/test_demo.py::test_answer",)
    assert record.product == ("product.py",)
    assert [hunk.state for hunk in record.hunks] == ["witnessed"]
    assert b"41" in read_contents(green.folder)["change.patch"]
    assert (green.result.exit_code, green.result.proof) == (0, "PROVEN")
    assert sandbox.run("verify").code == 0
    assert "· proven |" in sandbox.project.ledger.read_text(encoding="utf-8")


def test_a_committed_fix_is_proven_and_a_later_replay_says_the_same(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def fix(box: Sandbox) -> None:
        fix_product(box)
        box.commit("fix")

    green = record_pair(sandbox, fix)
    assert replayed(green).verdict == "PROVEN"
    sandbox.commit("evidence")
    done = sandbox.run("replay", green.result.run_id)
    assert done.code == 0, done.out + done.err
    assert "1 PROVEN" in done.out
    assert "proven (replayed " in sandbox.project.ledger.read_text(encoding="utf-8")
    assert sandbox.run("verify", "--against", "HEAD").code == 0
    log = sandbox.root / "plans/active/DEMO-001/reports/replays.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace('"held":0', '"held":9'), encoding="utf-8")
    assert "was changed" in sandbox.run("verify").err


def test_a_later_replay_of_the_same_second_counts(tmp_path: Path) -> None:
    sandbox = make(tmp_path)
    green = record_pair(sandbox, fix_product)
    later = replace(replayed(green), verdict=ProofVerdict.FLAKY)
    assert find_proof(green, {green.run_id: later}) is later


def test_a_later_replay_keeps_no_path_of_the_machine(tmp_path: Path) -> None:
    test = """\
        from product import answer

        def test_answer(tmp_path):
            assert answer() == 42, f"the answer is not there yet: {tmp_path} {__file__}"
        """
    sandbox = make(tmp_path, files={"tests/test_demo.py": test})
    green = record_pair(sandbox, fix_product)
    assert sandbox.run("replay", green.result.run_id).code == 0
    log = sandbox.root / "plans/active/DEMO-001/reports/replays.jsonl"
    text = log.read_text(encoding="utf-8")
    assert "<repo>/tests/test_demo.py" in text
    assert "/tmp/" not in text.replace("<tmp>/", "")
    assert sandbox.run("verify").code == 0
    append_replay(sandbox.project, "DEMO-001", replace(replayed(green), notes=("written in <place>",)))
    log.write_text(log.read_text(encoding="utf-8").replace("<place>", "/ho" + "me/somebody/x"), encoding="utf-8")
    assert "holds a path of a machine" in sandbox.run("verify").err


def test_a_hunk_that_no_test_notices_is_named(tmp_path: Path) -> None:
    more = "\n\n\n\n\n\ndef other():\n    return {}\n"
    sandbox = make(tmp_path, files={"product.py": "def answer():\n    return 41\n" + more.format(1)})
    record = replayed(record_pair(sandbox, lambda box: box.write("product.py", FIXED + more.format(2))))
    assert record.verdict == "PROVEN"
    assert [(hunk.file, hunk.line) for hunk in record.unwitnessed] == [("product.py", 10)]
    assert "proven changes: tests notice 1 of 2 hunks" in sandbox.run("status").out
    other = replace(record, hunks=tuple(replace(hunk, state="witnessed") for hunk in record.unwitnessed))
    assert count_hunks([record, other]) == (2, 2)  # another pair of the same change notices the other hunk
    assert count_hunks([record, replace(other, head="another"), replace(record, verdict=ProofVerdict.FLAKY)]) == (2, 3)


HELPED = "from {name} import check\nfrom product import answer\n\n\ndef test_answer():\n    check(answer())\n"
CHECK = 'def check(value):\n    assert value == 42, "the answer is not there yet"\n'
EMPTY = ("assert value == 42", "assert value")


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        pytest.param(
            {
                "tests/test_demo.py": """\
                    import pathlib
                    from product import answer

                    def test_answer():
                        expected = pathlib.Path(__file__).with_name("expected.txt").read_text()
                        assert str(answer()) == expected, "the answer is not there yet"
                    """,
                "tests/expected.txt": "42",
            },
            ("tests/expected.txt", "42", "41"),
            id="a data file",
        ),
        pytest.param(
            {},
            ("tests/test_demo.py", 'yet"\n', 'yet"\n\n\ndef test_answer():\n    assert answer()\n'),
            id="a second definition of the name",
        ),
        pytest.param(
            {
                "tests/__init__.py": "",
                "tests/helpers.py": CHECK,
                "tests/test_demo.py": HELPED.format(name="tests.helpers"),
            },
            ("tests/helpers.py", *EMPTY),
            id="a helper of a package",
        ),
        pytest.param(
            {
                "tests/__init__.py": "",
                "tests/helpers.py": CHECK,
                "tests/test_demo.py": "from product import answer\n\nfrom . import helpers\n\n\n"
                "def test_answer():\n    helpers.check(answer())\n",
            },
            ("tests/helpers.py", *EMPTY),
            id="a helper imported from its package",
        ),
        pytest.param(
            {
                "conftest.py": 'pytest_plugins = ["extra_fixtures"]\n',
                "extra_fixtures.py": "import pytest\n\n@pytest.fixture\ndef expected():\n    return 42\n",
                "tests/test_demo.py": "from product import answer\n\n\ndef test_answer(expected):\n"
                '    assert answer() == expected, "the answer is not there yet"\n',
            },
            ("extra_fixtures.py", "42", "41"),
            id="a fixture of a plugin",
        ),
        pytest.param(
            {"conftest.py": "EXPECTED = 42\n", "tests/test_demo.py": "from conftest import EXPECTED\n"
             "from product import answer\n\n\ndef test_answer():\n"
             '    assert answer() == EXPECTED, "the answer is not there yet"\n'},
            ("conftest.py", "42", "41"),
            id="a constant of conftest",
        ),
    ],
)  # fmt: skip
def test_a_weakened_test_is_no_fix(tmp_path: Path, files: dict[str, str], changed: tuple[str, str, str]) -> None:
    def weaken(sandbox: Sandbox) -> None:
        edit(*changed)(sandbox)
        sandbox.write("product.py", "def answer():\n    return 41 + 0\n")

    assert_unproven(record_pair(make(tmp_path, files=files), weaken), "TESTS_CHANGED", "TEST_CHANGED")
    sandbox = make(tmp_path / "alone", files=files)
    assert_unproven(record_pair(sandbox, edit(*changed)), "TESTS_CHANGED", "TEST_CHANGED")


def test_a_helper_outside_of_the_tests_is_no_product_where_none_is_declared(tmp_path: Path) -> None:
    test = HELPED.format(name="checks.helpers")
    files = {"checks/__init__.py": "", "checks/helpers.py": CHECK, "tests/test_demo.py": test}
    sandbox = make(tmp_path, extra="", raised_in="product", files=files)
    run = record_pair(sandbox, edit("checks/helpers.py", *EMPTY))
    assert_unproven(run, "UNPROVEN")
    assert "declare what is product" in replayed(run).reasons[0]
    other = make(tmp_path / "declared", raised_in="product", files=files)
    assert other.record("red").verdict is Verdict.WRONG_REASON


def test_a_product_of_every_file_is_none(tmp_path: Path) -> None:
    test = """\
        import pathlib
        from product import answer

        def test_answer():
            assert str(answer()) == pathlib.Path("data/expected.txt").read_text(), "the answer is not there yet"
        """
    files = {"tests/test_demo.py": test, "data/expected.txt": "42"}
    sandbox = make(tmp_path, extra='product: ["**"]', files=files)
    assert_unproven(record_pair(sandbox, edit("data/expected.txt", "42", "41")), "TESTS_CHANGED")
    assert "'**' names every file" in sandbox.run("lint").err
    honest = make(tmp_path / "honest", extra='product: ["**"]')
    record = replayed(record_pair(honest, fix_product))
    assert record.verdict == "PROVEN", record.reasons
    assert any("was guessed" in note for note in record.notes)


def test_an_assertion_inside_a_helper_that_may_change_is_no_fix(tmp_path: Path) -> None:
    test = f"from product import answer\n\n\n{CHECK}\n\ndef test_answer():\n    check(answer())\n"
    files = {"tests/test_demo.py": test}
    sandbox = make(tmp_path, extra=f'{PRODUCT}\n    test_support: ["tests/test_demo.py::check"]', files=files)
    assert_unproven(record_pair(sandbox, edit("tests/test_demo.py", *EMPTY)), "TESTS_CHANGED")


READS = """\
    import os
    import pathlib


    def answer():
        found = pathlib.Path("answer.local")
        return int(found.read_text()) if found.exists() else int(os.environ.get("LANG", "41").removeprefix("C"))
    """


def test_an_ignored_file_is_no_fix(tmp_path: Path) -> None:
    sandbox = make(tmp_path, files={"product.py": READS, ".gitignore": ".redgreen/\n*.local\n__pycache__/\n"})
    sandbox.env["LANG"] = "41"
    run = record_pair(sandbox, lambda box: box.write("answer.local", "42"))
    assert_unproven(run, "NOTHING_CHANGED")
    assert run.result.reads == ("answer.local",)
    assert "`answer.local`" in read_contents(run.folder)["summary.md"].decode()


def test_a_variable_that_passes_by_default_is_no_fix(tmp_path: Path) -> None:
    sandbox = make(tmp_path, files={"product.py": READS})
    sandbox.env["LANG"] = "41"
    assert_unproven(record_pair(sandbox, lambda box: box.env.update(LANG="42")), "NOTHING_CHANGED")

    other = make(tmp_path / "edited", files={"product.py": READS})
    other.env["LANG"] = "41"

    def change(box: Sandbox) -> None:
        box.env["LANG"] = "42"
        edit("product.py", "found = path", "place = found = path")(box)

    run = record_pair(other, change)
    assert_unproven(run, "UNPROVEN", "CHARACTERISATION")
    assert any("env.LANG was 41, is 42" in note for note in replayed(run).notes), replayed(run).notes


def test_a_variable_let_through_after_the_red_is_refused(tmp_path: Path) -> None:
    sandbox = make(tmp_path, files={"product.py": READS.replace("LANG", "ANSWER")})

    def change(box: Sandbox) -> None:
        edit("plans/registry.yaml", PRODUCT, f"{PRODUCT}\n    pass_env: [ANSWER]")(box)
        box.env["ANSWER"] = "42"

    with pytest.raises(PairError, match="changed what it declares"):
        record_pair(sandbox, change)


@pytest.mark.parametrize(
    "line",
    ['artifacts: [{glob: "*.txt"}]', "expect: {skipped: 3}", "count: {min: 1, max: 9}", "tests_roots: [checks]"],
)
def test_what_the_entry_promises_cannot_change_after_the_red(tmp_path: Path, line: str) -> None:
    sandbox = make(tmp_path)
    text = f"{PRODUCT}\n    {line}" if "roots" not in line else PRODUCT
    change = edit("plans/registry.yaml", PRODUCT, text)
    if "roots" in line:
        change = edit("plans/registry.yaml", "defaults: {", f"defaults: {{{line}, ")
    with pytest.raises(PairError, match="changed what it declares"):
        record_pair(sandbox, change)


def test_limits_that_have_changed_since_the_red_are_named(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        edit("plans/registry.yaml", PRODUCT, f"{PRODUCT}\n    budget_s: 90\n    repeat: {{green: 2}}")(box)
        fix_product(box)

    record = replayed(record_pair(sandbox, change))
    assert record.verdict == "PROVEN", record.reasons
    told = [note for note in record.notes if note.startswith("the entry has changed since the RED")]
    assert [note.partition(": ")[2] for note in told] == ["budget_s was 60, is 90", "repeat_green was 1, is 2"]


def test_a_product_run_from_an_installed_copy_is_no_fix(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "product.py").write_text("def answer():\n    return 41\n", encoding="utf-8")
    script = f"import sys; sys.path.insert(0, {str(installed)!r}); import product; print(product.answer())"
    test = f"""\
        import subprocess
        import sys

        def test_answer():
            done = subprocess.run([sys.executable, "-P", "-c", {script!r}], capture_output=True, text=True, cwd="/")
            assert done.stdout.strip() == "42", "not the answer"
        """
    sandbox = make(tmp_path, files={"tests/test_demo.py": test})

    def change(box: Sandbox) -> None:
        fix_product(box)
        (installed / "product.py").write_text(FIXED, encoding="utf-8")

    assert_unproven(record_pair(sandbox, change), "UNPROVEN", "CHARACTERISATION")


def test_a_file_that_git_was_told_not_to_see_is_no_fix(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        box.git("update-index", "--assume-unchanged", "product.py")
        fix_product(box)

    assert_unproven(record_pair(sandbox, change), "NOTHING_CHANGED")
    other = make(tmp_path / "skip")

    def skip(box: Sandbox) -> None:
        box.git("update-index", "--skip-worktree", "tests/test_demo.py")
        edit("tests/test_demo.py", "== 42", "")(box)

    assert_unproven(record_pair(other, skip), "TEST_CHANGED", "NOTHING_CHANGED")


def test_a_local_filter_of_git_is_no_fix(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        box.write(".git/info/attributes", "product.py filter=old\n")
        box.git("config", "filter.old.clean", "sed s/42/41/")
        fix_product(box)

    assert_unproven(record_pair(sandbox, change), "NOTHING_CHANGED", "UNPROVEN")


def test_a_replaced_commit_is_no_fix(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        head = box.git("rev-parse", "HEAD").strip()
        fix_product(box)
        box.commit("fixed")
        other = box.git("rev-parse", "HEAD").strip()
        box.git("replace", head, other)
        box.git("reset", "-q", "--hard", head)

    assert_unproven(record_pair(sandbox, change), "NOTHING_CHANGED", "UNPROVEN")


def test_a_product_that_is_broken_for_the_red_and_restored_is_labelled(tmp_path: Path) -> None:
    sandbox = make(tmp_path, files={"product.py": FIXED})
    sandbox.write("product.py", "def answer():\n    return 41\n")
    run = record_pair(sandbox, fix_product)
    assert_unproven(run, "RETROFITTED")
    assert "was like this before the RED" in replayed(run).reasons[0]

    other = make(tmp_path / "committed", files={"product.py": FIXED})
    other.write("product.py", "def answer():\n    return 41\n")
    other.commit("broken")
    assert_unproven(record_pair(other, lambda box: box.write("product.py", "# mended\n" + FIXED)), "RETROFITTED")


def test_a_red_from_another_line_of_commits_is_no_red(tmp_path: Path) -> None:
    sandbox = make(tmp_path)
    sandbox.git("checkout", "-q", "-b", "aside")
    sandbox.write("unrelated.txt", "aside\n")
    sandbox.commit("aside")

    def change(box: Sandbox) -> None:
        box.git("checkout", "-q", "main")
        fix_product(box)

    run = record_pair(sandbox, change)
    assert_unproven(run, "UNPROVEN")
    assert "does not lead to" in replayed(run).reasons[0]


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(
            """\
            def test_answer():
                try:
                    from product import missing
                except ImportError:
                    missing = None
                assert missing is not None, "the answer"
            """,
            id="caught",
        ),
        pytest.param(
            """\
            import subprocess
            import sys

            def test_answer():
                done = subprocess.run([sys.executable, "-c", "from product import missing"], capture_output=True)
                assert done.returncode == 0, "the answer"
            """,
            id="in another process",
        ),
        pytest.param(
            'import product\n\n\ndef test_answer():\n    assert hasattr(product, "missing"), "the answer"\n',
            id="asked for",
        ),
    ],
)
def test_a_missing_name_in_disguise_is_no_reason(tmp_path: Path, test: str) -> None:
    sandbox = make(tmp_path, files={"tests/test_demo.py": test})
    run = record_pair(sandbox, lambda box: box.write("product.py", FIXED + "\n\nmissing = 1\n"))
    assert_unproven(run, "UNPROVEN")
    assert "missing_symbol" in replayed(run).reasons[0]
    honest = make(tmp_path / "declared", files={"tests/test_demo.py": test}, accept="assertion, missing_symbol")
    run = record_pair(honest, lambda box: box.write("product.py", FIXED + "\n\nmissing = 1\n"))
    assert replayed(run).verdict == "PROVEN", replayed(run).reasons


@pytest.mark.parametrize("kind", ["async def inner", "def inner"])
def test_a_body_that_is_made_and_never_run_does_not_pass(tmp_path: Path, kind: str) -> None:
    body = "    yield\n" if kind == "def inner" else ""
    test = f"""\
{kind}():
{body}    assert False


def test_answer():
    return inner()
"""
    sandbox = make_sandbox(tmp_path / "repo", guard(select="tests/test_demo.py"))
    sandbox.write("tests/test_demo.py", test)
    assert sandbox.record("guard", "held").verdict is not Verdict.GUARD_HELD


def test_a_test_file_that_is_rewritten_while_it_runs_is_no_fix(tmp_path: Path) -> None:
    rewrite = """\
        import pathlib

        def pytest_sessionstart():
            if pathlib.Path("weak.local").exists():
                file = pathlib.Path("tests/test_demo.py")
                file.write_text(file.read_text().replace("== 42", ""))
        """
    sandbox = make(tmp_path, files={"conftest.py": rewrite, ".gitignore": ".redgreen/\n*.local\n__pycache__/\n"})
    run = record_pair(sandbox, lambda box: box.write("weak.local", ""))
    assert_unproven(run, "NOTHING_CHANGED", "TEST_CHANGED")


def test_a_guard_must_hold_at_the_red(tmp_path: Path) -> None:
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    protects: [held]")
    sandbox.write("tests/test_held.py", "def test_held():\n    assert False\n")
    run = sandbox.record("red")
    assert run.verdict is Verdict.GUARD_BROKEN
    assert "held" in run.result.reasons[0]
    sandbox.write("tests/test_held.py", "import nothing_of_this_name\n")
    assert sandbox.record("red").verdict is Verdict.GUARD_BROKEN


def test_a_guard_that_holds_only_beside_ignored_files_is_named(tmp_path: Path) -> None:
    held = 'import pathlib\n\n\ndef test_held():\n    assert pathlib.Path("made.local").exists()\n'
    files = {"tests/test_held.py": held, ".gitignore": ".redgreen/\n*.local\n__pycache__/\n"}
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    protects: [held]", files=files)
    sandbox.write("made.local", "")
    run = record_pair(sandbox, fix_product)
    assert_unproven(run, "UNPROVEN")
    assert "held, which it protects" in replayed(run).reasons[0]


def test_a_guard_that_skips_in_a_clean_clone_is_named(tmp_path: Path) -> None:
    held = (
        "import pathlib\n\nimport pytest\n\n\ndef test_held():\n"
        '    if not pathlib.Path("made.local").exists():\n        pytest.skip("no data")\n'
    )
    files = {"tests/test_held.py": held, ".gitignore": ".redgreen/\n*.local\n__pycache__/\n"}
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    protects: [held]", files=files)
    sandbox.write("made.local", "")
    record = replayed(record_pair(sandbox, fix_product))
    assert any(note.startswith("nothing was looked at in held") for note in record.notes), record.notes


def test_passes_of_a_file_that_target_and_guard_share_are_counted_once(tmp_path: Path) -> None:
    test = (
        'from product import answer\n\n\ndef test_answer():\n    assert answer() == 42, "the answer"\n\n\n'
        "def test_kept():\n    assert answer() > 40\n"
    )
    entries = (
        target(extra=f"{PRODUCT}\n    protects: [held]").replace("reasons: [{", 'reasons: [{tests: "*test_answer", '),
        guard(select="tests/test_demo.py", extra='k: "kept"'),
    )
    sandbox = make_sandbox(tmp_path / "repo", *entries)
    sandbox.write("tests/test_demo.py", test)
    sandbox.commit()
    run = record_pair(sandbox, fix_product)
    assert replayed(run).verdict == "PROVEN", replayed(run).reasons
    assert run.result.transition is not None
    assert run.result.transition.p2p == 1


def test_the_record_says_where_nothing_was_looked_at(tmp_path: Path) -> None:
    notes = replayed(record_pair(make(tmp_path), fix_product)).notes
    assert any("protects no guard" in note for note in notes)
    assert any("no test passed before" in note for note in notes)


def test_an_error_that_the_product_handles_can_be_declared(tmp_path: Path) -> None:
    product = """\
        def answer(value=None):
            try:
                return value.number
            except AttributeError:
                raise TypeError("no answer here") from None
        """
    words = {"type": "TypeError", "match": "no answer", "accept": "exception", "raised_in": "product"}
    test = "from product import answer\n\n\ndef test_answer():\n    assert answer() == 42\n"
    files = {"product.py": product, "tests/test_demo.py": test}
    plain = make(tmp_path, files=files, **words)
    red = plain.record("red")
    assert red.verdict is Verdict.DISGUISED_IMPORT
    assert "accept_hidden: [AttributeError]" in red.result.reasons[0]
    declared = make(tmp_path / "declared", files=files, **words)
    edit("plans/registry.yaml", "accept: [exception]", "accept: [exception], accept_hidden: [AttributeError]")(declared)
    declared.commit()
    run = record_pair(declared, lambda box: box.write("product.py", "def answer(value=None):\n    return 42\n"))
    assert replayed(run).verdict == "PROVEN", replayed(run).reasons


def test_tests_that_cannot_be_told_apart_are_flaky_and_a_lost_test_regresses(tmp_path: Path) -> None:
    chance = "import os, time\n\ndef answer():\n    return 42 if time.time_ns() // 1000 % 2 else 41\n"
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    replay: {{repeat: 6}}")
    sandbox.record("red")
    sandbox.write("product.py", chance)
    runs = [sandbox.record("green") for _ in range(4)]
    assert any(run.result.exit_code for run in runs)
    assert all(run.result.proof in (None, "FLAKY") for run in runs), [run.result.proof for run in runs]


@pytest.mark.parametrize(("number", "verdict"), [(2, "UNPROVEN"), (4, "UNPROVEN"), (5, "PROVEN")])
def test_a_signal_during_the_replay_proves_nothing_that_was_not_seen(tmp_path: Path, number: int, verdict: str) -> None:
    sandbox = make(tmp_path)
    sandbox.record("red")
    fix_product(sandbox)
    session = Session(sandbox.project, sandbox.loaded(), lambda _: None, environ=sandbox.environ())
    begun = []

    def start(argv: list[str], **words: Any) -> Finished:
        begun.append(argv)
        ended = fork_server().start(argv, **words)
        if len(begun) == number:
            session.interrupts.name = "SIGTERM"
        return ended

    session.start = start
    run = run_selector(session, find_selector(session.registry, "demo"), Mode.GREEN)
    record = replayed(run)
    assert record.verdict == verdict, record.reasons
    assert "SIGTERM" in f"{record.reasons} {record.notes}"
    assert not [hunk for hunk in record.hunks if hunk.state == "witnessed"]


def test_a_replay_keeps_its_budget(tmp_path: Path) -> None:
    slow = "import time\nfrom product import answer\n\ntime.sleep(0.7)\n\n\n"
    slow += "def test_answer():\n    assert answer() == 42, 'answer'\n"
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    replay: {{budget_s: 1}}", files={"tests/test_demo.py": slow})
    run = record_pair(sandbox, fix_product)
    assert_unproven(run, "UNPROVEN")
    assert "budget of 1 s was used up" in replayed(run).reasons[0]
    again = sandbox.run("replay", run.result.run_id, "--budget", "300")
    assert (again.code, "1 PROVEN" in again.out) == (0, True), again.out + again.err


@pytest.mark.slow
def test_processes_take_longer_with_the_budget_of_a_later_replay(tmp_path: Path) -> None:
    slow = "import os, time\nfrom product import answer\n\n\ndef test_answer():\n"
    slow += "    time.sleep(8 if 'rg-replay' in os.getcwd() else 0)\n    assert answer() == 42, 'answer'\n"
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    budget_s: 7", files={"tests/test_demo.py": slow})
    run = record_pair(sandbox, fix_product)
    assert "TIMEOUT" in replayed(run).reasons[0]
    again = sandbox.run("replay", run.result.run_id, "--budget", "2400")
    assert (again.code, "1 PROVEN" in again.out) == (0, True), again.out + again.err


@pytest.mark.parametrize("name", ["tests/bench.py", "tools/answer.py"])
def test_files_that_a_test_does_not_import_hide_nothing(tmp_path: Path, name: str) -> None:
    test = "from product import answer\n\n\ndef test_answer():\n    found = {'bench': answer()}\n"
    test += "    assert found['bench'] == 42, 'the answer is not there yet'\n"
    sandbox = make(tmp_path, files={"tests/test_demo.py": test})

    def change(box: Sandbox) -> None:
        box.write("product.py", FIXED + "\n\ndef error():\n    return 0\n")
        box.write(name, 'def show(found):\n    return "error" in found\n')

    record = replayed(record_pair(sandbox, change))
    assert record.verdict == "PROVEN", record.reasons


def test_a_fix_that_comes_with_new_names_and_helpers_is_proven(tmp_path: Path) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        box.write("product.py", FIXED + "\n\ndef double():\n    return 84\n")
        edit("tests/test_demo.py", "from product import answer\n", "from product import answer, double\n")(box)
        box.write("tests/test_double.py", "from product import double\n\nassert double() == 84\n")
        box.write("tests/conftest.py", "import pytest\n\n\n@pytest.fixture\ndef unused():\n    return 1\n")

    record = replayed(record_pair(sandbox, change))
    assert record.verdict == "PROVEN", record.reasons
    assert any("tests of the GREEN do not run" in note for note in record.notes)


def test_a_project_below_the_top_of_its_repository_is_replayed(tmp_path: Path) -> None:
    top = Sandbox(tmp_path / "top")
    top.root.mkdir()
    inner = make_sandbox(tmp_path / "top" / "part", target(extra=PRODUCT), guard())
    (inner.root / ".git").rename(tmp_path / "top" / ".git")
    top.commit("moved")
    record = replayed(record_pair(inner, fix_product))
    assert record.verdict == "PROVEN", record.reasons
    assert record.product == ("part/product.py",)


def test_the_environment_holds_nothing_that_was_not_allowed(tmp_path: Path) -> None:
    test = """\
        import os
        import pathlib
        from product import answer

        def test_answer():
            assert "ELSEWHERE" not in os.environ
            if os.environ["REDGREEN_RUN_ID"].startswith("replay"):
                assert not list(pathlib.Path(os.environ["HOME"]).iterdir())
            assert answer() == 42, "the answer"
        """
    sandbox = make(tmp_path, files={"tests/test_demo.py": test})
    sandbox.env["ELSEWHERE"] = "1"
    assert replayed(record_pair(sandbox, fix_product)).verdict == "PROVEN"


def test_thirty_secrets_in_messages_of_a_replay_are_not_kept(tmp_path: Path) -> None:
    secrets = {f"SERVICE_{n}_TOKEN": f"s3cret-{n:02d}-{'abcdefgh'[n % 8 :]}Zq{n}" for n in range(30)}
    test = """\
        import base64
        import os
        from product import answer

        def test_answer():
            held = {name: value for name, value in os.environ.items() if name.endswith("_TOKEN")}
            assert len(held) == 30
            shown = [*held.values(), *map(repr, held.values()), *(base64.b64encode(v.encode()) for v in held.values())]
            print(held)
            assert answer() == 42, f"the answer is not there yet {shown}"
        """
    names = ", ".join(secrets)
    sandbox = make(tmp_path, extra=f"{PRODUCT}\n    pass_env: [{names}]", files={"tests/test_demo.py": test})
    sandbox.env |= secrets
    green = record_pair(sandbox, fix_product)
    assert replayed(green).verdict == "PROVEN", replayed(green).reasons
    for folder in sandbox.project.list_folders():
        for name, data in read_contents(folder).items():
            kept = [value for value in secrets.values() if value.encode() in data]
            kept += [value for value in secrets.values() if base64.b64encode(value.encode()) in data]
            assert not kept, (name, kept)
    assert not any(value in sandbox.project.ledger.read_text(encoding="utf-8") for value in secrets.values())


def test_a_commit_and_patch_that_give_another_tree_prove_nothing(tmp_path: Path) -> None:
    sandbox = make(tmp_path)
    green = record_pair(sandbox, fix_product)
    assert green.result.pairs_with is not None
    red = load_run(sandbox.root / green.result.pairs_with.folder)
    true = load_side(green)
    forged = replace(true, revision=replace(true.revision, tree="1" * 40))
    words = (green.intent.load_selector(), red.result.declared, Conditions(start=fork_server().start))
    verdicts = [
        replay_pair(sandbox.project, load_side(red), side, *words, when="2031-01-01T00:00:00+00:00")[0]
        for side in (true, forged)
    ]
    assert [record.verdict for record in verdicts] == ["PROVEN", "UNPROVEN"]
    assert "names the tree 111111111111" in verdicts[1].reasons[0]


@pytest.mark.parametrize("planted", ["ghp_" + "a1B2" * 9, "/ho" + "me/somebody/data"], ids=["secret", "machine path"])
def test_a_change_that_holds_what_must_not_be_kept_is_left_to_git(tmp_path: Path, planted: str) -> None:
    sandbox = make(tmp_path)

    def change(box: Sandbox) -> None:
        box.write("product.py", f'PLACE = "{planted}"\n\n\n{FIXED}')
        box.commit("fix")

    green = record_pair(sandbox, change)
    record = replayed(green)
    assert record.verdict == "PROVEN", record.reasons
    assert any(note.startswith("change.patch is left out") for note in record.notes), record.notes
    kept = read_contents(green.folder)
    assert "change.patch" not in kept
    assert not [name for name, data in kept.items() if planted.encode() in data]
    assert sandbox.run("verify").code == 0
