"""What does a run through redgreen cost over bare pytest? Seconds fixed, and microseconds a test.

Runs 1 and 2,000 trivial tests, bare and through redgreen (recorded, sealed, with its ledger row), several times each in
turn, and compares medians.

Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_overhead.py`.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from redgreen_sandbox import Sandbox, guard, make_sandbox

TESTS = 2000
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def timed(argv: list[str], sandbox: Sandbox) -> float:
    """Seconds of one command."""
    begun = time.perf_counter()
    subprocess.run(argv, cwd=sandbox.root, env=sandbox.environ(), check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        body = (
            f"import pytest\n\n\n@pytest.mark.parametrize('n', range({TESTS}))\ndef test_many(n):\n    assert n >= 0\n"
        )
        sandbox = make_sandbox(Path(folder) / "repo", guard("one"), guard("many", "tests/test_many.py"))
        sandbox.write("tests/test_many.py", body)
        sandbox.commit()
        seconds: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, file in (("one", "tests/test_held.py"), ("many", "tests/test_many.py")):
                bare = [sys.executable, "-m", "pytest", "-q", "--color=yes", "-p", "no:cacheprovider", file]
                seconds.setdefault(f"bare {name}", []).append(timed(bare, sandbox))
                seconds.setdefault(f"redgreen {name}", []).append(timed(sandbox.argv("guard", name), sandbox))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    fixed = middle["redgreen one"] - middle["bare one"]
    each = (middle["redgreen many"] - middle["bare many"] - fixed) / (TESTS - 1)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}; median of {ROUNDS}")
    for name, value in middle.items():
        print(f"  {name:14} {value:7.3f} s  (from {min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    print(f"fixed overhead {fixed:.3f} s (goal 0.6), a test {each * 1e6:.0f} us (goal 250)")


if __name__ == "__main__":
    main()
