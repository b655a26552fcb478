"""Run what must work without torch, and hold each module to the number of tests that it passed before.

    nox -s torch_free

`tests/torch_free/least_passed.json` says how many tests each module passes at least. What skips has to say that torch
is not installed, and in the modules of `NOTHING_SKIPS` nothing may. Ends with one line that says what is wrong.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "torch_free" / "least_passed.json"
OWN = "test_without_torch"
NOTHING_SKIPS = ("test_config_bridge",)
REASON = "torch is not installed"


@dataclass(eq=False)
class Tally:
    """What became of the tests of each module.

    Attributes:
        passed: tests that passed.
        failed: tests that failed, or broke before or after their call, and files that were not collected.
        skips: reason of each skip.
    """

    passed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    skips: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report, passed=report.when == "call" and report.passed and not hasattr(report, "wasxfail"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report, passed=False)

    def _note(self, report: pytest.TestReport | pytest.CollectReport, *, passed: bool) -> None:
        module = Path(report.nodeid.partition("::")[0]).stem
        self.passed[module] += passed
        self.failed[module] += report.failed
        if report.skipped:
            self.skips[module].append(str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else "no reason")


def complaint(tally: Tally, least: Mapping[str, int], known: Sequence[str]) -> str | None:
    """What is wrong with a run, None where nothing is.

    Args:
        tally: what became of the tests.
        least: tests that each module has to pass.
        known: modules that may be in the table.
    """
    for module in sorted({*least} - {*known}):
        return f"{module} has a number in {TABLE.name}, but is no module that can do without torch"
    for module, failed in sorted(tally.failed.items()):
        if failed:
            return f"{module}: {failed} failed without torch"
    for module in known:
        passed, wanted = tally.passed.get(module, 0), max(least.get(module, 0), 1)
        seen = passed or tally.skips.get(module)
        if passed < wanted and (seen or module in least):
            return f"{module}: {passed} passed without torch; at least {wanted} did before"
        if seen and module not in least:
            return f"{module} has no number in {TABLE.name}; {passed} passed"
    for module, reasons in sorted(tally.skips.items()):
        strange = [reason for reason in reasons if REASON not in reason]
        if strange or module in NOTHING_SKIPS:
            return f"{module}: {len(reasons)} skipped, {'for ' + strange[0] if strange else 'and nothing may there'}"
    return None


def main(arguments: Sequence[str]) -> str | None:
    """Run pytest; returns what is wrong, None where nothing is."""
    if find_spec("torch") is not None:
        return "torch is installed here; `nox -s torch_free` has an environment without it"
    known = [*runpy.run_path(str(TESTS / "conftest.py"))["TORCH_OPTIONAL_MODULES"], OWN]
    files = [TESTS / "torch" / f"{name}.py" for name in known[:-1]] + [TESTS / "torch_free"]
    tally = Tally()
    code = pytest.main(["-p", "no:cacheprovider", *[str(file) for file in files if file.exists()], *arguments], [tally])
    wrong = complaint(tally, json.loads(TABLE.read_text(encoding="utf-8")), known)
    return wrong or (f"pytest ended with exit code {int(code)}" if code else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
