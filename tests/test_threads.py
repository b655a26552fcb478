"""How many threads a process gets, from control groups and Slurm, and that the user's own choice stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from machine import make_machine

from ptycho_torch.runtime.threads import count_free_cores, find_core_limit, set_threads

ROOT = Path(__file__).parents[1]
V2, V1 = "0::/job/step\n", "4:memory:/x\n3:cpu,cpuacct:/job/step\n1:name=systemd:/x\n"


@pytest.mark.parametrize(
    ("groups", "files", "slurm", "wanted"),
    [
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "200000 100000\n"}, "", 2),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "150000 100000\n"}, "", 2),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "1000 100000\n"}, "", 1),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "max 100000\n"}, "", None),
        (
            V2,
            {"sys/fs/cgroup/job/step/cpu.max": "max 100000\n", "sys/fs/cgroup/job/cpu.max": "300000 100000\n"},
            "",
            3,
        ),
        (V2, {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, "", 4),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "rubbish"}, "", None),
        (V2, {}, "", None),
        (
            V1,
            {
                "sys/fs/cgroup/cpu/job/step/cpu.cfs_quota_us": "500000\n",
                "sys/fs/cgroup/cpu/job/step/cpu.cfs_period_us": "100000\n",
            },
            "",
            5,
        ),
        (
            V1,
            {
                "sys/fs/cgroup/cpu/job/step/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/job/step/cpu.cfs_period_us": "100000\n",
            },
            "",
            None,
        ),
        (V2, {}, "6", 6),
        (V2, {}, "0", None),
        (V2, {}, "many", None),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "200000 100000\n"}, "6", 2),
        (V2, {"sys/fs/cgroup/job/step/cpu.max": "800000 100000\n"}, "6", 6),
    ],
)
def test_cores_are_counted_as_they_are_granted(
    groups: str, files: dict[str, str], slurm: str, wanted: int | None, tmp_path: Path
) -> None:
    """[WF-8.4]"""
    environment = {"SLURM_CPUS_PER_TASK": slurm} if slurm else {}
    assert find_core_limit(make_machine(tmp_path, {"proc/self/cgroup": groups} | files), environment) == wanted


def test_a_machine_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert find_core_limit(tmp_path, {}) is None


def test_busy_cores_are_not_free(tmp_path: Path) -> None:
    own = sorted(os.sched_getaffinity(0))
    stat = tmp_path / "stat"
    stat.write_text("".join(f"cpu{number} 100 0 50 900 10 0 0 0 0 0\n" for number in own))
    assert count_free_cores(0.01, stat) == len(own)
    assert count_free_cores(0.01, tmp_path / "none") == len(own)


LOADED = "import os, sys\nprint(os.environ.get('OMP_NUM_THREADS'), os.environ.get('GOMP_SPINCOUNT'), sys.argv[1:])"


def environment_of(code: str, **given: str) -> list[str]:
    """What OpenMP reads after some code, in a process of its own."""
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "SLURM_CPUS_PER_TASK")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"], env=kept | given, capture_output=True, text=True, check=True
    )
    return done.stdout.split()[:2]


SET = "from ptycho_torch.runtime.threads import set_threads, SPINS\nset_threads({})"


def test_what_the_user_chose_stands() -> None:
    """[WF-8.4]"""
    chosen = {"OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": "7", "SLURM_CPUS_PER_TASK": "1"}
    assert environment_of(SET.format(""), **chosen) == ["3", "7"]
    assert environment_of(SET.format(""), OMP_WAIT_POLICY="active")[1] == "None"
    assert environment_of(SET.format("2"), OMP_NUM_THREADS="3")[0] == "2"


def test_threads_that_wait_do_not_spin_for_long() -> None:
    assert 0 < int(environment_of(SET.format(""))[1]) < 100_000


def test_importing_the_package_changes_nothing_before_something_needs_torch() -> None:
    assert environment_of("import ptycho_torch\nptycho_torch.RefineSettings()") == ["None", "None"]
    # torch itself is not waited for
    code = "import absent, contextlib, ptycho_torch\nabsent.hide('torch')\nwith contextlib.suppress(ImportError):"
    assert environment_of(f"{code}\n    ptycho_torch.refine_scan")[1] != "None"


def test_where_torch_is_loaded_only_a_number_that_was_asked_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=asked.append))
    environment = {"SLURM_CPUS_PER_TASK": "1"}
    set_threads(environment=environment)
    assert (asked, len(environment)) == ([], 1)
    set_threads(3, environment)
    assert (asked, len(environment)) == ([3], 1)


def test_a_limit_below_the_cores_of_the_process_is_told_to_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    environment = {"SLURM_CPUS_PER_TASK": "3"}
    set_threads(environment=environment)
    assert environment["OMP_NUM_THREADS"] == "3"
    environment = {"SLURM_CPUS_PER_TASK": "8"}
    set_threads(environment=environment)
    assert "OMP_NUM_THREADS" not in environment


def test_busy_cores_are_left_out_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("ptycho_torch.runtime.threads.count_free_cores", lambda: 5)
    found: list[dict[str, str]] = [{}, {"OMP_NUM_THREADS": "7"}, {"SLURM_CPUS_PER_TASK": "2"}]
    for environment in found:
        set_threads("free", environment)
    assert [environment["OMP_NUM_THREADS"] for environment in found] == ["5", "5", "2"]
