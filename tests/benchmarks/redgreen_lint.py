"""How long does lint take beyond pytest's own collection? 60 selectors over 2,000 tests in 40 files.
Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_lint.py`.
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

from redgreen_sandbox import guard, make_sandbox

ROUNDS = int(os.environ.get("ROUNDS", "5"))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"s{number}" for number in range(60)]
        extras = ["k: test_11" if number >= 40 else "" for number in range(60)]
        entries = [guard(names[n], f"tests/test_part{n % 40}.py", extra=extras[n]) for n in range(60)]
        sandbox = make_sandbox(Path(folder) / "repo", *entries, guard(), guard("demo", "tests/test_demo.py"))
        for number in range(40):
            body = "".join(f"def test_{test}():\n    pass\n\n\n" for test in range(50))
            sandbox.write(f"tests/test_part{number}.py", body)
        bare: list[float] = []
        lint: list[float] = []
        for _ in range(ROUNDS):
            for argv, seconds in (
                ([sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"], bare),
                (sandbox.argv("lint"), lint),
            ):
                begun = time.perf_counter()
                subprocess.run(argv, cwd=sandbox.root, env=sandbox.environ(), check=True, capture_output=True)
                seconds.append(time.perf_counter() - begun)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}; median of {ROUNDS}")
    collection, whole = statistics.median(bare), statistics.median(lint)
    print(f"collection alone {collection:.2f} s, lint {whole:.2f} s: {whole - collection:.2f} s beyond it (goal 5)")


if __name__ == "__main__":
    main()
