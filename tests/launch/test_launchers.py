"""Launchers on this machine: the local executor of submitit, a stand-in for Slurm's commands, Modal without account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from short_runs import REFINE, write_small_scan

import ptycho_torch as pt
from ptycho_torch.errors import ConfigError, PtychoError
from ptycho_torch.launch.job import Expectation, run_and_return_record, run_job, store_record
from ptycho_torch.launch.modal import MOUNT, ModalLauncher, list_requirements
from ptycho_torch.launch.slurm import SlurmLauncher
from ptycho_torch.run.compose import open_composer
from ptycho_torch.run.launch import make_launcher
from ptycho_torch.run.main import main
from ptycho_torch.run.stages import STAGES

ROOT = Path(pt.__file__).parents[1]
SUPPORT = ROOT / "tests" / "support"
# answers as Slurm does, and then runs one job of the array after the other
SBATCH = """#!/bin/sh
cp "$1" submitted.sh
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
(
  number=0
  while [ "$number" -le "${last:-0}" ]; do
    SLURM_JOB_ID=$((100 + number)) SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$number SLURM_NTASKS=1 SLURM_NNODES=1 \\
    SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here sh submitted.sh
    number=$((number + 1))
  done
) > slurm.log 2>&1 &
echo "Submitted batch job 77"
"""
SRUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do
  case "$1" in --output|--error) shift 2;; *) shift;; esac
done
exec "$@"
"""
SACCT = """#!/bin/sh
echo 'JobID|State|NodeList'
for job in 77_0 77_1; do
  [ -e "jobs/$job/${job}_0_result.pkl" ] && state=COMPLETED || state=RUNNING
  echo "$job|$state|here"
done
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_small_scan(tmp_path / "scan.npz")
    return tmp_path


def compose(*overrides: str, stage: str = "refine") -> dict[str, Any]:
    with open_composer(STAGES[stage]) as composer:
        return composer.resolve([*REFINE, *overrides]).values


def read_status(folder: Path) -> str:
    status: str = json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"]
    return status


def test_jobs_run_as_processes_by_submitit(folder: Path) -> None:
    jobs = [compose("run.output_dir=a"), compose("run.output_dir=b", "run.data=missing.npz")]
    codes = SlurmLauncher(cluster="local", minutes=5).launch(jobs)
    assert codes[0] in (0, 3)  # 3 if one epoch is judged to have failed
    assert codes[1] == 2
    assert read_status(folder / "a") == "finished"
    assert not (folder / "b").exists()
    logs = "".join(path.read_text(encoding="utf-8") for path in (folder / "jobs").rglob("*.err"))
    assert "missing.npz cannot be read on" in logs


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **commands: str) -> None:
    (folder / "bin").mkdir()
    for name, text in commands.items():
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]))


def test_one_word_submits_a_sweep_to_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, monkeypatch, sbatch=SBATCH, srun=SRUN, sacct=SACCT)
    asked = ["launcher.partition=gpu", "launcher.gpus=2", "launcher.cpus=3", "launcher.minutes=90.5"]
    words = [*REFINE, "run.output_dir=sweep", "refine.seed=0,1", "launcher=slurm", *asked]
    assert main("refine", ["--multirun", *words]) in (0, 3)
    assert [read_status(folder / "sweep" / number) for number in ("0", "1")] == ["finished"] * 2
    script = (folder / "submitted.sh").read_text(encoding="utf-8")
    for line in ("partition=gpu", "gpus-per-node=2", "cpus-per-task=3", "time=91", "array=0-1%2"):
        assert f"#SBATCH --{line}\n" in script


@pytest.mark.parametrize(
    ("setting", "value", "name", "wanted"),
    [
        ("minutes", 0.5, "timeout_min", 1),
        ("account", "beamline", "slurm_account", "beamline"),
        ("memory_gb", 12.0, "mem_gb", 12.0),
        ("gpus", 0, "gpus_per_node", None),
        ("setup", "module load cuda", "slurm_setup", ["module load cuda"]),
        ("processes", 7, "slurm_array_parallelism", 7),
    ],
)
def test_a_setting_reaches_slurm(setting: str, value: Any, name: str, wanted: Any) -> None:
    assert SlurmLauncher.from_dict({setting: value}).describe_resources().get(name) == wanted
    assert SlurmLauncher().describe_resources().get(name) != wanted


def test_without_slurm_a_sweep_is_refused_before_anything_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("refine", ["--multirun", *REFINE, "run.output_dir=sweep", "refine.seed=0,1", "launcher=slurm"]) == 2
    assert "needs the command sbatch" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["scan.npz"]


def test_what_slurm_refuses_is_told_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse = "#!/bin/sh\necho 'invalid partition specified: gpux' >&2\nexit 1\n"
    install(folder, monkeypatch, sbatch=refuse, srun=SRUN)
    assert main("refine", [*REFINE, "run.output_dir=sweep", "launcher=slurm", "launcher.partition=gpux"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "ptycho-refine: launcher slurm: invalid partition specified: gpux"
    )
    (folder / "bin" / "srun").unlink()
    assert main("refine", [*REFINE, "run.output_dir=sweep", "launcher=slurm"]) == 2
    assert "needs the command srun" in capsys.readouterr().err


def test_files_that_a_run_reads_are_looked_for_by_the_job(folder: Path) -> None:
    assert Expectation.of(compose("run.probe=entry/probe")).inputs == ("scan.npz",)
    assert Expectation.of(compose("run.probe=scan.npz")).inputs == ("scan.npz", "scan.npz")
    judged = {"run": {"data": "scan.npz", "result": "made", "output_dir": "judged"}}
    assert Expectation.of(judged).inputs == ("scan.npz", "made")


@pytest.mark.parametrize(("launcher", "library"), [("slurm", "submitit"), ("modal", "modal")])
def test_a_launcher_that_is_not_installed_is_refused(launcher: str, library: str, folder: Path) -> None:
    words = [*REFINE, "run.output_dir=sweep", f"launcher={launcher}"]
    code = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); import absent; absent.hide({library!r}); "
        f"from ptycho_torch.run.main import main; raise SystemExit(main('refine', {words!r}))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert f"launcher {launcher} needs {library}, which is not installed" in finished.stderr
    assert f"ptycho-torch[{launcher}]" in finished.stderr
    assert not (folder / "sweep").exists()


TRAIN = ("run.data=scan.npz", "run.device=cpu", "run.output_dir=sweep", "training.steps=1", "training.group_size=4")


def test_a_broken_training_keeps_the_whole_sweep_from_being_launched(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = ["model.depth=2,5", "launcher=slurm", "launcher.cluster=local"]
    assert main("train", ["--multirun", *TRAIN, *swept]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("ptycho-train: sweep/1: model.depth: model.depth is 5; patterns of 32 px")
    assert not (folder / "jobs").exists()
    assert not (folder / "sweep").exists()


SIMULATED = ("run.device=cpu", "run.output_dir=sweep", "simulation.patch_px=32", "training.steps=1")


@pytest.mark.parametrize("words", [["experiment"], ["pretrain"], ["pretrain", "run.data=scan.npz"]])
def test_trainings_on_simulated_scans_are_checked_too(
    words: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, *data = words
    swept = ["model.depth=2,5", "launcher=slurm", "launcher.cluster=local"]
    assert main(stage, ["--multirun", *SIMULATED, *data, *swept]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"ptycho-{stage}: sweep/1: model.depth: model.depth is 5; patterns of 32 px")
    assert not (folder / "jobs").exists()
    assert not (folder / "sweep").exists()


def test_a_training_elsewhere_is_checked_as_far_as_it_can_be_from_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(folder, monkeypatch, sbatch="#!/bin/sh\necho called > called\nexit 1\n", srun=SRUN)
    there = ["run.device=cuda", "launcher=slurm"]
    assert main("train", [*TRAIN, *there, "training.group_size=100"]) == 2
    assert "training.group_size is 100, but scan.npz has" in capsys.readouterr().err
    assert not (folder / "called").exists()


def test_a_machine_with_other_libraries_is_refused_by_the_job(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = compose("run.output_dir=a")
    expected = Expectation.of(values)
    assert expected.inputs == ("scan.npz",)
    other = Expectation(expected.inputs, {**expected.versions, "torch": "1.0"})
    assert run_job(values, other) == 2
    assert "but 1.0 where the run was launched" in capfd.readouterr().err
    assert not (folder / "a").exists()


@pytest.mark.filterwarnings("ignore:.*is executing locally and will not have access:UserWarning")
def test_modal_runs_what_is_launched(folder: Path) -> None:
    launcher = ModalLauncher(gpu=None, minutes=0.5, memory_gb=2, processes=3)
    app, function = launcher.build()
    assert launcher.describe_resources() == {
        "gpu": None, "cpu": 4.0, "memory": 2048, "timeout": 30, "max_containers": 3
    }  # fmt: skip
    assert app.name == "ptycho-torch"
    values = compose("run.output_dir=a")
    code, record = function.local(values, Expectation.of(values))
    assert code in (0, 3)
    assert json.loads(record)["status"] == "finished"


def test_the_record_of_a_run_elsewhere_is_stored_here(folder: Path) -> None:
    values = compose("run.output_dir=there/0")
    store_record(values, '{"status": "finished"}')
    assert read_status(folder / "there" / "0") == "finished"
    assert run_and_return_record(compose("run.output_dir=b", "run.data=missing.npz"), Expectation((), {})) == (2, "")


def test_modal_installs_the_libraries_that_are_installed_here() -> None:
    found = list_requirements()
    names = [text.partition("==")[0] for text in found]
    assert {"torch", "lightning", "numpy"} <= set(names)
    assert "ptycho-torch" not in names
    assert not any("+" in text for text in found)
    assert MOUNT.startswith("/")


def test_modal_without_an_account_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(folder / "none.toml"))
    with pytest.raises(PtychoError, match=r"^launcher modal: ") as caught:
        ModalLauncher().launch([compose("run.output_dir=a")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [["launcher=slurm", "launcher.gpus=-1"], ["launcher=modal", "launcher.cpus=0"]])
def test_an_unusable_setting_of_a_launcher_is_refused(words: Sequence[str]) -> None:
    with open_composer(STAGES["refine"]) as composer, pytest.raises(ConfigError, match=r"launcher"):
        make_launcher(composer.resolve([*REFINE, *words]))
