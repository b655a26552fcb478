"""Networks in production, by the commands of a beamline: from a training to the network that all use, and back."""

from __future__ import annotations

import json
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


def test_model_comparison_workflow(beamline: Path, make_scan: Callable[..., Scan], call: Call) -> None:
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

    _, _, complaint = call("models", "compare", "lab", "lab@candidate", "--data=seen.npz", "--output_dir=own", *MACHINE)
    assert complaint.count("was trained on seen.npz") == 2
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
