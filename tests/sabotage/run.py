"""Prove the integration test by sabotage: with each fault of `faults`, in a copy of the package, it must fail.

    python tests/sabotage/run.py [NAME...]

The copy without a fault must pass first, unless faults are named. Prints a row for each fault; exits with 1 if one
survives or its test ran out of time, or if its text does not occur exactly once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
TESTS = ("test_pytorch_integration.py", "torch/test_integration_workflow_torch.py", "conftest.py", "torch/conftest.py")
FOLDERS = ("support", "reference", "fixtures/pytorch_integration")
SELECTED = ("tests/test_pytorch_integration.py", "tests/torch/test_integration_workflow_torch.py")
_TIMEOUT_S = 1800
# a process of the workflow may take longer here, since a timeout would tell nothing of a fault
_WORKFLOW, _SHORT, _LONG = "tests/support/workflow.py", "timeout=120,", f"timeout={_TIMEOUT_S // 2},"
_LONGEST_REASON = 90


def copy_package(folder: Path) -> None:
    """Copy what the integration test needs."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ptycho_torch", folder / "ptycho_torch", ignore=ignored)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    for name in FOLDERS:
        shutil.copytree(ROOT / "tests" / name, folder / "tests" / name, ignore=ignored)
    for name in TESTS:
        (folder / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / "tests" / name).is_file():
            shutil.copyfile(ROOT / "tests" / name, folder / "tests" / name)

    replace_once(folder / _WORKFLOW, _SHORT, _LONG)


def replace_once(path: Path, text: str, new: str) -> str:
    """Replace a text that a file contains once; returns the content before.

    Raises:
        SystemExit: it does not occur exactly once.
    """
    content = path.read_text(encoding="utf-8")
    if content.count(text) != 1:
        raise SystemExit(f"{path.name}: contains {text!r} {content.count(text)} times, not once")
    path.write_text(content.replace(text, new), encoding="utf-8")
    return content


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the integration tests on the package in a folder, until the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *SELECTED]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    options = [f"--basetemp={folder / 'made'}"]
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def seed(fault: Fault, folder: Path) -> str:
    """Put a fault into the package in a folder; returns the file's content without it."""
    return replace_once(folder / "ptycho_torch" / fault.file, fault.text, fault.wrong)


def find_reason(output: str) -> str:
    """The first line that says why a run of tests failed."""
    lines = [line for line in output.splitlines() if re.match(r"E  |.*Error|FAILED", line)]
    return lines[0].strip()[:_LONGEST_REASON] if lines else "no reason was printed"


def main(names: list[str]) -> int:
    """Try the faults whose names contain one of the words, all by default; returns the exit code."""
    chosen = [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]
    survivors = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        copy_package(folder)
        for fault in chosen:  # each text is checked before the first run
            whole = seed(fault, folder)
            (folder / "ptycho_torch" / fault.file).write_text(whole, encoding="utf-8")
        if not names:
            clean = run_tests(folder)
            if clean.returncode != 0:
                raise SystemExit(f"the integration test fails without a fault:\n{clean.stdout}\n{clean.stderr}")
            print("no fault: passes", flush=True)
        for fault in chosen:
            started, whole = time.monotonic(), seed(fault, folder)
            done = run_tests(folder)
            (folder / "ptycho_torch" / fault.file).write_text(whole, encoding="utf-8")
            # 1: tests ran and failed; anything else, and running out of time, is no answer
            noticed = done.returncode == 1 and "TimeoutExpired" not in done.stdout
            survivors += not noticed
            seconds, reason = time.monotonic() - started, find_reason(done.stdout) if noticed else "SURVIVES"
            print(f"{fault.name} ({fault.file}): {reason} [{seconds:.0f} s]", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} faults are noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
