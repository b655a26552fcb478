"""Kill processes that register or promote models with SIGKILL at random moments, and look at what they leave.

A trial kills one of: the first registering of all, which also creates the database; the registering of a second
version; a promotion. It succeeds if every version that can be seen is whole and the earlier ones are as they were, the
version in production is the old or the new one, and the same command then completes the work, leaving nothing else.
Every second moment is spread over the processor time of the work, the others follow within a few hundredths of a second
the first sign of its writing: a file that appears, or a database that changes.

    python tests/benchmarks/kill_models.py [TRIALS]
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path

import mlflow  # noqa: F401 - loaded once, before processes are started
from small_networks import write_network

from ptycho_torch.config import RegistrySettings
from ptycho_torch.registry import Registry, check_version, promote
from ptycho_torch.runtime.threads import set_threads


def open_registry(folder: Path) -> Registry:
    return Registry(RegistrySettings(registry=str(folder / "mlflow.db")))


def register(number: int) -> Callable[[Path], None]:
    return lambda folder: print(open_registry(folder).register("lab", folder.parent / f"network{number}.zip"))


def promote_second(folder: Path) -> None:
    registry = open_registry(folder)
    promote(registry, registry.find("lab/2"), force=True)


# what is killed, the versions before it and after it
WORK: dict[str, tuple[Callable[[Path], None], int, int]] = {
    "first": (register(1), 0, 1),
    "second": (register(2), 1, 2),
    "promote": (promote_second, 2, 2),
}


def call(work: Callable[[Path], object], folder: Path) -> None:
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    work(folder)
    os._exit(0)


def start(work: Callable[[Path], object], folder: Path) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(target=call, args=(work, folder))
    process.start()
    return process


def read_seconds(process: ForkProcess) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(work: Callable[[Path], object], folder: Path) -> float:
    """Processor time of the whole work."""
    process, seconds = start(work, folder), 0.0
    while process.is_alive():
        seconds = read_seconds(process)
        time.sleep(0.001)
    process.join()
    assert process.exitcode == 0, "the work fails without a kill"
    return seconds


def kill_after(process: ForkProcess, seconds: float, rest_s: float) -> bool:
    """Kill a process a moment after it has used so much processor time; False if it ended before."""
    while process.is_alive():
        if read_seconds(process) >= seconds:
            # processor time is counted in hundredths of a second
            time.sleep(rest_s)
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            return process.exitcode == -signal.SIGKILL
        time.sleep(0.001)
    process.join()
    return False


def kill_in_writing(process: ForkProcess, folder: Path, rest_s: float) -> bool:
    """Kill a process a moment after it begins to write; False if it ended before."""
    before = read_signs(folder)
    while process.is_alive():
        if read_signs(folder) != before:
            time.sleep(rest_s)
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            return process.exitcode == -signal.SIGKILL
        time.sleep(0.0002)
    process.join()
    return False


def read_signs(folder: Path) -> set[str]:
    """What changes when a process writes: folders and files of versions, and journals of databases."""
    places = [*folder.glob("*-journal"), *folder.glob(".*.part"), *(folder / "mlmodels").glob("*")]
    return {str(place) for place in [*places, *(folder / "mlmodels").glob("*/*"), *(folder / "mlmodels").glob(".*")]}


def look(folder: Path, *, before: int, after: int) -> None:
    """Check what can be seen; runs in a process of its own, so that no connection is inherited."""
    if before == 0 and not (folder / "mlflow.db").exists():
        return
    registry = open_registry(folder)
    versions = registry.list_versions()
    assert [version.number for version in versions] in (list(range(1, before + 1)), list(range(1, after + 1)))
    for version in versions:
        health = check_version(registry, version)
        assert health.passed, health.fault
    if before:
        current = registry.find_alias("lab", "production")
        assert current is not None
        assert current.number in (1, 2)


def count_files(folder: Path) -> int:
    """Versions whose files are in their place, registered or not."""
    return len(list((folder / "mlmodels" / "lab").glob("*")))


def finish(folder: Path, *, work: Callable[[Path], object], after: int) -> None:
    """Do the work again, and check that it is complete and that nothing else is left."""
    work(folder)
    registry = open_registry(folder)
    assert [version.number for version in registry.list_versions("lab")] == list(range(1, after + 1))
    if work is promote_second:
        current = registry.find_alias("lab", "production")
        assert current is not None
        assert current.number == 2
    else:
        assert "candidate" in registry.find(f"lab/{after}").aliases
    files = [path for path in (folder / "mlmodels").rglob("*") if path.is_file()]
    assert len(files) == 3 * after, files
    assert not [path for path in folder.rglob(".*.part*") if work is not promote_second]
    assert all(check_version(registry, version).passed for version in registry.list_versions("lab"))


def run_apart(work: Callable[[Path], object], folder: Path) -> None:
    process = start(work, folder)
    process.join()
    assert process.exitcode == 0, "see above"


def main(trials: int) -> int:
    set_threads(1)
    moments, failures = random.Random(1), 0
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for seed in (1, 2):
            write_network(root, seed)
        prepared, whole = {0: root / "none"}, {}
        prepared[0].mkdir()
        for versions, steps in ((1, (register(1), promote_first)), (2, (register(2),))):
            prepared[versions] = shutil.copytree(prepared[versions - 1], root / f"prepared{versions}")
            for step in steps:
                run_apart(step, prepared[versions])
        for kind, (work, before, _) in WORK.items():
            whole[kind] = measure(work, shutil.copytree(prepared[before], root / f"whole_{kind}"))
            print(f"{kind}: {whole[kind]:.2f} s of processor time")
        for trial in range(trials):
            kind = list(WORK)[trial % len(WORK)]
            work, before, after = WORK[kind]
            folder = shutil.copytree(prepared[before], root / f"trial{trial}")
            process, rest_s = start(work, folder), moments.uniform(0, 0.02 if trial % 2 else 0.1)
            if trial % 2:
                killed = kill_after(process, moments.uniform(0, whole[kind]), rest_s)
            else:
                killed = kill_in_writing(process, folder, rest_s)
            counts[f"{kind} {'killed' if killed else 'ended before'}"] += 1
            try:
                run_apart(partial(look, before=before, after=after), folder)
                counts["killed with files in their place"] += killed and count_files(folder) > before
                run_apart(partial(finish, work=work, after=after), folder)
            except AssertionError as error:
                failures += 1
                print(f"trial {trial} ({kind}): {error}; see {shutil.copytree(folder, Path.cwd() / f'failed{trial}')}")
            shutil.rmtree(folder)
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"{trials - failures} of {trials} trials passed")
    return 1 if failures else 0


def promote_first(folder: Path) -> None:
    registry = open_registry(folder)
    promote(registry, registry.find("lab/1"), force=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
