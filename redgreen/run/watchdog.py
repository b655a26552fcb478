"""Kill what a run left behind: by process group, and by the mark that every process of a run carries.

As a program (`python watchdog.py GROUP MARK FOLDER`, a pipe from the runner on standard input) it waits until the
runner says that it is done, or has gone; when the runner is gone it ends the child's processes and removes the run's
temporary folder. It imports nothing of redgreen, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def end_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_marked(mark: str) -> int:
    """Kill every process whose environment carries the mark of the run; only where /proc shows environments.

    Returns:
        How many processes were found.
    """
    wanted = b"REDGREEN_RUN_ID=" + mark.encode() + b"\0"
    found = 0
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 0
    for process in processes:
        if process == os.getpid():
            continue
        try:
            with open(f"/proc/{process}/environ", "rb") as stream:
                if wanted not in stream.read() + b"\0":
                    continue
            os.kill(process, signal.SIGKILL)
            found += 1
        except OSError:
            continue  # gone meanwhile, or of another user
    return found


def main(group: int, mark: str, folder: str) -> None:
    """Wait until the runner says that it is done; if it ends without saying so, it was killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not sys.stdin.buffer.read(1):
        end_group(group)
        end_marked(mark)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
