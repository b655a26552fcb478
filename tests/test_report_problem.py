"""The bundle of `report-problem`: it describes a run, and neither contains data nor tells who made it where."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.runtime.redaction import Redactor

# users, computer, folders and file, each in one place or several
SECRETS = ("asmith", "alice", "beamtime4711", "lung_of_bob", "walk_of_eve", "node17", "cluster.example", "secret_dir")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield make_bundle(tmp_path_factory.mktemp("home"), monkeypatch)


def make_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setenv("LOGNAME", "asmith")
    monkeypatch.setenv("SLURM_NODELIST", "node17")
    monkeypatch.setattr("platform.node", lambda: "node17.cluster.example")
    folder = tmp_path / "alice" / "beamtime4711"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    settings = pt.SimulationSettings(object_px=64, patch_px=32, probe_diameter_px=8, step_px=8, photons=1e5, seed=3)
    scan = pt.simulate_scan(settings)
    pt.write_scan(scan, folder / "lung_of_bob.npz")
    np.savez(folder / "walk_of_eve (2).npz", xy=scan.positions_px)
    made = folder / "secret_dir"
    # by a path in words of the options, by relative ones, and with a warning in the log
    words = ["--data", str(folder / "lung_of_bob.npz"), "--output_dir", "secret_dir", "--units", "amplitude"]
    words += ["--positions", "walk_of_eve (2).npz:xy", "--position_unit", "px"]
    assert main(["refine", *words, "--epochs", "2", "--held_out", "0", "--threads", "1"]) in (0, 3)
    (made / "doctor.json").write_text(json.dumps({"asmith says": f"look at {folder}\\x on node17", "score": 0.5}))
    with (made / "log.txt").open("a") as log:
        log.write(
            "error: C:\\Users\\alice\\My Data\\x.npz, ~asmith/x, mailto alice@cluster.example, 10.0.0.17 failed\n"
        )
    assert main(["report-problem", "secret_dir", "--output", "problem.zip"]) == 0
    with zipfile.ZipFile("problem.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_bundle_describes_the_run(bundle: dict[str, bytes]) -> None:
    run, settings = json.loads(bundle["run.json"]), json.loads(bundle["settings.json"])
    assert (run["command"], run["status"]) == ("refine", "finished")
    assert run["versions"]["numpy"] == np.__version__
    assert settings["refine"]["epochs"] == 2
    assert settings["data"]["units"] == "amplitude"
    assert 0 < json.loads(bundle["metrics.json"])["R"] < 1
    assert len(json.loads(bundle["metrics.json"])["R_by_epoch"]) == 2
    assert json.loads(bundle["doctor.json"])["score"] == 0.5
    assert "info: " in bundle["log.txt"].decode()
    assert {"pictures/recon_amp.png", "pictures/recon_phase.png", "pictures/fit.png"} <= set(bundle)
    index = bundle["README.txt"].decode()
    assert all(name in index for name in bundle if name != "README.txt")


def test_a_bundle_tells_no_paths_and_no_names(bundle: dict[str, bytes]) -> None:
    for name, content in bundle.items():
        for secret in SECRETS:
            assert secret.encode() not in content.lower(), f"{secret} is in {name}"
        if name.endswith(".png"):
            continue
        text = content.decode()
        if name != "README.txt":
            assert not re.search(r"[\w>][/\\][\w<]|(?:^|[\s\"'=])[/\\~][\w<]|\b[A-Z]:\\", text), name
        assert not re.search(r"\S+@\S+|10\.0\.0\.17|tmp", text), name


def test_a_bundle_contains_no_data_and_small_pictures(bundle: dict[str, bytes], tmp_path: Path) -> None:
    assert not [name for name in bundle if name.endswith((".npz", ".npy", ".h5", ".ckpt"))]
    # the name of the scan is drawn into it
    assert "pictures/comparison.png" not in bundle
    for name, content in bundle.items():
        if name.endswith(".png"):
            (tmp_path / "x.png").write_bytes(content)
            with Image.open(tmp_path / "x.png") as picture:
                assert max(picture.size) <= 640
                assert not picture.info
    assert sum(map(len, bundle.values())) < 2_000_000


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the folder of a run must be named"),
        (["nothing"], "is not a folder"),
        (["empty"], "run.json: the file does not exist"),
        (["odd"], "record of a run"),
        (["list"], "record of a run"),
        (["metrics"], "JSON"),
        (["metrics", "--output", "x.tar"], "must end in .zip"),
        (["metrics", "--output", "there.zip"], "already exists"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"odd": "{", "list": "[1]", "metrics": "{}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    (tmp_path / "metrics" / "metrics.json").write_text("[" * 10_000)
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.zip").touch()
    assert main(["report-problem", *words]) == 2
    [error] = capsys.readouterr().err.strip().splitlines()
    assert told in error
    assert not (tmp_path / "problem.zip").exists()


def test_the_error_that_ended_a_run_is_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pt.SimulationSettings(object_px=64, patch_px=32, probe_diameter_px=8, step_px=8, photons=1e5, seed=3)
    pt.write_scan(pt.simulate_scan(settings), tmp_path / "scan.npz")

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("numpy.savez_compressed", fail)
    words = ["--data", str(tmp_path / "scan.npz"), "--output_dir", str(tmp_path / "out"), "--epochs", "1"]
    assert main(["refine", *words]) == 2
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "MemoryError: no room" in log


def test_words_of_settings_and_units_are_kept() -> None:
    redactor = Redactor({"path": "/alice/refine/epochs/x y.npz"}, known=("refine", "epochs"))
    text = "refine: 20 epochs, 3 photons / px, at 2026-11-29T22:29:41+00:00, ×1.2, Alice, ALICE's, x y.npz"
    assert redactor.clean_text(text) == (
        "refine: 20 epochs, 3 photons / px, at 2026-11-29T22:29:41+00:00, ×1.2, <name>, <name>'s, <name>"
    )
    assert redactor.clean({"alice": ["/a/b", 1, None, True]}) == {"<name>": ["<path>", 1, None, True]}
