"""The site in a real browser, where one is installed: the filter, the width of a phone, the policy, no script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from page_reader import Page, read_page
from redgreen_sandbox import guard, target
from replay_fixture import record_pair

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="no chromium is installed"),
    pytest.mark.timeout(300),
]
# a page that opens others in frames of some width, and writes down whether they fit and have their style
MEASURE = """\
<!doctype html><pre id="told"></pre>
<script>
function measure(frame) {{
  const page = frame.contentDocument.documentElement;
  const style = frame.contentWindow.getComputedStyle(frame.contentDocument.querySelector(".chip"));
  const told = page.scrollWidth <= page.clientWidth ? "fits" : page.scrollWidth + " px";
  document.getElementById("told").textContent += `${{frame.id}}: ${{told}}, ${{style.borderTopStyle}}\\n`;
}}
</script>
{frames}
"""
FRAME = '<iframe onload="measure(this)" id="{name} {width}{kind}" src="{page}" width={width} height=900{kind}></iframe>'
UNSCRIPTED = " sandbox=allow-same-origin"  # scripts of the page are not allowed


@pytest.fixture(scope="module")
def whole(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The ledger as a browser shows it."""
    return browse(f"file://{site}/index.html", tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    test = "from product import answer\n\n\ndef test_answer():\n    assert answer() == 42, 'answer ' + 'x' * 300\n"
    root = tmp_path_factory.mktemp("browser") / "repo"
    sandbox, _, _ = record_pair(root, target(extra="protects: [held]"), guard(), test=test)
    sandbox.record("red")
    sandbox.run("site")
    return sandbox.root / ".redgreen" / "site"


def browse(address: str, folder: Path, *options: str) -> Page:
    """What a page has become once it was opened."""
    profile = f"--user-data-dir={folder / 'profile'}"
    plain = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--allow-file-access-from-files")
    words = [BROWSER, *plain, profile, *options, "--virtual-time-budget=10000", "--dump-dom", address]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True)
    return read_page(done.stdout)


def rows(page: Page) -> str:
    """The text of the ledger's table."""
    return page.text[page.text.index("Time (UTC)") : page.text.index("Made by")]


def test_the_filter_narrows_the_ledger_by_its_address(site: Path, whole: Page, tmp_path: Path) -> None:
    assert rows(whole).count("demo") >= 3
    some = browse(f"file://{site}/index.html#verdicts=NOTHING_FAILED", tmp_path)
    assert "NOTHING_FAILED" in rows(some)
    assert "VALID" not in rows(some)
    assert "1 of 3 runs" in some.text


def test_what_the_filter_shows_looks_like_what_it_replaces(site: Path, whole: Page, tmp_path: Path) -> None:
    some = browse(f"file://{site}/index.html#initiatives=DEMO-001", tmp_path)
    assert "".join(rows(some).split()) == "".join(rows(whole).split())
    links = [attributes.get("href") for tag, attributes in whole.elements if tag == "a"]
    assert [attributes.get("href") for tag, attributes in some.elements if tag == "a"] == links


def test_no_page_is_wider_than_the_window_with_scripts_or_without(site: Path, tmp_path: Path) -> None:
    runs = [f"runs/{path.name}" for path in sorted((site / "runs").iterdir())]
    names = ["index.html", "invalid.html", "replays.html", "selectors/demo.html", *runs]
    frames = [
        FRAME.format(name=name, width=width, kind=kind, page=f"file://{site}/{name}")
        for name in names
        for width in (390, 1280)
        for kind in ("", UNSCRIPTED)
    ]
    page = tmp_path / "measure.html"
    page.write_text(MEASURE.format(frames="".join(frames)), encoding="utf-8")
    told = browse(f"file://{page}", tmp_path).text.split("\n")
    told = [line for line in told if ".html" in line]
    assert len(told) == len(frames) == 28, told
    assert [line for line in told if not line.endswith(": fits, solid")] == []


def test_without_scripts_the_links_stand_in_for_the_filter(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert '<form id="filter" hidden>' in text
    assert '<details class="browse"><summary>' in text
    assert '<a href="verdicts/VALID_GREEN.html">VALID_GREEN</a>' in text
