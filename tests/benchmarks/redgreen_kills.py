"""Kill `redgreen run green` at random moments, replay included: is a half report valid, does a process stay behind?

Each round starts from a recorded RED and a fix, kills the whole command, or redgreen's own process alone, with SIGKILL
after a random time, and looks: what is sealed must verify, `close` must bring the rest into order, and no process of
the run may be left.

Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/redgreen_kills.py`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from redgreen_sandbox import Sandbox, fix_product, make_sandbox

ROUNDS = int(os.environ.get("ROUNDS", "80"))
LONGEST_S = float(os.environ.get("LONGEST_S", "6"))
SETTLE_S = 3.0  # in which the watchdog ends what a killed runner has left


def kill_once(sandbox: Sandbox, chance: random.Random) -> None:
    """Start a GREEN, wait a random time, kill."""
    process = subprocess.Popen(
        sandbox.argv("run", "green", "demo"),
        cwd=sandbox.root,
        env=sandbox.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(chance.uniform(0.05, LONGEST_S))
    if chance.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def count_orphans(sandbox: Sandbox) -> int:
    """Count the processes that still work in the repository or carry the mark of a run."""
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        found += b"REDGREEN_RUN_ID=" in environ and str(sandbox.root.parent).encode() in environ
    return found


def main() -> None:
    """Kill, look and print."""
    chance, seen = random.Random(1), Counter[str]()
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
            sandbox = make_sandbox(Path(folder) / "repo")
            sandbox.env["TMPDIR"] = folder
            sandbox.record("red")
            fix_product(sandbox)
            kill_once(sandbox, chance)
            deadline = time.monotonic() + SETTLE_S
            while count_orphans(sandbox) and time.monotonic() < deadline:
                time.sleep(0.1)
            seen["orphans"] += count_orphans(sandbox)
            sealed = [line for line in sandbox.run("verify").err.splitlines() if "never finished" not in line]
            damage = [line for line in sealed if "without a row" not in line]
            seen["half reports that are taken as whole, or damage"] += len(damage)
            for line in damage:
                print(line)
            seen["close failed"] += sandbox.run("close").code != 0
            seen["does not verify after close"] += sandbox.run("verify").code != 0
            done = sandbox.project.ledger.read_text(encoding="utf-8").count("VALID_GREEN")
            seen["finished before the kill"] += done
            seen["abandoned"] += sandbox.project.ledger.read_text(encoding="utf-8").count("ABANDONED")
        if number % 20 == 19:
            print(f"{number + 1} kills: {dict(seen)}", flush=True)


if __name__ == "__main__":
    main()
