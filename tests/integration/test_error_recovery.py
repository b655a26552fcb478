"""Recovery from failures of a training, each provoked for real."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_options import SHORT

from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.training import fit as fitting
from ptycho_torch.training.checkpointing import PREVIOUS_NAME
from ptycho_torch.training.loop import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SLOW = pytest.mark.slow
SETTINGS = (*SHORT, "--threads=1", "--warmup_steps=0")
STEPS = 24
EVERY = "--checkpoint_steps=1"
# sets a limit once everything is loaded, then trains
LIMITED = """
import resource, sys
from ptycho_torch.cli.main import main
kind, extra, first, second = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(), sys.argv[4].split()
assert main(first) == 0
if kind == "memory":
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, used + extra))
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (extra, extra))
sys.exit(main(second))
"""


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    settings = SimulationSettings(
        object="dead_leaves", object_px=64, patch_px=32, probe="gaussian", probe_diameter_px=8, step_px=4, photons=1e6
    )
    write_scan(simulate_scan(settings), path)
    return path


def train(scan_path: Path, folder: Path, *words: str, steps: int = STEPS) -> int:
    command = ["train", f"--data={scan_path}", f"--output_dir={folder}", f"--steps={steps}", *SETTINGS, *words]
    return main(command)


@pytest.fixture(scope="module")
def whole(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert train(scan_path, folder) == 0
    return folder


@pytest.fixture(scope="module")
def half(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training to an earlier step, with the settings of the longer one."""
    folder = tmp_path_factory.mktemp("half") / "out"
    assert train(scan_path, folder, EVERY, steps=STEPS // 2) == 0
    return folder


def read_checkpoint(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / name, weights_only=True)
    return content


def assert_same_network(folder: Path, wanted: Path) -> None:
    found, other = read_checkpoint(folder), read_checkpoint(wanted)
    assert found["global_step"] == other["global_step"]
    for name, value in other["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name


def complain(capsys: pytest.CaptureFixture[str]) -> str:
    """The complaint of a command: one line on standard error."""
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    return message


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ptycho_torch", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def run_limited(kind: str, extra: int, first: list[str], second: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, kind, str(extra), " ".join(first), " ".join(second)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@SLOW  # the limit at which a batch does not fit, but a group does, is searched for
@pytest.mark.timeout(1200)
def test_oom_recovery(tmp_path: Path) -> None:
    """A batch that does not fit into memory is computed in parts, with the same gradient, and the run says so."""
    scan = tmp_path / "scan.npz"
    write_scan(simulate_scan(SimulationSettings(object_px=96, patch_px=32, step_px=4, photons=1e5)), scan)
    words = ["train", f"--data={scan}", "--steps=1", *SETTINGS[:3], "--depth=1", "--bootstrap_epochs=0", "--width=32"]
    batch = ["--group_size=8", "--batch_size=64", "--warmup_steps=0"]
    assert main([*words, f"--output_dir={tmp_path / 'free'}", *batch]) == 0
    first = [*words, f"--output_dir={tmp_path / 'first'}", "--batch_size=1"]
    again = [*words, f"--output_dir={tmp_path / 'short'}", *batch, "--overwrite"]
    first += ["--overwrite"]
    for extra in range(12, 76, 4):
        ended = run_limited("memory", extra * 2**20, first, again)
        if ended.returncode == 0:
            break
        assert ended.stderr.splitlines()[-1].startswith("ptycho-torch train: memory is exhausted"), ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert "parts of at most" in ended.stderr
    assert "Traceback" not in ended.stderr
    free, short = (read_checkpoint(tmp_path / name) for name in ("free", "short"))
    for name, moment in free["optimizer_states"][0]["state"].items():
        found = short["optimizer_states"][0]["state"][name]["exp_avg"]
        torch.testing.assert_close(
            found, moment["exp_avg"], rtol=1e-3, atol=1e-4 * float(moment["exp_avg"].abs().max())
        )


def train_with_gradients(scan_path: Path, folder: Path, poisoned: dict[int, float]) -> None:
    """Train with some gradients that are not finite, as a defective device computes them."""
    from ptycho_torch.formats import read_npz  # noqa: PLC0415 - only needed here

    scan = read_npz(scan_path)
    assert scan.probe is not None
    experiment = Experiment(
        model=ModelSettings(width=4, depth=1),
        training=TrainingSettings(group_size=4, batch_size=2, warmup_steps=0, steps=STEPS),
    )
    data, module = fitting.prepare([scan], [scan.probe], experiment, torch.device("cpu"))
    weight = next(module.generator.parameters())
    weight.register_hook(lambda gradient: gradient * poisoned.get(module.global_step, 1.0))
    trainer = fitting.build_trainer(data, experiment, folder, device=torch.device("cpu"), track=False, bar=False)
    run(trainer, module, data, folder / "checkpoints")


def test_nan_inf_gradient_recovery(scan_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A step without a finite gradient is skipped; many of them, and a loss that is not finite, end the training."""
    train_with_gradients(scan_path, tmp_path / "few", {3: np.nan, 7: np.inf})
    assert [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()] == [
        "the gradient is not finite at step 3, which is skipped",
        "the gradient is not finite at step 7, which is skipped",
    ]
    assert all(torch.isfinite(value).all() for value in read_checkpoint(tmp_path / "few")["state_dict"].values())
    with pytest.raises(DivergenceError, match="10 steps"):
        train_with_gradients(scan_path, tmp_path / "many", dict.fromkeys(range(4, 100), np.nan))


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[len(content) // 3] ^= 4
    cut = {"empty": 0, "half": len(content) // 2, "end": len(content) - 1}.get(kind, len(content))
    # the file may be linked under another name
    path.unlink()
    path.write_bytes(content[:cut])


@pytest.mark.parametrize("kind", ["empty", "half", "end", "flipped"])
def test_checkpoint_corruption_recovery(
    half: Path, scan_path: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A damaged checkpoint is named, and the training goes on from the newest whole one to the same result."""
    folder = tmp_path / "out"
    shutil.copytree(half, folder)
    for name in ("last.ckpt", PREVIOUS_NAME):
        damage(folder / "checkpoints" / name, kind)
    assert train(scan_path, folder, "--resume") == 0
    said = caplog.text
    assert f"{folder / 'checkpoints' / 'last.ckpt'}: is not a readable checkpoint" in said
    assert f"goes on from {folder / 'checkpoints' / 'best-checkpoint.ckpt'}" in said
    assert_same_network(folder, whole)
    assert (folder / "checkpoints" / "last.ckpt.damaged").exists()


def test_a_training_without_any_whole_checkpoint_is_left_alone(
    half: Path, scan_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(half, folder)
    for path in (folder / "checkpoints").iterdir():
        damage(path, "half")
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    assert train(scan_path, folder, "--resume") == 2
    assert "last.ckpt: is not a readable checkpoint" in complain(capsys)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


def test_network_failure_recovery(
    scan_path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracking server that does not answer costs one warning."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert train(scan_path, tmp_path / "out", "--tracker=csv+mlflow", "--mlflow_uri=http://127.0.0.1:9") == 0
    assert caplog.text.count("tracker mlflow failed") == 1
    assert "Traceback" not in caplog.text
    assert_same_network(tmp_path / "out", whole)


def read_job(queue: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["jobs", "show", "1", queue, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_job_retry_logic(
    scan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that fails is tried again, becomes a dead letter, and succeeds once its input is there."""
    monkeypatch.chdir(tmp_path)
    queue, work = "--queue=jobs.sqlite", ["--until_empty", "--poll_s=0.05", "--quiet"]
    words = ["convert", "scan.npz", "--output=new.npz", "--quiet"]
    assert main(["jobs", "add", queue, "--attempts=2", "--backoff_s=0", "--", *words]) == 0
    assert main(["jobs", "run", queue, *work]) == 3
    job = read_job(queue, capsys)
    assert (job["state"], job["attempts"]) == ("dead", 2)
    assert "scan.npz: the file or folder does not exist" in json.dumps(job)
    shutil.copy(scan_path, "scan.npz")
    assert main(["jobs", "retry", "1", queue]) == 0
    assert main(["jobs", "run", queue, *work]) == 0
    assert read_job(queue, capsys)["state"] == "done"
    assert Path("new.npz").exists()


@pytest.mark.parametrize("extra", [20_000, pytest.param(2_000, marks=SLOW)], ids=["checkpoint", "table"])
def test_disk_space_exhaustion(scan_path: Path, half: Path, whole: Path, tmp_path: Path, extra: int) -> None:
    """A full disk ends a training in one line; what it had written is whole and is gone on with."""
    folder = tmp_path / "out"
    shutil.copytree(half, folder)
    before = read_checkpoint(folder)
    words = ["train", f"--data={scan_path}", *SETTINGS]
    first = [*words, f"--output_dir={tmp_path / 'first'}", "--steps=1"]
    again = [*words, f"--output_dir={folder}", f"--steps={STEPS}", EVERY, "--resume"]
    ended = run_limited("file", extra, first, again)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert os.strerror(errno.EFBIG) in line
    assert read_checkpoint(folder)["global_step"] >= before["global_step"]
    assert train(scan_path, folder, "--resume") == 0
    assert_same_network(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGKILL, marks=SLOW)])
def test_interrupted_training_resume(scan_path: Path, whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends a training after a step that is saved, and it is resumed to the same result."""
    folder = tmp_path / "out"
    process = start("train", f"--data={scan_path}", f"--output_dir={folder}", "--steps=100000", EVERY, *SETTINGS)
    while not (folder / "checkpoints" / PREVIOUS_NAME).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert "Traceback" not in said
    step = read_checkpoint(folder)["global_step"]
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert f"training was ended by {number.name} after step {step}" in said
        assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    wanted = tmp_path / "wanted"
    for place, words in ((folder, ["--resume"]), (wanted, [])):
        assert train(scan_path, place, *words, steps=step + 6) == 0
    assert_same_network(folder, wanted)


def test_a_training_that_was_killed_before_it_saved_anything_starts_again(
    scan_path: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out"
    process = start("train", f"--data={scan_path}", f"--output_dir={folder}", f"--steps={STEPS}", *SETTINGS)
    while not (folder / "run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    assert train(scan_path, folder, "--resume") == 0
    assert "nothing was saved yet" in caplog.text
    assert_same_network(folder, whole)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("--batch_size=0", "--batch_size"),
        ("--learning_rate=nan", "--learning_rate"),
        ("--precision=64", "--precision"),
        ("--epochs=1e400", "--epochs"),
        ("--unknown=1", "--unknown"),
    ],
)
def test_invalid_configuration_recovery(
    scan_path: Path, half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, reason: str
) -> None:
    """An invalid setting is named before anything is written, and an earlier result stays."""
    folder = tmp_path / "out"
    shutil.copytree(half, folder)
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    try:
        code = train(scan_path, folder, word, "--overwrite")
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert reason in complain(capsys)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


def change_checkpoint(path: Path, kind: str) -> None:
    """Change values in a checkpoint whose checksums are right."""
    content = torch.load(path, weights_only=True)
    state = content["optimizer_states"][0]["state"]
    loop = content["loops"]["fit_loop"]
    if kind == "moment":
        state[0]["exp_avg"] = torch.full_like(state[0]["exp_avg"], np.nan)
    elif kind == "sparse":
        state[1]["exp_avg"] = state[1]["exp_avg"].to_sparse()
    elif kind == "meta":
        name = next(iter(content["state_dict"]))
        content["state_dict"][name] = content["state_dict"][name].to("meta")
    elif kind == "repeated":
        state[0]["step"] = torch.zeros(1).expand(2**40)
    elif kind == "loop":
        loop["epoch_loop.batch_progress"]["current"]["completed"] = -3
    elif kind == "step":
        content["global_step"] += 5
    elif kind == "text":
        loop["epoch_progress"] = "none"
    elif kind == "path":
        callback = next(values for values in content["callbacks"].values() if "best_model_path" in values)
        callback["best_model_path"] = callback["kth_best_model_path"] = str(path.parent.parent / "run.json")
    else:
        del content[kind]
    path.unlink()
    torch.save(content, path)


@pytest.mark.parametrize(
    "kind", ["moment", "sparse", "meta", "repeated", "loop", "step", "text", "path", "optimizer_states", "loops"]
)
def test_model_load_failure_recovery(
    scan_path: Path, half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A checkpoint with impossible values is refused in one line, and its folder stays as it was."""
    folder = tmp_path / "out"
    shutil.copytree(half, folder)
    for path in (folder / "checkpoints").iterdir():
        change_checkpoint(path, kind)
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert train(scan_path, folder, "--resume") == 2
    assert "last.ckpt: " in complain(capsys)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == names


@pytest.fixture(scope="module")
def large_scan(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a scan that is too large to be held in memory, so that it is read while it is trained on."""
    with np.load(scan_path) as stored:
        arrays = dict(stored)
    copies = 2**14 // len(arrays["diff3d"]) + 2
    for name, values in arrays.items():
        if values.ndim and len(values) == len(arrays["diff3d"]):
            arrays[name] = np.concatenate([values] * copies)
    path = tmp_path_factory.mktemp("large") / "scan.npz"
    np.savez(path, **arrays)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("what", "workers"), [("cut", 0), pytest.param("cut", 1, marks=SLOW), pytest.param("changed", 0, marks=SLOW)]
)
def test_training_loop_exception_handling(large_scan: bytes, tmp_path: Path, what: str, workers: int) -> None:
    """Data that change under a training end it in one line; with the data back, it goes on to the same result."""
    data, folder = tmp_path / "scan.npz", tmp_path / "out"
    data.write_bytes(large_scan)
    stamp = data.stat()
    process = start(
        "train",
        f"--data={data}",
        f"--output_dir={folder}",
        "--steps=100000",
        "--groups_per_epoch=64",
        "--validation_share=0.001",
        EVERY,
        f"--workers={workers}",
        *SETTINGS,
    )
    while not (folder / "checkpoints" / PREVIOUS_NAME).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    if what == "cut":
        os.truncate(data, 1000)
    else:
        with data.open("r+b") as file:
            file.seek(len(large_scan) // 2)
            file.write(bytes(range(256)))
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 2, said
    assert said.count("\n") == 1, said
    assert str(data) in said
    found = read_checkpoint(folder)
    assert all(torch.isfinite(value).all() for value in found["state_dict"].values())
    data.write_bytes(large_scan)
    os.utime(data, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    more = ("--groups_per_epoch=64", "--validation_share=0.001")
    assert train(data, folder, "--resume", *more, steps=found["global_step"] + 2) == 0
    assert read_checkpoint(folder)["global_step"] == found["global_step"] + 2
