"""What the collector writes about an exception: its type, message, the place that raised it, and what hides behind it.

Like the collector it imports nothing of redgreen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pytest

MESSAGE_CAP: Final = 4000  # characters of an exception's message
CHAIN_CAP: Final = 20  # exceptions followed through __cause__ and __context__
OUTSIDE: Final = ("site-packages", "dist-packages")


def describe(error: BaseException, traceback: TracebackType | None, root: Path) -> dict[str, Any]:
    """Describe an exception: type, message, place and hidden causes."""
    kind = "exception"
    if isinstance(error, pytest.skip.Exception) or type(error).__name__ == "SkipTest":
        kind = "skip"
    elif isinstance(error, pytest.xfail.Exception):
        kind = "xfail"
    elif isinstance(error, pytest.exit.Exception | KeyboardInterrupt):
        kind = "exit"
    described: dict[str, Any] = {
        "kind": kind,
        "type": type(error).__name__,
        "module": type(error).__module__,
        "bases": [base.__name__ for base in type(error).__mro__[1:-1]],
        "message": str(error)[:MESSAGE_CAP],
        "hidden": [
            type(cause).__name__
            for cause in list_causes(error)
            if isinstance(cause, ImportError | NameError | AttributeError)
        ],
    }
    described.update(find_place(traceback, root))
    described["origin"] = find_origin(traceback, root)
    return described


def list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield every exception behind this one, through causes, contexts and groups."""
    waiting = [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
    met = {id(error)}
    while waiting and len(met) < CHAIN_CAP:
        cause = waiting.pop()
        if cause is None or id(cause) in met:
            continue
        met.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]


def find_place(traceback: TracebackType | None, root: Path) -> dict[str, Any]:
    """Find the file and line of the last frame that is not part of pytest or unittest."""
    found: tuple[str, int] | None = None
    while traceback is not None:
        frame = traceback.tb_frame
        hidden = frame.f_locals.get("__tracebackhide__") or "__unittest" in frame.f_globals
        if not hidden and not frame.f_globals.get("__name__", "").startswith(("_pytest.", "pluggy.")):
            found = frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    if found is None:
        return {"file": "", "line": 0, "inside": False}
    path = Path(found[0])
    if is_inside(path, root):
        return {"file": path.resolve().relative_to(root.resolve()).as_posix(), "line": found[1], "inside": True}
    return {"file": "/".join(path.parts[-2:]), "line": found[1], "inside": False}


def find_origin(traceback: TracebackType | None, root: Path) -> str:
    """Find the file of the last frame inside of the repository, hidden or not: whose statement it was that failed."""
    origin = ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if not name.startswith("<") and is_inside(Path(name), root):
            origin = Path(name).resolve().relative_to(root.resolve()).as_posix()
        traceback = traceback.tb_next
    return origin


def is_inside(path: Path, root: Path) -> bool:
    """Return whether a file belongs to the repository, and not to an environment inside of it."""
    path = path.resolve()
    if not path.is_relative_to(root.resolve()) or any(part in OUTSIDE for part in path.parts):
        return False
    prefix = Path(sys.prefix).resolve()
    return not (prefix != root.resolve() and path.is_relative_to(prefix))
