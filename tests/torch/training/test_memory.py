"""How much memory a process may take, on machines and in control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import make_machine

from ptycho_torch.training.memory import find_free_memory

MIB = 2**20
V2, V1 = "0::/job/step\n", "9:cpu:/x\n4:memory:/job/step\n0::/\n"
STEP, JOB, TOP = "sys/fs/cgroup/job/step", "sys/fs/cgroup/job", "sys/fs/cgroup"


def limited(group: str, limit: str, used: int, idle: int = 0) -> dict[str, str]:
    """A group of version 2, sizes in MiB."""
    stat = f"anon 7\ninactive_anon {MIB}\ninactive_file {idle * MIB}\n"
    return {f"{group}/memory.max": limit, f"{group}/memory.current": f"{used * MIB}\n", f"{group}/memory.stat": stat}


def older(used: int, idle: int) -> dict[str, str]:
    """A group of version 1 with 800 MiB."""
    group, stat = "sys/fs/cgroup/memory/job/step", f"inactive_file 0\ntotal_inactive_file {idle * MIB}\n"
    sizes = {"limit": 800, "usage": used}
    return {f"{group}/memory.{name}_in_bytes": f"{size * MIB}\n" for name, size in sizes.items()} | {
        f"{group}/memory.stat": stat
    }


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        (V2, {}, 1000),
        ("", {}, 1000),
        (V2, limited(STEP, "max\n", 100), 1000),
        (V2, limited(STEP, f"{500 * MIB}\n", 100), 400),
        # files that were read fill a group without need
        (V2, limited(STEP, f"{500 * MIB}\n", 490, 300), 310),
        (V2, limited(STEP, "max\n", 100) | limited(JOB, f"{300 * MIB}\n", 200), 100),
        (V2, limited(STEP, f"{200 * MIB}\n", 50) | limited(JOB, f"{900 * MIB}\n", 100), 150),
        # a container sees its group as the top
        (V2, limited(TOP, f"{700 * MIB}\n", 100), 600),
        (V2, limited(STEP, f"{5000 * MIB}\n", 100), 1000),
        (V2, limited(STEP, f"{100 * MIB}\n", 120), 0),
        (V1, older(600, 50), 250),
    ],
)
def test_free_memory_is_what_machine_and_groups_leave(
    tmp_path: Path, groups: str, files: dict[str, str], wanted: int
) -> None:
    memory = f"MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable: {1000 * 1024} kB\n"
    root = make_machine(tmp_path, {"proc/self/cgroup": groups, "proc/meminfo": memory} | files)
    assert find_free_memory(root) == wanted * MIB
