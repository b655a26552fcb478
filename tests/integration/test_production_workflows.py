"""Networks in production, by the commands of a beamline: from a training to the network that all use, and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.data.scan import Scan
from ptycho_torch.export.read import check_export
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.models.bundle import open_network
from ptycho_torch.models.checkpoint import TrainedNetwork

pytestmark = pytest.mark.production

Call = Callable[..., tuple[int, str, str]]
MACHINE = ("--device=cpu", "--threads=1", "--quiet")


@pytest.fixture
def beamline(integration_tmp_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which people work; its registry is `mlflow.db`."""
    monkeypatch.chdir(integration_tmp_dir)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return integration_tmp_dir


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, which takes seconds less; returns exit code and both outputs."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def ask(call: Call, *words: object) -> Any:
    """What an action of `models` prints as JSON."""
    code, text, complaint = call("models", *words, "--json")
    assert code == 0, complaint
    return json.loads(text)


def test_model_lifecycle_workflow(
    beamline: Path, trained_folder: Path, trained_network: TrainedNetwork, scan_file: Path, call: Call
) -> None:
    """Train, register, export what was registered, and check both; a damaged file is found before it is used."""
    registered = ask(call, "register", "lab", trained_folder)
    assert (registered["version"], registered["aliases"]) == (1, ["candidate"])
    loss = json.loads((trained_folder / "run.json").read_text())["results"]["validation_loss"]
    assert registered["metrics"]["validation_loss"] == loss
    assert registered["tags"]["steps"] == str(trained_network.steps)
    assert call("models", "promote", "lab")[:2] == (0, "in production: lab/1\n")

    network = Path(ask(call, "show", "lab")["folder"]) / "wts.h5.zip"
    kept = open_network(network).generator.state_dict()
    for name, value in trained_network.generator.state_dict().items():
        np.testing.assert_array_equal(kept[name].numpy(), value.numpy(), err_msg=name)
    assert call("export", network, "--output=handed_on", "--quiet")[0] == 0
    assert max(check_export(beamline / "handed_on").values()) < 1e-4
    # what was handed on is the same network, which has a version already
    assert ask(call, "register", "lab", "handed_on")["version"] == 1

    code, text, _ = call("models", "check", "lab@production")
    assert code == 0
    findings = [line.split()[:2] for line in text.splitlines()[:4]]
    assert findings == [["passed", name] for name in ("files", "network", "outputs", "figures")]
    words = ("infer", "--data", scan_file, "--no_polish", *MACHINE)
    for source, folder in (("models:/lab@production", "by_name"), (trained_folder, "by_path")):
        assert call(*words, "--model_path", source, "--output_dir", folder)[0] in (0, 3)
    first, second = (pt.read_result(beamline / folder).pixels for folder in ("by_name", "by_path"))
    np.testing.assert_array_equal(first, second)

    content = bytearray(network.read_bytes())
    content[len(content) // 3] ^= 8
    network.write_bytes(content)
    code, text, _ = call("models", "check", "lab@production")
    assert code == 1
    assert "FAILED  files" in text
    code, _, complaint = call(*words, "--model_path", "models:/lab@production", "--output_dir", "damaged")
    assert (code, "was changed" in complaint) == (2, True)
    assert not (beamline / "damaged").exists()


@pytest.mark.slow
def test_model_comparison_workflow(
    beamline: Path, make_scan: Callable[..., Scan], call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Train two, compare them on scans that neither has seen, promote the better one, and roll back."""
    place: dict[str, Any] = {"probe": "zone_plate", "probe_diameter_px": 12.0, "step_px": 4.5}
    write_scan(make_scan(object_px=112, **place), beamline / "seen.npz")
    (beamline / "unseen").mkdir()
    for seed in (4, 5):
        write_scan(make_scan(object_px=80, seed=seed, **place), beamline / "unseen" / f"{seed}.npz")
    training = ("--group_size=4", "--batch_size=8", "--width=8", "--depth=2", "--bootstrap_epochs=2", *MACHINE)
    for name, steps in (("short", 2), ("long", 200)):
        code, _, complaint = call("train", "--data=seen.npz", "--output_dir", name, f"--steps={steps}", *training)
        assert code == 0, complaint
        assert ask(call, "register", "lab", name)["tags"]["data"].startswith("seen.npz ")
    assert call("models", "promote", "lab/1")[0] == 0

    assert call("models", "compare", "lab", "lab@candidate", "--data=seen.npz", "--output_dir=own", *MACHINE)[0] == 0
    assert caplog.text.count("was trained on seen.npz") == 2
    found = ask(call, "compare", "lab", "lab@candidate", "--data=unseen", *MACHINE)
    assert found["models"] == ["lab/1", "lab/2"]
    assert (found["outcome"], found["units"]) == ("better", "32 parts of scans")
    for scan in found["scans"]:
        short, long = (figures["complex_error"] for figures in scan["figures"])
        assert long < short
    assert len(list((beamline / "comparison_outputs").glob("*.png"))) == 2

    code, text, _ = call("models", "promote", "lab", "--data=unseen", *MACHINE)
    assert code == 0
    assert text == f"verdict: {found['verdict']}\nin production: lab/2, before: lab/1\n"
    code, _, complaint = call("models", "promote", "lab/1", "--data=unseen", "--output_dir=again", *MACHINE)
    assert code == 2
    assert "lab/1 is worse than lab/2" in complaint
    assert list_aliases(call) == [["previous"], ["production"]]

    assert call("models", "roll-back", "lab")[:2] == (0, "in production: lab/1, before: lab/2\n")
    assert list_aliases(call) == [["production"], []]


def list_aliases(call: Call) -> list[list[str]]:
    """The aliases of all versions, by number."""
    return [version["aliases"] for version in ask(call, "list")["versions"]]


NETWORK = ("--group_size=4", "--batch_size=8", "--width=8", "--depth=2", "--bootstrap_epochs=0")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_retraining_workflow(beamline: Path, make_scan: Callable[..., Scan], call: Call) -> None:
    """The optics change: the drift is found, a retraining is queued and run, and the new network is registered."""
    optics: dict[str, Any] = {"object_px": 96, "probe_diameter_px": 12.0, "step_px": 6.0, "photons": 1e5}
    for folder, seeds, probe in (
        ("before", (1, 2), "gaussian"),
        ("later", (3,), "gaussian"),
        ("after", (4, 5), "zone_plate"),
        ("unseen", (6,), "zone_plate"),
    ):
        (beamline / folder).mkdir()
        for seed in seeds:
            write_scan(make_scan(seed=seed, probe=probe, **optics), beamline / folder / f"{seed}.npz")
    training = ("--steps=60", *NETWORK, *MACHINE)
    code, _, complaint = call("train", "--data=before", "--output_dir=first", *training)
    assert code == 0, complaint
    ask(call, "register", "lab", "first")
    assert call("models", "promote", "lab/1")[0] == 0

    network = "--model_path=models:/lab@production"
    assert call("drift", "fit", network, "--data=before", *MACHINE)[0] == 0
    retraining = f"train --data after --output_dir retrained {' '.join(training)}"
    check = ("drift", "check", network, f"--add_job={retraining}", *MACHINE)
    assert call(*check, "--data=later")[0] == 0
    assert not (beamline / "jobs.sqlite").exists()
    code, text, _ = call(*check, "--data=after", "--json")
    found = json.loads(text)
    assert (code, found["job"]) == (4, "job 1: added")
    assert {scan["result"] for scan in found["scans"]} == {"drift"}

    assert call("jobs", "add", "models", "register", "lab", "retrained")[0] == 0
    code, _, complaint = call("jobs", "run", "--until_empty", "--poll_s=0.1")
    assert code == 0, complaint
    assert [job["state"] for job in json.loads(call("jobs", "list", "--json")[1])["jobs"]] == ["done", "done"]
    assert list_aliases(call) == [["production"], ["candidate"]]
    code, _, complaint = call("models", "promote", "lab", "--data=unseen", *MACHINE)
    assert code == 0, complaint
    assert list_aliases(call) == [["previous"], ["production"]]

    code, _, complaint = call("drift", "check", network, "--data=unseen", *MACHINE)
    assert (code, "is the reference of another network" in complaint) == (2, True)
    assert call("drift", "fit", network, "--data=after", "--overwrite", *MACHINE)[0] == 0
    assert call("drift", "check", network, "--data=unseen", *MACHINE)[0] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_scheduled_training_workflow(
    beamline: Path, scan_file: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of every day: its worker is killed, another one goes on with it, and the next day is planned."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    words = (
        "train",
        f"--data={scan_file}",
        "--output_dir=day-{run}",
        "--steps=60",
        "--checkpoint_steps=4",
        *NETWORK,
        *MACHINE,
    )
    assert call("jobs", "add", "--at=2026-01-01T22:00", "--every=1d", *words)[:2] == (0, "job 1: added\n")
    patience = ("--lease_s=2", "--poll_s=0.1", "--grace_s=1")
    worker = subprocess.Popen(
        [sys.executable, "-m", "ptycho_torch", "jobs", "run", *patience],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        queue = Queue(beamline / "jobs.sqlite")
        wait_until(lambda: (beamline / "day-1" / "checkpoints" / "last.ckpt").exists())
        child = int(str(queue.find(1).process).split()[1])
        os.kill(child, signal.SIGSTOP)
    finally:
        worker.kill()
        worker.wait()
    assert json.loads((beamline / "day-1" / "run.json").read_text())["status"] == "running"

    code, _, complaint = call("jobs", "run", "--until_empty", *patience)
    assert code == 0, complaint
    job, following = queue.list_jobs()
    assert (job.state, job.attempts, job.exit_code) == ("done", 2, 0)
    assert "--resume" in queue.find_log(1).read_text()
    record = json.loads((beamline / "day-1" / "run.json").read_text())
    assert record["status"] == "finished"
    assert open_network(beamline / "day-1" / "wts.h5.zip").steps > 0
    # planned for 22:00 of the next day that comes, not for all days that have passed
    assert (following.state, following.run) == ("waiting", 2)
    assert 0 < following.planned - time.time() <= 86_400
    assert (following.planned - job.planned) % 86_400 == 0
    assert call("jobs", "run", "--until_empty", *patience)[0] == 0
    assert not (beamline / "day-2").exists()
    assert call("jobs", "cancel", following.number)[:2] == (0, f"job {following.number}: cancelled\n")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened; the test has a limit of its time."""
    while not condition():
        time.sleep(0.005)
