"""Take secrets and traces of the machine out of text before it is hashed.

Secrets are the values of environment variables whose names sound like one, in the forms in which they turn up (plain,
inside a Python, JSON or XML string, URL-quoted, base64), the beginning and the end of long ones (pytest shortens what
it shows), and strings of well-known shapes. Traces of the machine are the paths of the checkout, the home folder, the
temporary folder and the interpreter, and the host name.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

SECRET_NAME: Final = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|_KEY\Z|_PAT\Z|AUTH|COOKIE|DSN\Z"
)
SHORTEST_SECRET: Final = 8  # shorter values would hit ordinary words
PIECE: Final = 12  # characters of a long secret that give it away
REST: Final = r"[^\s'\"\\<>&]*"  # what belongs to the same word, and never to the JSON or XML around it
SECRET_SHAPES: Final = "|".join(
    (
        r"gh[pousr]_[A-Za-z0-9]{30,}",
        r"github_pat_[A-Za-z0-9_]{30,}",
        r"glpat-[A-Za-z0-9_-]{18,}",
        r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
        r"xox[abposr]-[A-Za-z0-9-]{10,}",
        r"\b[sr]k[-_](?:live|test|proj|ant)[-_][A-Za-z0-9_-]{16,}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}",
        r"(?<=://)[^\s/:@'\"<>]+:[^\s/@'\"<>]+(?=@)",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----)?",
    )
)
KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
KEY_END: Final = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
HOMES: Final = (
    r"/(?:home|Users)/[A-Za-z0-9._-]+(?=[/\s'\":;,)\]]|\Z)|/root(?=[/\s'\":;,)\]]|\Z)|[A-Z]:\\Users\\[^\\\s]+"
)
TEMPS: Final = r"(?:/private)?/var/folders/[^\s'\":;,]+/T(?=/)|(?:/private)?/(?:var/)?tmp(?=/)"
# A path does not start in the middle of a word or after a word that stands for one (`<repo>`); the letter of an escaped
# line end (JSON, repr) is not part of a word, nor is the `m` that ends a colour; an XML tag is not such a word.
BEFORE: Final = (
    r"(?:(?<![A-Za-z0-9_.<>-])|(?<=\\[ntr])|(?<=[\"'/]>)|(?<=-out>)|(?<=-err>)"
    r"|(?<=\[m)|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m)|(?<=[\[;][0-9]{3}m))"
)
GENERIC_PATHS: Final = re.compile(BEFORE + f"(?:{HOMES}|{TEMPS})")
WORDS: Final = "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- AKIA ASIA xox sk- sk_ rk- rk_ hf_ eyJ :// -----BEGIN"
SHAPE_HINTS: Final = tuple(WORDS.split(" "))  # every string of a known shape contains one of them
PATH_HINTS: Final = (b"/home/", b"/Users/", b"/root", b"/tmp/", b"/folders/", b":\\Users\\")  # bytes in any of them


def find_traces(root: Path) -> dict[str, str]:
    """Find the paths and names of this machine, longest first, each with the word that replaces it."""
    needles: dict[str, str] = {}
    places = (
        (str(root), "<repo>"),
        (os.environ.get("TMPDIR", ""), "<tmp>"),
        (tempfile.gettempdir(), "<tmp>"),
        (sys.prefix, "<python>"),
        (sys.base_prefix, "<python>"),
        (os.path.expanduser("~"), "<home>"),
    )
    for path, word in places:
        for form in {path, os.path.realpath(path)} if path else ():
            if form.count(os.sep) > 1 or word == "<home>":
                needles.setdefault(form.rstrip(os.sep), word)
    host = socket.gethostname()
    if len(host) >= 6 and re.search(r"[0-9.-]", host):  # a plain word would also be a word of the tests
        needles[host] = "<host>"
    common = {"", os.sep, f"{os.sep}usr", f"{os.sep}usr{os.sep}local", f"{os.sep}tmp"}
    kept = {needle: word for needle, word in needles.items() if needle not in common}
    return dict(sorted(kept.items(), key=lambda item: -len(item[0])))


def _list_forms(value: str) -> Iterable[str]:
    lines = [line for line in value.splitlines() if len(line.strip()) >= SHORTEST_SECRET]
    for text in {value, *lines}:
        yield from (text, repr(text)[1:-1], json.dumps(text)[1:-1], escape(text, {'"': "&quot;"}), quote(text, safe=""))
        yield base64.b64encode(text.encode()).decode()


class Scrubber:
    """Replaces secrets and traces of the machine in text and counts the secrets it met.

    The checkout becomes `<repo>`; the values of variables in `environ` that look like secrets are redacted; a path in a
    variable that is `passed` to the child becomes `<NAME>`.
    """

    def __init__(self, root: Path, environ: Mapping[str, str], passed: Iterable[str] = ()) -> None:
        self.redactions = 0
        self._inside_key = False
        self._names: dict[str, str] = {}
        pieces: list[str] = []
        for name, value in sorted(environ.items()):
            if SECRET_NAME.search(name.upper()) and len(value.strip()) >= SHORTEST_SECRET and not os.path.exists(value):
                for form in _list_forms(value.strip()):
                    self._names.setdefault(form, name)
                    if len(form) >= 2 * PIECE:
                        pieces.append(f"{re.escape(form[:PIECE])}{REST}|{REST}{re.escape(form[-PIECE:])}")
        whole = [re.escape(form) for form in sorted(self._names, key=len, reverse=True)]
        self._secrets = re.compile("|".join([*whole, *pieces, SECRET_SHAPES]))
        given = {
            environ[name].rstrip(os.sep): f"<{name}>" for name in passed if environ.get(name, "").count(os.sep) > 1
        }
        given = {path: word for path, word in given.items() if os.path.isabs(path) and os.pathsep not in path}
        traces = given | find_traces(root)
        self._traces = dict(sorted(traces.items(), key=lambda item: -len(item[0])))
        own = "|".join(re.escape(trace) for trace in self._traces) or r"(?!)"
        self._machine = re.compile(
            f"{BEFORE}(?P<own>{own})(?![A-Za-z0-9_-])|{BEFORE}(?P<home>{HOMES})|{BEFORE}(?P<tmp>{TEMPS})"
        )
        # Searching for plain texts is far faster than the expressions, and most lines hold none of them.
        starts = [form[:PIECE] for form in self._names] + [
            form[-PIECE:] for form in self._names if len(form) >= 2 * PIECE
        ]
        paths = [hint.decode() for hint in PATH_HINTS]
        self._hints = tuple(dict.fromkeys([*SHAPE_HINTS, *starts, *paths, *self._traces]))

    def scrub_text(self, text: str) -> str:
        """Return the text without secrets and machine paths."""
        return self._clean(text, str)

    def scrub_xml(self, text: str) -> str:
        """Scrub a whole XML file; the replacements are escaped."""
        return self._clean(text, escape)

    def _clean(self, text: str, write: Callable[[str], str]) -> str:
        if not self._is_suspicious(text):
            return text
        if "\n" in text and not KEY_BEGIN.search(text):
            return "\n".join(self._clean(line, write) for line in text.split("\n"))
        without = self._secrets.sub(lambda match: write(self._redact(match)), text)
        return self._machine.sub(lambda match: write(self._name_trace(match)), without)

    def _is_suspicious(self, text: str) -> bool:
        return any(hint in text for hint in self._hints)

    def scrub_line(self, line: str) -> str:
        """Scrub one line of a stream; a private key that spans lines is redacted to its end."""
        if self._inside_key:
            self._inside_key = KEY_END.search(line) is None
            return "<secret>"
        if KEY_BEGIN.search(line) and not KEY_END.search(line):
            self._inside_key = True
        return self.scrub_text(line)

    def find(self, text: str) -> list[tuple[int, str]]:
        """Find the lines (from 1) with a secret or a machine path, in text that must not be altered.

        The bare temporary folder is no trace here: sources may name it.
        """
        found: list[tuple[int, str]] = []
        if not self._is_suspicious(text):
            return found
        for number, line in enumerate(text.splitlines(), 1):
            if not self._is_suspicious(line):
                continue
            if self._secrets.search(line):
                found.append((number, "a secret"))
            elif any(
                match.lastgroup != "tmp" and self._traces.get(match.group()) != "<tmp>"
                for match in self._machine.finditer(line)
            ):
                found.append((number, "a path or name of this machine"))
        return found

    def _redact(self, match: re.Match[str]) -> str:
        self.redactions += 1
        name = self._names.get(match.group())
        return f"<secret:{name}>" if name else "<secret>"

    def _name_trace(self, match: re.Match[str]) -> str:
        return self._traces[match.group()] if match.lastgroup == "own" else f"<{match.lastgroup}>"
