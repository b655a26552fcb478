"""Redaction: texts without paths, and without the names of users, computers, folders and files that a run has met."""

from __future__ import annotations

import contextlib
import getpass
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

PATH, NAME = "<path>", "<name>"
_SHORTEST = 3
# parts of paths by which nobody can be told
_COMMON = {
    "auto", "checkpoint", "checkpoints", "cpu", "cuda", "data", "diffraction", "false", "home", "mnt", "model", "name",
    "none", "object", "opt", "output", "outputs", "path", "pattern", "patterns", "positions", "probe", "product",
    "result", "results", "run", "runs", "scan", "scans", "srv", "temp", "tmp", "true", "user", "users", "usr", "var",
    "work",
}  # fmt: skip
_WORD = re.compile(r"""(?:[^\s'"<>,;()\[\]{}]|<name>)+""")
_COMPUTER = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?")
_FILE_NAME = re.compile(r".+\.[A-Za-z]\w{0,5}")


class Redactor:
    """Replaces what identifies people and places.

    Args:
        values: plain values of a run's record, in which paths are found, whose parts are names too.
        known: words that are kept although a folder or file is called so, such as names of settings.
    """

    def __init__(self, values: object, known: Iterable[str] = ()) -> None:
        kept = _COMMON | {word.lower() for word in known}
        met = {part for path in _find_paths(values) for part in _split(path) if len(part) >= _SHORTEST}
        own = {name.lower() for name in _list_own_names() if len(name) > 1}
        names = sorted((met - kept) | (own - {"path", "name"}), key=len, reverse=True)
        alternatives = "|".join(map(re.escape, names)) or r"(?!)"
        self._names = re.compile(rf"(?<![A-Za-z0-9])(?:{alternatives})(?![A-Za-z0-9])", re.IGNORECASE)

    def clean_text(self, text: str) -> str:
        """The text with `<path>` and `<name>` in place of what identifies."""
        return _WORD.sub(_clean_word, self._names.sub(NAME, text))

    def clean(self, values: Any) -> Any:  # noqa: ANN401 - plain values
        """Plain values with all their texts, keys included, cleaned."""
        if isinstance(values, str):
            return self.clean_text(values)
        if isinstance(values, Mapping):
            return {self.clean_text(str(key)): self.clean(value) for key, value in values.items()}
        if isinstance(values, list | tuple):
            return [self.clean(value) for value in values]
        return values


def _clean_word(found: re.Match[str]) -> str:
    """A word, or `<path>` if it is a path, an address of mail or of a computer; punctuation after it stays."""
    word = found.group().rstrip(".:")
    is_path = ("/" in word or "\\" in word or "@" in word) and any(letter.isalnum() for letter in word)
    return PATH + found.group()[len(word) :] if is_path or _COMPUTER.fullmatch(word) else found.group()


def _list_own_names() -> Iterable[str]:
    """Names of the user and of the computer."""
    # a process of a container may have no user
    with contextlib.suppress(OSError, KeyError, ImportError, RuntimeError):
        yield getpass.getuser()
        yield Path.home().name
    node = platform.node()
    yield from (node, node.partition(".")[0], node.partition(".")[2])


def _find_paths(values: object) -> Iterable[str]:
    """Texts that are paths or names of files, also before the name of an array, as in FILE:NAME."""
    if isinstance(values, str):
        for text in (values, values.rpartition(":")[0]):
            if "/" in text or "\\" in text or _FILE_NAME.fullmatch(text):
                yield text
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _find_paths(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _find_paths(value)


def _split(path: str) -> Iterable[str]:
    """A path of either kind, its folders, its file name and the stem of that, in small letters."""
    parts = PureWindowsPath(path.lower()).parts
    yield path.lower()
    for part in parts:
        yield part.strip("/\\")
    if parts:
        yield parts[-1].partition(".")[0]
