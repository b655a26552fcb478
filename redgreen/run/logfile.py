"""Turn a terminal's byte stream into a plain log: no colours, progress bars in their last state, a cap on the size."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

HEAD_BYTES: Final = 512 * 1024
TAIL_BYTES: Final = 256 * 1024
LONGEST_LINE: Final = 64 * 1024
ESCAPES: Final = re.compile(
    r"\x1b\[[0-9;:?<=>]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]*[0-~]"
)
UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*|\][^\x07\x1b]*|[ -/]*)?\Z")
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class PlainLog:
    """Writes the plain form of a byte stream, each line scrubbed; the middle is left out beyond `head` + `tail`.

    Raises:
        OSError: The file cannot be written (from any method).
    """

    def __init__(self, path: Path, scrub: Callable[[str], str], head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> None:
        self._file: BinaryIO = path.open("wb")
        self._scrub = scrub
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._head_left = head
        self._cap = head + tail
        self._tail: deque[bytes] = deque()
        self._tail_left = tail
        self._left_out_bytes = 0
        self._left_out_lines = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; characters, escapes and lines may be split anywhere."""
        self._pending += self._decoder.decode(chunk)
        while (end := self._pending.find("\n")) >= 0:
            self._emit(self._pending[:end])
            self._pending = self._pending[end + 1 :]
        if "\r" in self._pending[:-1]:
            self._pending = self._overwrite(self._pending)
        if len(self._pending) > LONGEST_LINE and not UNFINISHED.search(self._pending):
            cut = self._pending.rfind(" ", LONGEST_LINE // 2) + 1 or LONGEST_LINE - 4096
            self._emit(self._pending[:cut])
            self._pending = self._pending[cut:]

    def close(self) -> None:
        """Write what is pending, the notice about what was left out, and the tail."""
        self._pending += self._decoder.decode(b"", final=True)
        if self._pending:
            self._emit(self._pending)
        if self._left_out_lines:
            self._file.write(
                f"[redgreen: {self._left_out_bytes} bytes in {self._left_out_lines} lines left out here; "
                f"the log is capped at {self._cap} bytes]\n".encode()
            )
        for line in self._tail:
            self._file.write(line)
        self._file.flush()
        self._file.close()

    @staticmethod
    def _overwrite(line: str) -> str:
        """Return what a terminal shows of a line with carriage returns: the last part that is not empty."""
        trailing = "\r" if line.endswith("\r") else ""
        parts = [part for part in line.split("\r") if ESCAPES.sub("", part).strip()]
        return (parts[-1] if parts else "") + trailing

    def _emit(self, line: str) -> None:
        plain = CONTROL.sub("", ESCAPES.sub("", self._overwrite(line).rstrip("\r")))
        data = (self._scrub(plain) + "\n").encode()
        if not self._tail and len(data) <= self._head_left:
            self._file.write(data)
            self._head_left -= len(data)
            return
        self._head_left = 0
        self._tail.append(data)
        self._tail_left -= len(data)
        while self._tail_left < 0 and len(self._tail) > 1:
            dropped = self._tail.popleft()
            self._tail_left += len(dropped)
            self._left_out_bytes += len(dropped)
            self._left_out_lines += 1
