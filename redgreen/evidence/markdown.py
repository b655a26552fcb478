"""Text from outside, in Markdown: it shows as text, whatever it holds.

Names and messages of tests are written by anybody. As Markdown they could hide what follows, lead elsewhere, or name a
person to a code host; so they stand in code spans and fences, which interpret nothing, or are escaped.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

# control characters, and those that are invisible or turn the direction of what follows
HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
COLOURS: Final = re.compile("\x1b\\[[0-9;]*m")  # they say nothing that the text does not
BACKTICKS: Final = re.compile("`+")
# an underscore inside of a word is plain text, in names of selectors and tests the usual case
MARKS: Final = re.compile(r"[\\`*~\[\]$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;"}
LINKS: Final = re.compile(r"://|\bwww\.", re.IGNORECASE)
LONGEST: Final = 300


def reveal(text: str) -> str:
    """Write what cannot be seen as Python would, as an escape; line ends and tabs stay, colours go."""
    if text.isascii() and text.isprintable():
        return text
    return HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), COLOURS.sub("", text))


def shorten(text: str, most: int = LONGEST) -> str:
    """Bring a text to one line of at most so many characters; a line end becomes ↵."""
    line = " ↵ ".join(part.strip() for part in reveal(text.replace("\r\n", "\n")).strip().split("\n"))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def code(text: str, most: int = LONGEST) -> str:
    """Put a text into a code span of one line, with as many backticks around it as it takes."""
    line = shorten(text, most)
    if not line:
        return "(empty)"
    mark = "`" * (_find_longest_run(line) + 1)
    pad = " " if "`" in (line[0], line[-1]) else ""
    return f"{mark}{pad}{line}{pad}{mark}"


def escape(text: str, most: int = LONGEST) -> str:
    """Escape a text for the inside of a line or a cell, so that it shows as it is, in the font around it."""
    line = MARKS.sub(lambda match: f"\\{match[0]}", shorten(text, most))
    line = "".join(ENTITIES.get(letter, letter) for letter in line)
    return LINKS.sub(lambda match: match[0].replace(":", "&#58;").replace(".", "&#46;"), line)


def link(name: str) -> str:
    """Link to a file beside the document."""
    return f"[{escape(name)}]({quote(name)})"


def fence(text: str, language: str = "") -> list[str]:
    """Put lines into a fence that nothing in them can close."""
    mark = "`" * max(3, _find_longest_run(text) + 1)
    return [f"{mark}{language}", *reveal(text).rstrip("\n").split("\n"), mark]


def row(*cells: str) -> str:
    """Join cells, each already Markdown, to a row of a table.

    Parsers disagree about a pipe behind a backslash, so such a pipe is written as Python would.
    """
    shown = (re.sub(r"(?<=\\)\|", r"\\x7c", cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def table(heads: tuple[str, ...], rows: list[str]) -> list[str]:
    """Put a head above rows."""
    return [row(*heads), "|---" * len(heads) + "|", *rows]


def _find_longest_run(text: str) -> int:
    return max((len(run) for run in BACKTICKS.findall(text)), default=0)
