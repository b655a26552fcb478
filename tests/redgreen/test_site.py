"""The static site: whatever a reviewer asks is two clicks away, and nothing in it is anything but text."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock
from urllib.parse import unquote

import pytest
from page_reader import HOSTILE, Page, read_page
from redgreen_sandbox import TOP, Sandbox, fix_product, guard, make_sandbox, seal_many, target
from replay_fixture import PATCH, make_replay, record_pair, reseal

from redgreen.evidence.markdown import reveal
from redgreen.evidence.sealed import SealedRun, load_runs
from redgreen.project import Project
from redgreen.site.write import LARGEST_PAGE, write_site

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair, an invalid attempt, and a guard."""
    planned = guard("later", "tests/test_later.py", extra="state: planned")
    root = tmp_path_factory.mktemp("site") / "repo"
    sandbox, red, green = record_pair(root, target(extra="protects: [held, later]"), guard(), planned)
    reseal(sandbox, green, red, replay=make_replay(green), change=PATCH)
    sandbox.record("red")
    sandbox.record("guard", "held")
    sandbox.run("site")
    return sandbox.root


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo", symlinks=True)
    return Sandbox(tmp_path / "repo")


def read_site(folder: Path) -> dict[str, Page]:
    """Every page of a site, by its path below the site."""
    pages = sorted(folder.rglob("*.html"))
    return {path.relative_to(folder).as_posix(): read_page(path.read_text(encoding="utf-8")) for path in pages}


def follow(folder: Path, name: str, page: Page) -> Iterator[Path]:
    """Every file that a page links to."""
    for _, attributes in page.elements:
        for key in ("href", "src"):
            address = attributes.get(key)
            if address and not address.startswith("#"):
                yield Path(os.path.normpath((folder / name).parent / unquote(address)))


def check_links(folder: Path) -> None:
    for name, page in read_site(folder).items():
        for path in follow(folder, name, page):
            assert path.is_file(), f"{name} links to {path}, which is not there"


def find_run(sandbox: Sandbox, verdict: str) -> SealedRun:
    [run] = [run for run in load_runs(sandbox.project) if run.verdict == verdict]
    return run


def test_verdict_reason_and_difference_are_one_click_from_the_ledger(recorded: Path) -> None:
    folder = recorded / ".redgreen" / "site"
    pages = read_site(folder)
    index = pages["index.html"]
    assert "VALID_GREEN" in index.text
    assert "PROVEN" in index.text
    linked = [path for path in follow(folder, "index.html", index) if path.suffix == ".html"]
    near = {path.relative_to(folder).as_posix() for path in linked}
    [green] = [name for name in near if name.startswith("runs/") and "PROVEN" in pages[name].text]
    text = pages[green].text
    assert "not run" not in text.partition("Product of the RED")[2].partition("Hunks that no test")[0]
    for told in (
        "the answer is not there yet",
        "+    return 42",
        "1 of 2 hunks of the product",
        "product.py:40",
        "nothing was looked at",
        "Product of the RED",
        "Environment, against that of the RED",
    ):
        assert told in text, told
    assert [name for name in near if "NOTHING_FAILED" in pages[name].text and name.startswith("runs/")]


def test_every_link_leads_to_a_file(recorded: Path) -> None:
    check_links(recorded / ".redgreen" / "site")


def test_pages_load_nothing_from_elsewhere(recorded: Path) -> None:
    folder = recorded / ".redgreen" / "site"
    for name, page in read_site(folder).items():
        [policy] = [one["content"] for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert policy.startswith("default-src 'none'; ")
        assert "http" not in policy
        assert {"on", "st"} & {key[:2] for _, attributes in page.elements for key in attributes} == set(), name
        assert page.tags.count("h1") == 1
        scripts = [one.get("src") for tag, one in page.elements if tag == "script"]
        assert None not in scripts, "no script stands in a page"
    for path in folder.rglob("*"):
        assert path.is_dir() or b"://" not in path.read_bytes(), path


def test_the_same_evidence_gives_the_same_bytes(sandbox: Sandbox) -> None:
    first = {path: path.read_bytes() for path in (sandbox.root / ".redgreen" / "site").rglob("*.html")}
    assert sandbox.run("site").code == 0
    assert {path: path.read_bytes() for path in (sandbox.root / ".redgreen" / "site").rglob("*.html")} == first
    assert len(first) > 10
    assert [path.name for path in (sandbox.root / ".redgreen").iterdir() if path.name.startswith(".site")] == []


def test_a_site_elsewhere_names_the_files_without_links(sandbox: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "published"
    done = sandbox.run("site", "--out", str(out), "--json")
    assert done.code == 0
    assert done.values()["runs"] == 4
    check_links(out)
    green = next(page for name, page in read_site(out).items() if "PROVEN" in page.text and name.startswith("runs/"))
    assert "MANIFEST.sha256" in green.text
    assert "result.json" not in "".join(str(one.get("href")) for _, one in green.elements)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_site_is_left_alone(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("mine", encoding="utf-8")
    elif kind == "file":
        out.write_text("mine", encoding="utf-8")
    else:
        out.symlink_to(sandbox.root)
    done = sandbox.run("site", "--out", str(out))
    assert done.code == 28
    assert "--out" in done.err
    assert done.err.count("\n") == 1
    assert (out / "thesis.txt").exists() or kind != "folder"
    assert {path.name for path in tmp_path.iterdir()} == {"repo", "out"}


def test_without_jinja2_it_is_said_how_to_get_it(sandbox: Sandbox) -> None:
    with mock.patch.dict(sys.modules, {"jinja2": None}):
        done = sandbox.run("site")
    assert done.code == 20
    assert done.err == "redgreen: the site needs jinja2: install it with `pip install './redgreen[site]'`\n"


def test_a_changed_folder_is_marked_everywhere(sandbox: Sandbox) -> None:
    green, broken = find_run(sandbox, "VALID_GREEN"), find_run(sandbox, "NOTHING_FAILED")
    (green.folder / "env.json").write_text("{}", encoding="utf-8")
    (broken.folder / "summary.md").write_text("<script>", encoding="utf-8")
    done = sandbox.run("site")
    assert done.code == 0
    assert "2 records do not verify" in done.out
    pages = read_site(sandbox.root / ".redgreen" / "site")
    assert "Not everything here holds" in pages["index.html"].text
    assert "env.json was changed" in pages["index.html"].text
    assert broken.folder.parent.name in pages["index.html"].text
    assert sum("does not verify" in page.text for page in pages.values()) > 3
    assert "script" not in pages["invalid.html"].tags


def test_a_guard_that_is_a_line_is_listed_and_its_line_verified(sandbox: Sandbox) -> None:
    folder = sandbox.root / ".redgreen" / "site"
    assert "1 of 1 attempts are valid" in read_site(folder)["selectors/held.html"].text
    log = sandbox.project.base / "DEMO-001" / "reports" / "guards.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace("passed", "failed"), encoding="utf-8")
    sandbox.run("site")
    assert "line 1 was changed" in read_site(folder)["index.html"].text


def test_invalid_attempts_are_fed_with_their_reasons(recorded: Path) -> None:
    page = read_site(recorded / ".redgreen" / "site")["invalid.html"]
    assert "NOTHING_FAILED" in page.text
    assert "1 tests, none failed" in page.text


def test_the_history_of_a_selector_shows_its_attempts_in_order(recorded: Path) -> None:
    text = read_site(recorded / ".redgreen" / "site")["selectors/demo.html"].text
    assert "2 of 3 attempts are valid" in text
    timeline = text[text.index("Timeline") :]
    assert timeline.index("VALID_RED") < timeline.index("VALID_GREEN") < timeline.index("NOTHING_FAILED")
    assert "the flake rate is unknown" in text


def test_the_flake_rate_counts_what_was_repeated(tmp_path: Path) -> None:
    flaky = (
        "import pathlib\n\n\ndef test_answer():\n    seen = pathlib.Path(__file__).with_name('seen')\n"
        "    first = not seen.exists()\n    seen.touch()\n    assert not first, 'the answer is not there yet'\n"
    )
    sandbox = make_sandbox(tmp_path / "repo", target(extra="repeat: {red: 2}"))
    sandbox.record("red")
    sandbox.write(".gitignore", ".redgreen/\n__pycache__/\nseen\n")
    sandbox.write("tests/test_demo.py", flaky)
    assert sandbox.record("red").verdict == "FLAKY"
    sandbox.run("site")
    text = read_site(sandbox.root / ".redgreen" / "site")["selectors/demo.html"].text
    assert "1 of 2 attempts that ran more than once disagreed with themselves (50 %)" in text


def test_hostile_text_shows_as_text(tmp_path: Path) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE]
    test = f"import pytest\n\nTEXTS = {texts!a}\n\n\n@pytest.mark.parametrize('text', TEXTS, ids=TEXTS)\n"
    test += "def test_it(text):\n    assert not text, 'the answer: ' + text\n"
    sandbox = make_sandbox(tmp_path / "repo")
    sandbox.write("tests/test_demo.py", test)
    run = sandbox.record("red")
    assert run.verdict == "VALID_RED", run.result.reasons
    sandbox.run("site")
    folder = sandbox.root / ".redgreen" / "site"
    check_links(folder)
    pages = read_site(folder)
    [page] = [page for name, page in pages.items() if name.startswith("runs/")]
    assert {"script", "img", "<!-- -->", "iframe", "form"}.isdisjoint(page.tags)
    assert page.tags.count("h1") == 1
    assert [key for _, one in page.elements for key in one if key.startswith("on")] == []
    for tested in run.result.tests:
        assert tested.error is not None
        assert reveal(tested.error.message) in page.text
    assert "\u202e" not in page.text
    assert "\\u202e" in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_a_large_change_is_cut_and_linked(sandbox: Sandbox) -> None:
    red, green = find_run(sandbox, "VALID_RED"), find_run(sandbox, "VALID_GREEN")
    lines = b"".join(b'+"<&>" %d %s\n' % (number, b'"' * 300) for number in range(20_000))
    block = b"diff --git a/f%d b/f%d\n--- a/f%d\n+++ b/f%d\n@@ -1 +1 @@\n+x\n"
    many = b"".join(block % ((number,) * 4) for number in range(2000))
    reseal(sandbox, green, red, change=PATCH.partition(b"diff --git a/tests")[0] + lines + many)
    sandbox.run("site")
    folder = sandbox.root / ".redgreen" / "site"
    assert max(path.stat().st_size for path in folder.rglob("*.html")) <= LARGEST_PAGE
    [page] = [page for name, page in read_site(folder).items() if "PROVEN" in page.text and name.startswith("runs/")]
    assert "more lines in change.patch" in page.text
    check_links(folder)


def test_a_long_ledger_is_paged_and_every_run_reachable_by_links(sandbox: Sandbox) -> None:
    seal_many(str(sandbox.root), 400, NOW)
    sandbox.run("site")
    folder = sandbox.root / ".redgreen" / "site"
    pages = read_site(folder)
    assert max(path.stat().st_size for path in folder.rglob("*.html")) <= LARGEST_PAGE
    for start in ("index.html", "initiatives/DEMO-001.html", "selectors/demo.html"):
        seen, waiting = {start}, [start]
        while waiting:
            name = waiting.pop()
            for path in follow(folder, name, pages[name]):
                found = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
                stem = start.removesuffix(".html")
                if found in pages and found not in seen:
                    seen.add(found)
                    waiting += [found] if found.startswith(f"{stem}.page") else []
        runs = [name for name in seen if name.startswith("runs/")]
        assert len(runs) == (404 if start != "selectors/demo.html" else 403)


def test_the_evidence_of_this_repository_makes_a_site(tmp_path: Path) -> None:
    collection, number = write_site(Project(TOP), tmp_path / "site")
    assert number > len(collection.entries)
    assert collection.unreadable == ()
    assert [entry.path for entry in collection.entries if entry.problems] == []
    assert max(path.stat().st_size for path in (tmp_path / "site").rglob("*.html")) <= LARGEST_PAGE
    check_links(tmp_path / "site")


def test_a_project_without_a_run_has_an_empty_site(tmp_path: Path) -> None:
    sandbox = make_sandbox(tmp_path / "repo")
    fix_product(sandbox)
    assert sandbox.run("site").code == 0
    pages = read_site(sandbox.root / ".redgreen" / "site")
    assert "No run." in pages["index.html"].text
