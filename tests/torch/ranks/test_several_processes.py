"""One, two and four processes compute the same, in processes that are really started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rank_work import LEAST_SQUARES, compute, fail_alone, lose_one, make_experiment, read_weights

from ptycho_torch.config import RefineSettings, SimulationSettings, TrainerSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import RankError
from ptycho_torch.formats import read_npz
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.ranks import find_ranks
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.refinement import refine_scan
from ptycho_torch.workflows.training import train_network

pytestmark = [pytest.mark.integration, pytest.mark.slow]
RESUMED_STEPS = 9


@pytest.fixture(scope="module")
def steady_scan() -> Scan:
    """A scan on which solvers do not enlarge rounding errors, as they do on one that they cannot reconstruct."""
    settings = SimulationSettings(object_px=96, patch_px=32, step_px=6, probe_diameter_px=12)
    return simulate_scan(settings)


@pytest.fixture(scope="module")
def scans(steady_scan: Scan) -> list[Scan]:
    """Two scans whose detectors have different numbers of good pixels."""
    good = np.ones((32, 32), bool)
    good[:, :9] = False
    return [steady_scan, replace(steady_scan, good_pixels=good, name="masked")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {size: tmp_path_factory.mktemp(f"ranks{size}") for size in (1, 2, 4)}


@pytest.fixture(scope="module")
def results(scans: list[Scan], folders: dict[int, Path]) -> dict[int, dict[str, Any]]:
    """The same work by each number of processes."""
    found = {1: compute(scans, folders[1])}
    for size in (2, 4):
        found[size] = launch(find_ranks(TrainerSettings(devices=size)), compute, scans, folders[size])
    return found


def assert_same(found: Any, wanted: Any) -> None:
    """The same but for rounding: the root mean square of the difference is 10⁻⁵ of the value's at most."""
    assert np.linalg.norm(np.subtract(found, wanted)) <= 1e-5 * np.linalg.norm(wanted)


def join(weights: dict[str, Any]) -> Any:
    """All weights of a network in one vector."""
    return np.concatenate([value.ravel() for name, value in sorted(weights.items()) if name.startswith("generator.")])


@pytest.mark.parametrize("size", [2, 4])
def test_processes_train_the_same_network(results: dict[int, dict[str, Any]], size: int) -> None:
    wanted, found = results[1], results[size]
    assert_same(join(found["weights"]), join(wanted["weights"]))
    assert found["validation_loss"] == pytest.approx(wanted["validation_loss"], rel=1e-5)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("what", ["refined", "probe", "errors", "free_errors", "R", "poisson"])
def test_processes_solve_for_the_same_object(results: dict[int, dict[str, Any]], size: int, what: str) -> None:
    assert_same(results[size][what], results[1][what])


def test_processes_correct_and_judge_alike(steady_scan: Scan) -> None:
    # a background that no file states, so that it does not hang on chance whether the correction is kept
    scan = replace(steady_scan, counts=np.random.default_rng(5).poisson(steady_scan.counts + 5).astype(np.float32))
    settings = RefineSettings(epochs=6, held_out=0.05, detector_centre=True, refine_background="constant")
    wanted = refine_scan(scan, settings, device="cpu")
    found = refine_scan(scan, settings, device="cpu", trainer=TrainerSettings(devices=2))
    assert_same(found.solution.canvas.pixels, wanted.solution.canvas.pixels)
    for name in ("R", "R_free"):
        assert found.metrics[name] == pytest.approx(wanted.metrics[name], rel=1e-5)
    assert [correction.is_kept for correction in wanted.solution.corrections] == [False, True]
    for correction, other in zip(found.solution.corrections, wanted.solution.corrections, strict=True):
        assert correction.is_kept == other.is_kept
        assert correction.free_after == pytest.approx(other.free_after, rel=1e-4)


def test_processes_find_the_same_probe(steady_scan: Scan) -> None:
    scan, settings = replace(steady_scan, probe=None), RefineSettings(epochs=6, held_out=0.05)
    wanted = refine_scan(scan, settings, device="cpu").solution
    found = refine_scan(scan, settings, device="cpu", trainer=TrainerSettings(devices=2)).solution
    # the search takes more than ten times as many epochs as the other tests, in which rounding errors grow
    for values, expected in ((found.probe, wanted.probe), (found.canvas.pixels, wanted.canvas.pixels)):
        assert np.linalg.norm(values - expected) <= 1e-4 * np.linalg.norm(expected)


def test_a_process_without_a_pattern_of_a_mini_batch_takes_part(steady_scan: Scan) -> None:
    # two mini-batches of six patterns
    scan, settings = steady_scan.take(slice(0, 12)), replace(LEAST_SQUARES, batches=2)
    wanted, found = (
        refine_scan(scan, settings, device="cpu", trainer=TrainerSettings(devices=size)).metrics for size in (1, 7)
    )
    assert found["R_free"] == pytest.approx(wanted["R_free"], rel=1e-3)


@pytest.mark.parametrize("size", [2, 4])
def test_processes_predict_the_same_object(results: dict[int, dict[str, Any]], size: int) -> None:
    for what in ("predicted", "polished"):
        assert_same(results[size][what], results[1][what])
    # these are small differences of large numbers
    np.testing.assert_allclose(results[size]["spread"], results[1]["spread"], atol=1e-3)
    assert results[size]["unexplained"] == pytest.approx(results[1]["unexplained"], rel=1e-3)
    for name, value in results[1]["figures"].items():
        # rounding of expected counts changes single draws of the noise, and all that follow
        near = pytest.approx(value, rel=1e-2 if name.endswith("R_floor") else 1e-3)
        assert results[size]["figures"][name] == near, name


@pytest.mark.parametrize("size", [2, 4])
def test_only_the_first_process_writes(results: dict[int, dict[str, Any]], size: int) -> None:
    assert results[size]["files"] == results[1]["files"]


@pytest.mark.parametrize("size", [2, 4])
def test_processes_with_other_settings_are_named(results: dict[int, dict[str, Any]], size: int) -> None:
    assert results[1]["difference"] == ""
    assert results[size]["difference"].startswith("training.batch_size is 2 in process 1 and 1 in process 0")


def test_a_training_goes_on_with_another_number_of_processes(
    scans: list[Scan], folders: dict[int, Path], results: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    whole = train_network(scans, tmp_path, make_experiment(RESUMED_STEPS), device="cpu", track=False)
    wanted = join(read_weights(whole.last))
    for before, after in ((2, 1), (1, 2)):
        experiment = make_experiment(RESUMED_STEPS, devices=after)
        result = train_network(scans, folders[before] / "trained", experiment, device="cpu", track=False, resume=True)
        assert result.steps == RESUMED_STEPS
        assert_same(join(read_weights(result.last)), wanted)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_killed_ends_the_others_with_a_message(lost: int) -> None:
    with pytest.raises(RankError, match=f"process {lost} of 2 was ended by SIGKILL.*--resume"):
        launch(find_ranks(TrainerSettings(devices=2)), lose_one, lost)


def test_the_error_of_one_process_is_that_of_all() -> None:
    with pytest.raises(RankError, match="process 1 has its reasons"):
        launch(find_ranks(TrainerSettings(devices=2)), fail_alone)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, how: signal.Signals) -> None:
    program = (
        "from pathlib import Path; from rank_work import wait_long; from ptycho_torch.config import TrainerSettings\n"
        "from ptycho_torch.runtime.launch import launch; from ptycho_torch.runtime.ranks import find_ranks\n"
        f"launch(find_ranks(TrainerSettings(devices=2)), wait_long, Path({str(tmp_path)!r}))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3])])
    # as in a job in the background, whose processes ignore the terminal's signals
    command = ["sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, program]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stderr=subprocess.DEVNULL)
    numbers = [tmp_path / f"{rank}.pid" for rank in (0, 1)]
    wait_until(lambda: all(path.exists() and path.read_text() for path in numbers))
    started = [Path("/proc") / path.read_text() for path in numbers]
    process.send_signal(how)
    process.wait(60)
    wait_until(lambda: not any(is_running(folder) for folder in started))


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def is_running(folder: Path) -> bool:
    """Whether a process still does something; nobody may have collected the remains of one that ended."""
    with contextlib.suppress(OSError):
        return ") Z" not in (folder / "stat").read_text(encoding="utf-8")
    return False


@pytest.mark.parametrize("starter", ["torchrun", "slurm"])
def test_processes_started_by_others_work_together(steady_scan: Scan, tmp_path: Path, starter: str) -> None:
    write_scan(steady_scan, tmp_path / "scan.npz")
    settings = yaml.safe_dump({"refine": LEAST_SQUARES.to_dict()})
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    words = ["-m", "ptycho_torch", "refine", "--data=scan.npz", "--output_dir=out", "--device=cpu", "--quiet"]
    words.append("--config=settings.yaml")
    usual = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    usual["OMP_NUM_THREADS"] = "1"
    if starter == "torchrun":
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words]
        started = [subprocess.Popen(command, cwd=tmp_path, env=usual, stdout=subprocess.PIPE, text=True)]
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        job = {"NTASKS": 2, "NTASKS_PER_NODE": 2, "NNODES": 1, "NODEID": 0, "JOB_ID": 7, "JOB_NAME": "scan"}
        started = []
        for task in range(2):
            variables = {f"SLURM_{name}": str(value) for name, value in job.items()}
            variables |= {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}
            variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            command = [sys.executable, *words, "--devices=2"]
            started.append(
                subprocess.Popen(command, cwd=tmp_path, env=usual | variables, stdout=subprocess.PIPE, text=True)
            )
    outputs = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started)
    assert sum("verdict: " in line for output in outputs for line in output.splitlines()) == 1
    with np.load(tmp_path / "out" / "object.npz") as written:
        wanted = refine_scan(read_npz(tmp_path / "scan.npz"), LEAST_SQUARES, device="cpu").solution.canvas.pixels
        assert_same(written["object"], wanted)


def test_an_array_that_is_mapped_from_a_file_is_sent(tmp_path: Path) -> None:
    values = np.arange(2.0**18)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert launch(find_ranks(TrainerSettings(devices=2)), np.sum, mapped) == values.sum()
