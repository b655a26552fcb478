"""Messages as single lines that are safe to show: of bounded length, and without characters that steer a terminal."""

from __future__ import annotations

import os
import unicodedata

LONGEST_LINE = 1000
# control and format characters, halves of pairs that stand for undecodable bytes, separators of lines
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def make_line(text: str) -> str:
    """Escape what could steer a terminal, and leave out the middle of a text that is too long."""
    if len(text) > LONGEST_LINE:
        half = LONGEST_LINE // 2
        text = f"{text[:half]} … {text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(letter) for letter in text)


def _escape(letter: str) -> str:
    if unicodedata.category(letter) in _UNSAFE:
        return ascii(letter)[1:-1]
    return letter


def explain_failure(error: BaseException) -> str | None:
    """What a user can do about an error of the system; None if it is an error of the program."""
    text = str(error)
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__ or "DefaultCPUAllocator" in text:
        return "memory is exhausted; use smaller batches, fewer patterns or a smaller network, or free some memory"
    if isinstance(error, RecursionError):
        return "something in the input is nested too deeply, such as folders in folders"
    if isinstance(error, OSError):
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{place}cannot be read or written ({error.strerror or text or type(error).__name__})"
    return None
