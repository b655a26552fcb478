"""How long does the site of 1,000 runs take, and how large are its pages?
Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_site.py`.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redgreen_sandbox import Copier, Sandbox, guard, target
from replay_fixture import record_pair

from redgreen.evidence import ledger
from redgreen.evidence.verify_all import verify_all
from redgreen.site.write import write_site

RUNS = 1000
NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
TESTS = """\
import pytest
from product import answer


@pytest.mark.parametrize("number", range(8))
def test_answer(number):
    assert answer() == 42, f"the answer is not there yet, at {number}"
"""


def seal_runs(folder: str) -> Sandbox:
    """Seal copies of a RED, its GREEN with a replay, a guard and an invalid attempt, through the code that seals."""
    sandbox, red, green = record_pair(Path(folder) / "repo", target(extra="protects: [held]"), guard(), test=TESTS)
    recorded = [red, green, sandbox.record("guard", "held"), sandbox.record("red")]
    copiers = [Copier(sandbox.project, run.folder) for run in recorded]
    for number in range(RUNS - len(recorded)):
        copiers[number % len(copiers)].seal(NOW + timedelta(seconds=number))
    return sandbox


def main() -> None:
    """Measure and print."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = seal_runs(folder)
        ledger.rebuild(sandbox.project, sandbox.loaded())
        print(f"{len(verify_all(sandbox.project)[0])} problems")
        out = sandbox.project.make_state() / "site"
        for _ in range(3):
            begun, spent = time.perf_counter(), time.process_time()
            collection, pages = write_site(sandbox.project, out)
            seconds, spent = time.perf_counter() - begun, time.process_time() - spent
            sizes = [path.stat().st_size for path in out.rglob("*.html")]
            print(
                f"{len(collection.entries)} runs, {pages} pages in {seconds:.2f} s (goal 5), {spent:.2f} s of "
                f"them on the processor; largest page {max(sizes) / 1000:.0f} kB (goal 200), "
                f"together {sum(sizes) / 1e6:.1f} MB"
            )


if __name__ == "__main__":
    main()
