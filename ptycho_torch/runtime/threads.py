"""How many threads compute and how they wait for each other; set for OpenMP before torch loads it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Collection, Iterator, MutableMapping
from pathlib import Path
from typing import Literal

from ptycho_torch.runtime.control_groups import find_groups, read_text

MOST_THREADS = 4096
# Between two parallel loops the threads of OpenMP spin, 300,000 times by default, before they sleep. Beside another
# busy process they occupy the core of the very thread that they wait for; threads that sleep at once wake up slowly.
SPINS = 1_000
_COUNT, _WAITING = "OMP_NUM_THREADS", ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def set_threads(
    threads: int | Literal["free"] | None = None, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Prepare the threads of a process that has not loaded torch yet.

    Variables that are already set keep their values. Once torch is loaded, only a number in `threads` has an effect.

    Args:
        threads: their number; `free` for the number of cores that other processes leave idle at the moment; None for as
            many as torch chooses, but not more than the process may use. The last bits of results depend on the number,
            so that with `free` a run need not repeat another to the last bit.
        environment: variables that OpenMP reads when it is loaded.
    """
    if "torch" in sys.modules:
        if isinstance(threads, int):
            sys.modules["torch"].set_num_threads(threads)
        return
    limit = find_core_limit(environment=environment)
    usable = len(_find_own_cores())
    wanted = count_free_cores() if threads == "free" else threads
    if wanted is not None:
        environment[_COUNT] = str(wanted if threads != "free" else min(wanted, limit or usable))
    elif limit is not None and limit < usable:
        environment.setdefault(_COUNT, str(limit))
    if not any(name in environment for name in _WAITING):
        environment["GOMP_SPINCOUNT"] = str(SPINS)


def find_core_limit(root: Path = Path("/"), environment: MutableMapping[str, str] = os.environ) -> int | None:
    """Cores that control groups or Slurm grant to this process, at least 1; None if neither limits them.

    Args:
        root: where `proc` and `sys` are mounted.
        environment: variables of the process.
    """
    limits = [math.ceil(share) for share in _read_quotas(root)]
    granted = environment.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdecimal() and int(granted):
        limits.append(int(granted))
    return max(min(limits), 1) if limits else None


def _read_quotas(root: Path) -> Iterator[float]:
    """Cores granted by each control group of the process."""
    # one file in version 2, two in version 1
    names = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    for folder in find_groups("cpu", root):
        match [word for name in names for word in read_text(folder / name).split()]:
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
                yield int(quota) / int(period)


def count_free_cores(seconds: float = 0.1, stat: Path = Path("/proc/stat")) -> int:
    """Cores of this process that other processes leave idle at the moment, at least 1."""
    before = _measure_busy_seconds(stat)
    time.sleep(seconds)
    busy = (_measure_busy_seconds(stat) - before) / seconds
    return max(1, round(len(_find_own_cores()) - busy))


def _find_own_cores() -> Collection[int]:
    # only Linux ties processes to cores
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _measure_busy_seconds(stat: Path) -> float:
    """Busy time of the cores of this process since the machine was started."""
    own = {f"cpu{number}" for number in _find_own_cores()}
    # user, nice, system, idle, waiting for input, interrupts of two kinds, stolen
    rows = [line.split() for line in read_text(stat).splitlines() if line.split()[0] in own]
    ticks = sum(int(value) for row in rows for column, value in enumerate(row[1:9]) if column not in (3, 4))
    return ticks / os.sysconf("SC_CLK_TCK")
