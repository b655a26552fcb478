"""What do the number of threads and their way of waiting cost on a quiet machine and beside a busy process?

Every variant runs as a process of its own, all of them in turn, so that what else the machine does hits them alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "one": {"OMP_NUM_THREADS": "1"},
    "chosen": {"THREADS_CHOSEN": "package"},
    "free": {"THREADS_CHOSEN": "free"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    **{f"spin{count}": {"GOMP_SPINCOUNT": str(count)} for count in (100, 1_000, 10_000, 100_000)},
}
WORK = ("solver", "network")


def main() -> None:
    """Print the least of several times in seconds, and ratios to what the figures are held against."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = ["default", "one", "chosen", "free", "passive", "spin10000"]
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=usual)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside each run")
    parser.add_argument("--work", help=argparse.SUPPRESS, action="store_true")
    given = parser.parse_args()
    if given.work:
        work()
        return
    policies = list(dict.fromkeys(["default", "one", *given.policies]))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"# threads, beside {given.busy} busy process(es); {os.cpu_count()} processors, load {load}")
    seconds = {beside: {policy: _empty() for policy in policies} for beside in (0, given.busy)}
    for _ in range(given.repeats):
        for beside, times in seconds.items():
            for policy, found in times.items():
                for name, value in _run(POLICIES[policy], beside).items():
                    found[name].append(value)
    for name in WORK:
        print(f"{name + ', s':14}{'quiet':>8}{'/default':>10}{'busy':>8}{'/one':>8}")
        quiet, busy = ({policy: min(found[name]) for policy, found in times.items()} for times in seconds.values())
        for policy in policies:
            ratios = quiet[policy] / quiet["default"], busy[policy] / busy["one"]
            print(f"{policy:14}{quiet[policy]:8.2f}{ratios[0]:10.2f}{busy[policy]:8.2f}{ratios[1]:8.2f}")


def _empty() -> dict[str, list[float]]:
    return {name: [] for name in WORK}


def _run(variables: dict[str, str], busy: int) -> dict[str, float]:
    """Seconds of each kind of work in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--work"],
            env=kept | variables | {"PYTHONPATH": ROOT},
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        for process in beside:
            process.kill()
            process.wait()
    return dict(zip(WORK, map(float, done.stdout.split()), strict=True))


def work() -> None:
    """Four epochs of the solver, and ten steps of a network, after one of each to warm up."""
    # torch is loaded in here, once its threads are chosen
    from ptycho_torch.runtime import threads  # noqa: PLC0415

    chosen = os.environ.get("THREADS_CHOSEN")
    if chosen == "package":
        threads.set_threads()
    elif chosen == "free":
        threads.set_threads("free")
        os.environ.pop("GOMP_SPINCOUNT")
    import torch  # noqa: PLC0415

    from ptycho_torch.config import Experiment, RefineSettings, SimulationSettings  # noqa: PLC0415
    from ptycho_torch.networks.build import build_network  # noqa: PLC0415
    from ptycho_torch.simulate.scan import simulate_scan  # noqa: PLC0415
    from ptycho_torch.solve.solve import refine  # noqa: PLC0415

    scan = simulate_scan(SimulationSettings())
    refine(scan, RefineSettings(epochs=1))
    started = time.perf_counter()
    refine(scan, RefineSettings(epochs=4, probe_start=0))
    solver = time.perf_counter() - started
    network, probe = build_network(Experiment(), 64), torch.ones(1, 1, 64, 64) + 0j
    amplitudes = torch.rand(32, 64, 64)
    for step in range(11):
        if step == 1:
            started = time.perf_counter()
        network(amplitudes, probe).abs().sum().backward()
    print(solver, time.perf_counter() - started)


if __name__ == "__main__":
    main()
