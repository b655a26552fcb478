"""Pytest plugin that writes what happened, one JSON line at a time, to the file that REDGREEN_EVENTS names.

It imports nothing of redgreen's package: the child process needs only this file's folder on its path. Beside the
outcome that pytest reports it writes what it saw itself (the exception of the call, whether the body of the test ran,
what the body raised), so that an outcome that was rewritten can be distinguished from a genuine one.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest
from redgreen_exceptions import MESSAGE_CAP, describe, is_inside

EVENTS: Final = os.environ.pop("REDGREEN_EVENTS", "")
PRODUCTS: Final = tuple(filter(None, os.environ.pop("REDGREEN_PRODUCTS", "").split(",")))
QUERIES: Final = os.environ.pop("REDGREEN_QUERIES", "")
READS_CAP: Final = 200  # files that are listed
MODULES: Final = (".py", ".pyc", ".pyi", ".so", ".pyd")

_stream = open(EVENTS, "a", encoding="utf-8") if EVENTS else None  # noqa: SIM115 - lives as long as the process
if _stream is not None:
    atexit.register(_stream.close)
_items: dict[str, Any] = {}
_raw: dict[tuple[str, str], dict[str, Any]] = {}
_body: dict[str, dict[str, Any]] = {}
_deselected: set[str] = set()
_subtests_failed: dict[str, dict[str, Any] | None] = {}
_root = Path.cwd()
_reads: set[str] = set()
_is_testing = False


def note_read(event: str, arguments: tuple[Any, ...]) -> None:
    """Remember a file that is opened for reading while tests run."""
    if event != "open" or not _is_testing:
        return
    path, _, flags = arguments
    if isinstance(path, str) and not (isinstance(flags, int) and flags & os.O_ACCMODE == os.O_WRONLY):
        _reads.add(os.path.abspath(path))


if EVENTS:
    sys.addaudithook(note_read)


def list_reads() -> list[str]:
    """List the files of the repository that were read while tests ran, without its modules."""
    found = set()
    root = str(_root.resolve()) + os.sep
    for path in _reads:
        is_ours = path.startswith(root) and not path.endswith(MODULES)
        if is_ours and is_inside(Path(path), _root) and os.path.isfile(path):
            found.add(path[len(root) :].replace(os.sep, "/"))
    return sorted(found)[:READS_CAP]


def emit(**event: object) -> None:
    """Write one event and flush it at once, so that a crash cannot lose it."""
    if _stream is not None:
        _stream.write(json.dumps(event, separators=(",", ":"), default=str) + "\n")
        _stream.flush()


def unwrap(function: object) -> object:
    """Return the plain function of a bound method."""
    return getattr(function, "__func__", function)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, object, object]:
    """Tell a conftest that cannot be imported from a wrong option: pytest ends both with code 4."""
    try:
        return (yield)
    except BaseException as error:
        emit(e="conftest_error", type=type(error).__name__, message=str(error)[:MESSAGE_CAP])
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Mark that the session began."""
    global _root
    _root = session.config.rootpath
    emit(e="start", pytest=pytest.__version__)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Remember the function that the test module defined under this id."""
    _items[item.nodeid] = unwrap(getattr(item, "obj", None))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write what could not be collected, and what was skipped as a whole."""
    if report.failed:
        emit(e="collect_error", id=report.nodeid, message=str(report.longrepr)[-MESSAGE_CAP:])
    elif report.skipped:
        emit(e="collect_skip", id=report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember what an expression left out."""
    _deselected.update(item.nodeid for item in items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the ids that will run, those left out, and those that were dropped without a report."""
    ids = [item.nodeid for item in session.items]
    dropped = sorted(_items.keys() - set(ids) - _deselected)
    emit(e="collected", ids=ids, deselected=sorted(_deselected), dropped=dropped)
    global _is_testing
    _is_testing = True
    if QUERIES:
        answer_queries(session)


def answer_queries(session: pytest.Session) -> None:
    """Say which of the collected tests each (files, -k, -m) query of the registry selects; used by `redgreen lint`."""
    from _pytest.mark import KeywordMatcher, MarkMatcher  # noqa: PLC0415 - only lint needs pytest's inner matchers
    from _pytest.mark.expression import Expression  # noqa: PLC0415

    rows = [
        (item.nodeid, KeywordMatcher.from_item(item), MarkMatcher.from_markers(item.iter_markers()))
        for item in session.items
    ]
    for name, query in json.loads(Path(QUERIES).read_text(encoding="utf-8")).items():
        try:
            keyword = Expression.compile(query["k"]) if query["k"] else None
            marker = Expression.compile(query["m"]) if query["m"] else None
        except SyntaxError as error:
            emit(e="query", name=name, error=str(error))
            continue
        inside = [row for row in rows if any(covers(prefix, row[0]) for prefix in query["select"])]
        chosen = [
            nodeid
            for nodeid, words, marks in inside
            if (keyword is None or keyword.evaluate(words)) and (marker is None or marker.evaluate(marks))
        ]
        emit(e="query", name=name, ids=chosen, inside=len(inside))


def covers(prefix: str, nodeid: str) -> bool:
    """Return whether a selection (folder, file, class or test) holds the test."""
    prefix = prefix.rstrip("/")
    return nodeid == prefix or any(nodeid.startswith(prefix + mark) for mark in ("/", "::", "["))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Watch the body of the test itself, below every hook that could replace it."""
    function = getattr(item, "obj", None)
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        return (yield)
    collected = _items.get(item.nodeid)
    seen = {"entered": False, "raised": None, "replaced": collected is not None and unwrap(function) != collected}
    _body[item.nodeid] = seen
    item.obj = watch(function, seen)  # type: ignore[attr-defined]  # Function items have it
    try:
        return (yield)
    finally:
        item.obj = function  # type: ignore[attr-defined]


def watch(function: Callable[..., object], seen: dict[str, Any]) -> Callable[..., object]:
    """Wrap a function, or a coroutine function, so that it records that it was entered and what it raised."""

    @functools.wraps(function)
    async def coroutine(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = True
        seen["entered"] = True
        try:
            return await function(*args, **kwargs)  # type: ignore[misc]  # a coroutine function gives an awaitable
        except BaseException as error:
            seen["raised"] = type(error).__name__
            raise

    @functools.wraps(function)
    def body(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = True
        seen["entered"] = True
        try:
            result = function(*args, **kwargs)
            if inspect.iscoroutine(result) or inspect.isasyncgen(result) or inspect.isgenerator(result):
                seen["entered"] = False  # what it returned holds the body, and nobody here runs it
            return result
        except BaseException as error:
            seen["raised"] = type(error).__name__
            raise

    return coroutine if inspect.iscoroutinefunction(function) else body


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record the exception before a hook can turn it into another outcome, or when unittest sets it later."""
    before = call.excinfo
    report = yield
    excinfo = before if before is not None else call.excinfo
    if excinfo is not None:
        _raw[item.nodeid, call.when] = describe(excinfo.value, excinfo.tb, _root)
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write a phase: what pytest reports, and what was seen."""
    if type(report) is not pytest.TestReport:  # a subtest: its test is reported afterwards and must not count as plain
        note_subtest(report)
        return
    raw = _raw.pop((report.nodeid, report.when), None)
    if report.when != "call" and report.passed and raw is None:
        return
    event: dict[str, object] = {"e": "test", "id": report.nodeid, "when": report.when, "outcome": report.outcome}
    event["s"] = round(report.duration, 6)
    if raw is not None:
        event["raw"] = raw
    if hasattr(report, "wasxfail"):
        event["xfail"] = True
    elif report.failed and raw is None and "XPASS(strict)" in str(report.longrepr):
        event["xpass_strict"] = True
    if report.when == "call":
        body = _body.pop(report.nodeid, None)
        if body is not None and (body["replaced"] or body["raised"] or not body["entered"]):
            event["body"] = body
        if report.nodeid in _subtests_failed:
            event |= {"subtests": True, "subtest": _subtests_failed[report.nodeid]}
    emit(**event)


def note_subtest(report: pytest.TestReport) -> None:
    """Remember the first failure of a test's subtests."""
    seen = _raw.pop((report.nodeid, "call"), None)
    if report.failed:
        _subtests_failed.setdefault(report.nodeid, seen)


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Write that the session was cut short from inside."""
    emit(e="interrupt", type=type(excinfo.value).__name__)


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Write that pytest itself, or a plugin, broke."""
    emit(e="internal_error", type=type(excinfo.value).__name__, message=str(excinfo.value)[:MESSAGE_CAP])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Mark that the session came to its end, and where the product was imported from."""
    origins = {}
    for name in PRODUCTS:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if file:
            origins[name] = "repo" if is_inside(Path(file), _root) else "outside"
    emit(e="finish", rc=int(exitstatus), collected=session.testscollected, origins=origins, reads=list_reads())
