from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_networks import simulate_small, write_network

from ptycho_torch.cli.main import main
from ptycho_torch.formats.npz import write_scan

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan, and a registry of a good network and a bad one, which tests copy."""
    folder = tmp_path_factory.mktemp("kept")
    write_scan(simulate_small(), folder / "scan.npz")
    for seed, scale in ((1, 0.01), (2, 0.5)):
        network = write_network(folder, seed, scale)
        call_main("models", "register", "lab", str(network), f"--registry={folder / 'mlflow.db'}")
    return folder


def call_main(*words: str) -> int:
    """The exit code of a command, also if its words are not understood."""
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def run(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an action in a copy of the folder; returns exit code and both outputs."""
    monkeypatch.chdir(shutil.copytree(kept, tmp_path / "work"))

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = call_main("models", *words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_versions_are_listed_as_a_table_and_as_json(run: Run) -> None:
    code, table, _ = run("list")
    assert code == 0
    heads, first, second = table.splitlines()
    assert heads.split()[:4] == ["model", "version", "aliases", "registered"]
    assert (first.split()[:2], second.split()[:3]) == (["lab", "1"], ["lab", "2", "candidate"])
    _, text, _ = run("list", "lab", "--json")
    assert [version["version"] for version in json.loads(text)["versions"]] == [1, 2]


def test_a_version_is_shown_with_its_checksums(run: Run) -> None:
    code, text, _ = run("show", "lab/2")
    assert code == 0
    assert "wts.h5.zip" in text
    _, shown, _ = run("show", "lab/2", "--json")
    assert json.loads(shown)["aliases"] == ["candidate"]


def test_a_bad_network_is_compared_and_not_promoted_unless_forced(run: Run) -> None:
    assert run("promote", "lab/1")[:2] == (0, "in production: lab/1\n")
    code, text, _ = run("compare", "lab", "lab/2", "--data", "scan.npz", "--device", "cpu", "--quiet")
    assert code == 0
    assert "verdict: lab/2 is worse than lab/1: its error is " in text
    found = json.loads(Path("comparison_outputs/comparison.json").read_text())
    first, second = found["scans"][0]["figures"]
    assert first["complex_error"] < second["complex_error"]
    assert list(Path("comparison_outputs").glob("001_*.png"))
    code, _, complaint = run("promote", "lab", "--quiet")
    assert (code, complaint.count("\n")) == (2, 1)
    assert "before it is compared with lab/1" in complaint
    code, _, complaint = run("promote", "lab", "--data", "scan.npz", "--device", "cpu", "--quiet")
    assert (code, complaint.count("\n")) == (2, 1)
    assert "lab/2: is not promoted; lab/2 is worse than lab/1" in complaint
    assert "--force" in complaint
    assert run("promote", "lab", "--force")[:2] == (0, "in production: lab/2, before: lab/1\n")
    assert run("roll-back", "lab")[:2] == (0, "in production: lab/1, before: lab/2\n")
    code, _, complaint = run("roll-back", "lab")
    assert (code, complaint.count("\n")) == (2, 1)


def test_a_better_network_is_promoted(run: Run) -> None:
    assert run("promote", "lab/2")[0] == 0
    code, text, _ = run("promote", "lab/1", "--data", "scan.npz", "--device", "cpu", "--quiet", "--json")
    assert (code, json.loads(text)["production"]["aliases"]) == (0, ["production"])
    assert json.loads(Path("promotion_outputs/comparison.json").read_text())["outcome"] == "better"


def test_a_network_does_not_differ_from_itself(run: Run) -> None:
    code, text, _ = run("compare", "lab/1", "lab/1", "--data", "scan.npz", "--device", "cpu", "--quiet", "--json")
    assert code == 0
    assert json.loads(text)["outcome"] == "no different"


def test_without_a_true_object_the_patterns_decide(run: Run) -> None:
    scan = simulate_small(seed=7)
    scan = scan.take(slice(None)) if scan.truth is None else type(scan)(scan.counts, scan.positions_px, scan.probe)
    write_scan(scan, Path("measured.npz"))
    code, text, _ = run("compare", "lab/1", "lab/2", "--data", "measured.npz", "--device", "cpu", "--quiet", "--json")
    assert code == 0
    found = json.loads(text)
    assert (found["scans"][0]["measure"], found["outcome"]) == ("R", "worse")


def test_a_damaged_version_fails_its_check_and_is_not_promoted(run: Run) -> None:
    for path in Path("mlmodels").rglob("wts.h5.zip"):
        path.write_bytes(path.read_bytes()[:-1])
    code, text, _ = run("check", "lab/1")
    assert code == 1
    assert "FAILED  files" in text
    assert "lab/1: NOT healthy" in text
    code, text, _ = run("check", "lab/1", "--json")
    assert (code, json.loads(text)["passed"]) == (1, False)
    code, _, complaint = run("promote", "lab/1", "--force")
    assert (code, complaint.count("\n")) == (2, 1)
    assert "its health check failed" in complaint


def test_infer_uses_the_version_in_production(run: Run) -> None:
    assert run("promote", "lab/1")[0] == 0
    words = "infer --model_path models:/lab@production --data scan.npz --output_dir found --no_polish --device cpu"
    assert call_main(*words.split(), "--quiet") in (0, 3)
    [entry] = json.loads(Path("found/run.json").read_text())["inputs"][:1]
    assert Path(entry["path"]).is_relative_to(Path("mlmodels/lab").absolute())
    metrics = json.loads(Path("found/metrics.json").read_text())["network"]
    run("compare", "lab/1", "lab/2", "--data", "scan.npz", "--device", "cpu", "--quiet")
    compared = json.loads(Path("comparison_outputs/comparison.json").read_text())["scans"][0]["figures"][0]
    assert compared == pytest.approx(metrics), "a comparison has other figures than a reconstruction"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["list", "--registry", "http://127.0.0.1:9", "--wait_s", "1"], "the server does not answer"),
        (["show", "lab@nothing"], "has the versions 1, 2 and the aliases candidate"),
        (["compare", "lab", "lab/1"], "--data is missing"),
        (["check", "lab/1", "--tolerance", "2"], "--tolerance is 2.0; it must be at most 1"),
        (["register", "a b", "network1.zip"], "cannot be the name of a model"),
        (["register", "lab", "nowhere"], "nowhere: the file does not exist"),
        (["register", "lab", "scan.npz"], "scan.npz"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run: Run, words: list[str], complaint: str) -> None:
    code, _, told = run(*words)
    assert (code, told.count("\n")) == (2, 1)
    assert complaint in told
    assert told.startswith("ptycho-torch models: ")
