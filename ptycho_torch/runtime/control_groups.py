"""The control groups by which the kernel limits what a process and others may use together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def find_groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Find the folders of the groups that this process belongs to, the innermost first, of version 2 and of version 1.

    Args:
        controller: what is limited, as version 1 names it: `cpu` or `memory`.
        root: where `proc` and `sys` are mounted.
    """
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        own = base / place.lstrip("/")
        # in a container the folder of the group is mounted as the base, whatever its name outside
        for folder in (own, *own.parents) if own.is_dir() else (base,):
            yield folder
            if folder == base:
                break


def read_text(path: Path) -> str:
    """Read a file of the kernel; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
