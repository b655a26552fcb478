"""How long does the site of 1,000 runs take, and how large are its pages?
Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_site.py`.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redgreen_sandbox import Copier, Sandbox, guard, target
from replay_fixture import record_pair

from redgreen.evidence import ledger
from redgreen.evidence.folder import format_stamp
from redgreen.evidence.guards import add_lines, locate_log, read_lines
from redgreen.evidence.packed import pack
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
    """Seal packed copies of a RED, its GREEN with a replay and an invalid attempt, and as many lines of guards."""
    os.fsync = lambda fd: None  # power cuts are not the question here, and waiting for the disk takes minutes
    sandbox, red, green = record_pair(Path(folder) / "repo", target(extra="protects: [held]"), guard(), test=TESTS)
    project = sandbox.project
    sandbox.record("guard", "held")
    copiers = [Copier(project, run.folder) for run in (red, green, sandbox.record("red"))]
    for number in range(RUNS - RUNS // 4 - len(copiers)):
        pack(project, copiers[number % len(copiers)].seal(NOW + timedelta(seconds=number)))
    [line] = read_lines(locate_log(project, "DEMO-001"))
    stamps = [format_stamp(NOW + timedelta(minutes=number + 1)) for number in range(RUNS // 4 - 1)]
    times = replace(line.time, end=format_stamp(NOW + timedelta(days=9)))
    lines = [
        replace(line, folder=f"{stamp}-77/held", run_id=f"{stamp}-77{line.run_id[18:]}", seal=None, time=times)
        for stamp in stamps
    ]
    add_lines(project, "DEMO-001", lines)
    return sandbox


def main() -> None:
    """Measure and print."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = seal_runs(folder)
        ledger.rebuild(sandbox.project, sandbox.loaded())
        problems = verify_all(sandbox.project)[0]
        print(f"{len(problems)} problems {problems[:1]}")
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
