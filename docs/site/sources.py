"""Which files of the repository become pages of the documentation site, and where links between them lead there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = PurePosixPath("docs/site")
# pages that lie outside of docs/, by their path on the site
OUTSIDE: Final = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "redgreen/README.md": "redgreen.md",
}
# the text for package indexes, and tables of evidence, which `redgreen site` shows
LEFT_OUT: Final = ("docs/package.md", "docs/fix_plan.md", "docs/development/")
# what a link to the front page of the repository leads to
FRONT: Final = ("README.md", "index.md")

_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(`{3,}|~{3,})", re.MULTILINE)


class BrokenLinkError(Exception):
    """A link leads to a file that does not exist."""


def find_pages() -> dict[str, str]:
    """Find the files that become pages: path in the repository to path on the site."""
    pages = dict(OUTSIDE)
    for folder, target in (("docs", ""), ("specs", "specs")):
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in (".md", ".ipynb") and not name.startswith((*LEFT_OUT, f"{TOOLS}/")):
                pages[name] = posixpath.join(target, path.relative_to(ROOT / folder).as_posix())
    return pages


def find_pictures() -> dict[str, str]:
    """Find the pictures of pages: path in the repository to path on the site."""
    found = sorted((ROOT / "docs" / "pictures").rglob("*.png"))
    return {path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix() for path in found}


def move_links(text: str, source: str, places: dict[str, str]) -> str:
    """Let the links of a page lead to pages of the site.

    A link to a file that is no page becomes its text.

    Args:
        text: the page, Markdown.
        source: its path in the repository.
        places: path in the repository to path on the site, of pages and pictures.

    Raises:
        BrokenLinkError: a link leads to nothing.
    """
    return "".join(
        part if is_code else _LINK.sub(lambda found: _move_link(found, source, places), part)
        for part, is_code in _split_code(text)
    )


def _move_link(found: re.Match[str], source: str, places: dict[str, str]) -> str:
    picture, words, target, anchor = found[1], found[2], found[3], found[4] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path not in places:
        if not (ROOT / path).exists() and "/reports/" not in path:
            raise BrokenLinkError(f"{source}: a link leads to {target}, which does not exist")
        return words
    moved = posixpath.relpath(places[path], posixpath.dirname(places[source]) or ".")
    return f"{picture}[{words}]({moved}{anchor})"


def _split_code(text: str) -> Iterator[tuple[str, bool]]:
    """Split a page into texts and fenced blocks of code, in their order."""
    start, fence, opened = 0, "", False
    for found in _FENCE.finditer(text):
        if not opened:
            yield text[start : found.start()], False
            start, fence, opened = found.start(), found[1], True
        elif found[1].startswith(fence):
            yield text[start : found.end()], True
            start, opened = found.end(), False
    yield text[start:], opened


def list_contents(text: str) -> list[str]:
    """List the pages that the tables of contents of a page name, as they are written there."""
    named: list[str] = []
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = (line.strip() for line in block.splitlines())
        named += [re.sub(r".*<(.*)>", r"\1", line) for line in lines if line and not line.startswith(":")]
    return named
