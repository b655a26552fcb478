"""How long do the import, the help pages and the integration test take, and how big is the environment?"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from report import header

ROOT = Path(__file__).parents[2]
COMMANDS = ("simulate", "train", "infer", "refine", "demo")


def main() -> None:
    """Print the least of three times each, and megabytes."""
    header("start-up, integration test, size of the environment")
    empty = _seconds("-c", "pass")
    imported = _seconds("-c", "import ptycho_torch")
    print(
        f"import ptycho_torch: {1000 * (imported - empty):.0f} ms beyond an empty interpreter's {1000 * empty:.0f} ms"
    )
    for command in COMMANDS:
        print(f"{command} --help: {_seconds('-m', 'ptycho_torch', command, '--help'):.2f} s")
    for door in ("train", "inference"):
        print(f"python -m ptycho_torch.{door} --help: {_seconds('-m', f'ptycho_torch.{door}', '--help'):.2f} s")
    test = "tests/test_pytorch_integration.py"
    print(f"integration test: {_seconds('-m', 'pytest', '-q', test, runs=1):.1f} s with pytest's own start")
    size = sum(path.lstat().st_blocks * 512 for path in Path(sys.prefix).rglob("*"))
    print(f"environment: {size / 1e9:.2f} GB")


def _seconds(*arguments: str, runs: int = 3) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
