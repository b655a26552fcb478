"""summary.md says on its first lines what a reviewer asks, hides nothing, and is what the record says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from page_reader import HOSTILE, Page, read_page
from redgreen_sandbox import Sandbox, guard, target
from replay_fixture import PATCH, make_replay, record_pair, reseal

from redgreen.codes import ProofVerdict, Verdict
from redgreen.evidence.markdown import shorten
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.summary import render_summary
from redgreen.evidence.verify import verify_folder

PARSER = MarkdownIt("commonmark").enable("table")
TEST = """\
import pytest
from product import answer


def test_answer():
    assert answer() == 42, "the answer is not there yet"


@pytest.mark.parametrize("number", range(50))
def test_that_passes(number):
    assert number >= 0
"""
DEMO = target(extra="protects: [held, later]").replace("reasons: [{", 'reasons: [{tests: "*test_answer", ')
PLANNED = guard("later", "tests/test_later.py", extra="state: planned")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("summary") / "repo"
    sandbox, _, _ = record_pair(root, DEMO, guard(), PLANNED, test=TEST)
    return sandbox.root


@pytest.fixture
def pair(recorded: Path, tmp_path: Path) -> tuple[Sandbox, SealedRun, SealedRun]:
    shutil.copytree(recorded, tmp_path / "repo", symlinks=True)
    sandbox = Sandbox(tmp_path / "repo")
    red, green = (load_run(folder) for folder in sorted(sandbox.project.list_folders()))
    return sandbox, red, green


def read_summary(run: SealedRun) -> str:
    return (run.folder / "summary.md").read_text(encoding="utf-8")


def render(text: str) -> Page:
    return read_page(PARSER.render(text))


def test_a_green_shows_the_reason_of_its_red_beside_its_outcome(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    sandbox, _, green = pair
    text = read_summary(green)
    assert text.splitlines()[0] == "# VALID_GREEN · PROVEN: demo (GREEN)"
    [line] = [line for line in text.splitlines() if line.startswith("| `tests/test_demo.py::test_answer`")]
    assert "AssertionError" in line
    assert "the answer is not there yet" in line
    assert "tests/test_demo.py:6" in line
    assert line.endswith("| passed |")
    assert "51 of 51 tests passed." in text
    assert "test_that_passes" not in text, "what passed is counted"
    assert verify_folder(sandbox.project, green.folder) == []


def test_a_red_shows_what_failed(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    sandbox, red, _ = pair
    text = read_summary(red)
    assert text.splitlines()[0] == "# VALID_RED: demo (RED)"
    assert "AssertionError (assertion): the answer is not there yet" in text
    assert "test_that_passes" not in text
    assert verify_folder(sandbox.project, red.folder) == []


def test_what_was_protected_is_counted_and_what_was_not_is_said(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    _, _, green = pair
    text = read_summary(green)
    assert "| `held` | 1 of 1 | 1 of 1 | held |" in text
    assert "| `later` | not run | not run | nothing was looked at |" in text


def test_a_replay_and_its_change_are_shown_and_verified(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    sandbox, red, green = pair
    green = reseal(sandbox, green, red, replay=make_replay(green), change=PATCH)
    text = read_summary(green)
    page = render(text)
    assert text.splitlines()[0] == "# VALID_GREEN · PROVEN: demo (GREEN)"
    assert "-    return 41\n+    return 42" in page.text
    assert "1 of 2 hunks of the product." in page.text
    assert "product.py:40" in page.text
    assert "product of the RED, tests of the GREEN 3 1 failed" in " ".join(page.text.split())
    assert "script" not in page.tags
    assert "<script>alert(1)</script> \\u202e" in page.text
    assert text.index("### Product") < text.index("return 42") < text.index("### Tests") < text.index("script")
    assert verify_folder(sandbox.project, green.folder) == []
    (green.folder / "summary.md").write_text(text.replace("PROVEN", "UNPROVEN"), encoding="utf-8")
    assert verify_folder(sandbox.project, green.folder) == ["summary.md was changed"]


@pytest.mark.parametrize("verdict", ProofVerdict)
def test_each_verdict_of_a_replay_is_explained(recorded: Path, verdict: ProofVerdict) -> None:
    red, green = (load_run(folder) for folder in sorted(Sandbox(recorded).project.list_folders()))
    replay = make_replay(green, verdict=verdict, reasons=("because",))
    text = render_summary(green.result, green.intent.load_selector(), red=red.result, replay=replay)
    assert f"· {verdict}: demo" in text.splitlines()[0]
    assert "Replayed: " in text.splitlines()[2]


def test_folders_of_the_first_format_still_verify(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    sandbox, red, green = pair
    green = reseal(sandbox, green, red, summary_format=None)
    assert "summary_format" not in (green.folder / "result.json").read_text(encoding="utf-8")
    assert read_summary(green).startswith("# VALID_GREEN: demo (GREEN)\n")
    assert verify_folder(sandbox.project, green.folder) == []
    green = reseal(sandbox, green, red, summary_format=2)
    (green.folder / "summary.md").write_text("# PROVEN\n", encoding="utf-8")
    assert verify_folder(sandbox.project, green.folder)


def test_long_lists_and_differences_are_cut_with_their_numbers(pair: tuple[Sandbox, SealedRun, SealedRun]) -> None:
    _, red, green = pair
    patch = PATCH + b"".join(b"+line %d\n" % number for number in range(500))
    result = replace(green.result, verdict=Verdict.STILL_RED, reasons=tuple(f"reason {n}" for n in range(90)))
    text = render_summary(result, green.intent.load_selector(), red=red.result, change=patch)
    assert "And 50 more in result.json." in text
    assert "444 more lines in `change.patch`." in text
    assert text.count("+line") == 56
    assert "tests/test_demo.py: 501 lines added, 0 removed" in text


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_shows_as_text(recorded: Path, text: str) -> None:
    red, green = (load_run(folder) for folder in sorted(Sandbox(recorded).project.list_folders()))
    error = red.result.tests[0].error
    assert error is not None
    test = replace(red.result.tests[0], id=f"tests/x.py::test[{text}]", error=replace(error, message=text, at=text))
    before = replace(red.result, tests=(test,), declared=(test.id,))
    replay = make_replay(green, reasons=(text,), notes=(text,), product=(text,))
    change = f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n+{text}\n".encode("utf-8", "replace")
    selector = replace(green.intent.load_selector(), product=("x",))
    page = render(render_summary(green.result, selector, red=before, replay=replay, change=change))
    known = {"h1", "h2", "h3", "p", "ul", "li", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "a"}
    assert {*page.tags} <= known
    links = {str(attributes["href"]) for tag, attributes in page.elements if tag == "a"}
    assert links == {"pytest_demo_green.log"}, links
    assert page.tags.count("h1") == 1
    assert page.text.rstrip().endswith("Notes for people go into NOTES.md.")
    assert shorten(text).replace("\\|", "\\\\x7c") in page.text
