"""Texts as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CODE = re.compile(r"(`[^`]*`)")
_SIGN = re.compile(r"([*<>\[\]|\\]|(?<!\w)_|_(?!\w))")


def escape(text: str) -> str:
    """Write a plain text so that Markdown shows it as it is; code between backticks stays code."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else _SIGN.sub(r"\\\1", part) for part in parts)


def make_contents(pages: Iterable[str], *, caption: str = "") -> str:
    """Make a table of contents that only the navigation shows."""
    head = f":caption: {caption}\n" if caption else ""
    return f"```{{toctree}}\n:hidden:\n{head}\n" + "\n".join(pages) + "\n```\n"
