"""How long do 1,000 sealed folders take to verify, and 16 x 200 results to seal and render?
Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_verify.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from redgreen_sandbox import Sandbox, guard, make_sandbox, seal_many, target, write_loose

from redgreen.evidence import ledger
from redgreen.evidence.packed import pack
from redgreen.evidence.verify_all import verify_all

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def recorded(folder: str) -> Sandbox:
    """A repository with one sealed report."""
    sandbox = make_sandbox(Path(folder) / "repo", target(), guard())
    write_loose(sandbox.record("guard", "held", keep=True).folder)
    return sandbox


def main() -> None:
    """Measure and print."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = recorded(folder)
        seal_many(str(sandbox.root), 999, NOW)
        ledger.rebuild(sandbox.project, sandbox.loaded())
        for form in ("loose", "packed"):
            if form == "packed":
                begun = time.perf_counter()
                for report in sandbox.project.list_folders():
                    pack(sandbox.project, report)
                print(f"packed in {time.perf_counter() - begun:.1f} s")
            for label in ("cold", "warm", "warm"):
                begun = time.perf_counter()
                problems, number = verify_all(sandbox.project)
                seconds = time.perf_counter() - begun
                print(f"verify, {form}, {label}: {number} folders, {len(problems)} problems, {seconds:.2f} s (goal 2)")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = recorded(folder)
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=seal_many, args=(str(sandbox.root), 200, NOW)) for _ in range(16)]
        begun = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        sealed = time.perf_counter() - begun
        ledger.rebuild(sandbox.project, sandbox.loaded())
        rows = len(ledger.read_rows(sandbox.project.ledger.read_text(encoding="utf-8")))
        print(f"16 x 200 results sealed in {sealed:.1f} s, rendered in {time.perf_counter() - begun - sealed:.1f} s")
        print(f"rows: {rows} of {16 * 200 + 1}")


if __name__ == "__main__":
    main()
