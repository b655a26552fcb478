"""How long do composing and building take for each configuration, refusals for each broken one, and each runner?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from broken import BROKEN, Broken
from composed import build_parts, compose_case, list_cases
from report import header

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Print seconds: of each configuration, of each refusal in a process of its own, and of the runners' tests."""
    header("composed configurations")
    total = 0.0
    for case in list_cases():
        started = time.perf_counter()
        configuration = compose_case(case)
        composed = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            build_parts(configuration, Path(folder))
        seconds = time.perf_counter() - started
        total += seconds
        print(f"{case!s:45} composed {composed:5.2f} s, with parts and output {seconds:5.2f} s")
    print(f"all configurations: {total:.1f} s\n")
    refused = [_refuse(name, broken) for name, broken in BROKEN.items()]
    print(f"broken configurations: {sum(refused)} of {len(refused)} refused by name, with nothing left behind\n")
    if "--runners" in sys.argv[1:]:
        _call("-m", "pytest", "-q", "-m", "slow", "--durations=0", "tests/test_runner_integration.py", folder=ROOT)


def _refuse(name: str, broken: Broken) -> bool:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        broken.prepare(folder)
        before = set(folder.rglob("*"))
        started = time.perf_counter()
        result = _call("-m", "ptycho_torch.run", broken.stage, *broken.words, folder=folder, capture=True)
        seconds = time.perf_counter() - started
        good = result.returncode == 2 and broken.named in result.stderr and set(folder.rglob("*")) == before
    print(f"{name:50} {seconds:5.2f} s {'' if good else 'NOT REFUSED: ' + result.stderr[-300:]}")
    return good


def _call(*words: str, folder: Path, capture: bool = False) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "tests" / "support"))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=capture, text=True, check=False)


if __name__ == "__main__":
    main()
