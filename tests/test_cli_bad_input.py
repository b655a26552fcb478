"""Whatever a user gets wrong ends in one line, exit code 2, and nothing written over."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings
from ptycho_torch.formats import read_npz
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.training.build import build_module
from ptycho_torch.training.module import ReconstructionModule

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    settings = SimulationSettings(object_px=64, patch_px=32, step_px=6, probe_diameter_px=12, photons=1e5)
    write_scan(simulate_scan(settings), path)
    return path


@pytest.fixture(scope="module")
def workflow_directory(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "sample"
    write_workflow_directory(read_npz(scan_path), folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as Lightning lays it out, of an untrained network for patterns of 32 px."""
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    module: ReconstructionModule = build_module(
        Experiment(model=ModelSettings(width=4, depth=2)),
        [np.ones((1, 32, 32), np.complex64)],
        [1e5],
        [np.ones((32, 32), bool)],
        main_steps=1,
    )
    torch.save({"state_dict": module.state_dict(), "ptycho_torch": module.record, "global_step": 0}, path)
    return path


@pytest.fixture
def complain(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail; returns its one line."""

    def run(*arguments: str | Path) -> str:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        streams = capsys.readouterr()
        assert code == 2, streams
        assert streams.out == ""
        lines = streams.err.splitlines()
        assert len(lines) == 1, streams.err
        assert lines[0].startswith("ptycho-torch")
        return lines[0]

    return run


def _changed(source: Path, target: Path, change: Callable[[Arrays], None]) -> Path:
    with np.load(source) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(target, **arrays)
    return target


def _set(key: str, value: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[key] = value(arrays[key])

    return change


def _drop(key: str) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        del arrays[key]

    return change


BROKEN_SCANS: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "no patterns": (_drop("diff3d"), "must contain patterns"),
    "no positions": (_drop("xcoords"), "'xcoords' is missing"),
    "too few positions": (_set("xcoords", lambda array: array[:-1]), "xcoords and"),
    "fewer patterns": (_set("diff3d", lambda array: array[:-2]), r"positions have shape \(\d+, 2\)"),
    "flat patterns": (_set("diff3d", lambda array: array[0]), r"shape \(32, 32\)"),
    "not square": (_set("diff3d", lambda array: array[:, :, :-2]), r"the probe has shape"),
    "negative amplitudes": (_set("diff3d", lambda array: array - 0.3), "negative"),
    "dark": (_set("diff3d", lambda array: 0 * array), "no photons"),
    "text": (_set("diff3d", lambda array: array.astype(str)), "of type"),
    "lost position": (_set("ycoords", lambda array: np.where(array == array.max(), np.nan, array)), "NaN"),
    "outside": (_set("ycoords", lambda array: array + 40), "outside the object"),
    "far away": (_set("ycoords", lambda array: array * 1e9), "outside the object|check their unit"),
    "probe of another size": (_set("probeGuess", lambda array: array[:, :-2, :-2]), "the probe has shape"),
    "dark probe": (_set("probeGuess", lambda array: 0 * array), "the probe is zero"),
    "mask of another size": (
        lambda arrays: arrays.update(bad_pixels=np.zeros((16, 16), bool)),
        "the mask has shape",
    ),
}


@pytest.mark.parametrize("case", BROKEN_SCANS)
def test_broken_scan(case: str, scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    """[WF-6.4]"""
    change, message = BROKEN_SCANS[case]
    broken = _changed(scan_path, tmp_path / "broken.npz", change)
    output = tmp_path / "output"
    for command in ("refine", "train"):
        line = complain(command, "--data", broken, "--output_dir", output, "--quiet")
        assert re.search(message, line), line
        assert not (output / "object.npz").exists()
        assert not (output / "checkpoints").exists()


def test_training_needs_a_probe(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    broken = _changed(scan_path, tmp_path / "broken.npz", _drop("probeGuess"))
    assert "there is no probe" in complain("train", "--data", broken, "--output_dir", tmp_path / "o", "--quiet")


def test_empty_scan(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    def empty(arrays: Arrays) -> None:
        for key in ("diff3d", "xcoords", "ycoords"):
            arrays[key] = arrays[key][:0]

    path = _changed(scan_path, tmp_path / "empty.npz", empty)
    assert "the scan is empty" in complain("refine", "--data", path, "--output_dir", tmp_path / "o", "--quiet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty; readable are"),
        (b"PK\x03\x04 no more", "not a readable NPZ"),
    ],
)
def test_unreadable_file(content: bytes | None, message: str, tmp_path: Path, complain: Callable[..., str]) -> None:
    path = tmp_path / "scan.npz"
    if content is not None:
        path.write_bytes(content)
    assert message in complain("refine", "--data", path, "--output_dir", tmp_path / "o", "--quiet")


def test_cut_off_file(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    path = tmp_path / "scan.npz"
    path.write_bytes(scan_path.read_bytes()[:-2000])
    assert "not a readable NPZ" in complain("refine", "--data", path, "--output_dir", tmp_path / "o", "--quiet")


def test_folder_without_scans(tmp_path: Path, complain: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "contains no .npz" in complain(
        "train", "--data", tmp_path / "empty", "--output_dir", tmp_path / "o", "--quiet"
    )


def test_folder_of_several_scans_cannot_be_inferred_at_once(
    scan_path: Path, checkpoint_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    for name in ("a.npz", "b.npz"):
        shutil.copy(scan_path, tmp_path / name)
    arguments = ("--checkpoint", checkpoint_path, "--data", tmp_path, "--output_dir", tmp_path / "o", "--quiet")
    assert "2 scans; name one of them" in complain("infer", *arguments)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _claim_too_much(folder: Path) -> None:
    with h5py.File(folder / "diffraction.h5", "r+") as file:
        del file["patterns"]
        file.create_dataset("patterns", (10**6, 1000, 1000), "u2", chunks=(1, 1000, 1000))


def _renumber(folder: Path) -> None:
    with h5py.File(folder / "product.h5", "r+") as file:
        file["probe_position_indexes"][...] += 1000


def _link(folder: Path) -> None:
    with h5py.File(folder / "product.h5", "r+") as file:
        del file["object"]
        file["object"] = h5py.ExternalLink("elsewhere.h5", "object")


BROKEN_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no product": (lambda folder: (folder / "product.h5").unlink(), "but product.h5 is missing"),
    "no patterns": (lambda folder: (folder / "diffraction.h5").unlink(), "but diffraction.h5 is missing"),
    "cut off product": (lambda folder: _truncate(folder / "product.h5"), "product.h5: is not a readable HDF5"),
    "cut off patterns": (lambda folder: _truncate(folder / "diffraction.h5"), "diffraction.h5: is not a readable HDF5"),
    "claims": (_claim_too_much, "size of 1863 GiB"),
    "link": (_link, "'object' is a link"),
    "numbers that never meet": (_renumber, "no pattern has a position"),
}


@pytest.mark.parametrize("case", BROKEN_FOLDERS)
def test_broken_workflow_directory(
    case: str, workflow_directory: Path, checkpoint_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    """[DC-5.9]"""
    folder, output = tmp_path / "sample", tmp_path / "output"
    shutil.copytree(workflow_directory, folder)
    shutil.copy(checkpoint_path, folder / "model.ckpt")
    spoil, message = BROKEN_FOLDERS[case]
    spoil(folder)
    for command in ("refine", "train", "infer"):
        assert message in complain(command, "--data", folder, "--output_dir", output, "--quiet")
        assert not output.exists()


def test_workflow_directory_without_a_model(
    workflow_directory: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    """[DC-5.7]"""
    line = complain("infer", "--data", workflow_directory, "--output_dir", tmp_path / "o", "--quiet")
    assert re.search(r"sample/model\.ckpt: does not exist; .*--checkpoint", line)


@pytest.mark.parametrize("option", [["--pixel_m", "1e-8"], ["--swap_positions"]])
def test_option_against_the_product(
    option: list[str], workflow_directory: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    """[DC-5.4]"""
    line = complain("refine", "--data", workflow_directory, "--output_dir", tmp_path / "o", "--quiet", *option)
    assert "leave it out" in line


def test_strange_hdf5_file(tmp_path: Path, complain: Callable[..., str]) -> None:
    (tmp_path / "raw.h5").touch()
    line = complain("refine", "--data", tmp_path / "raw.h5", "--output_dir", tmp_path / "o", "--quiet")
    assert "is empty; readable are" in line
    assert "the folder with diffraction.h5 and product.h5" in line


def test_used_workflow_directory_is_left_alone(
    workflow_directory: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    before = (workflow_directory / "product.h5").read_bytes()
    assert "already exists" in complain("simulate", "--output", workflow_directory, "--quiet")
    assert (workflow_directory / "product.h5").read_bytes() == before
    (tmp_path / "notes").touch()
    assert "is a file" in complain("simulate", "--output", tmp_path / "notes", "--quiet", "--overwrite")


def _infer(complain: Callable[..., str], checkpoint: Path, scan_path: Path, output: Path) -> str:
    line = complain("infer", "--checkpoint", checkpoint, "--data", scan_path, "--output_dir", output, "--quiet")
    assert not output.exists()
    return line


def test_network_from_nowhere_or_from_two_places(
    scan_path: Path, checkpoint_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    common = ("--data", scan_path, "--output_dir", tmp_path / "o", "--quiet")
    line = complain("infer", *common)
    assert f"{scan_path.parent / 'model.ckpt'}: does not exist" in line
    assert "--checkpoint" in line
    both = ("--checkpoint", checkpoint_path, "--model_path", tmp_path)
    assert "--model_path: not allowed with argument --checkpoint" in complain("infer", *both, *common)


def test_unusable_bundle(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    (tmp_path / "wts.h5.zip").write_text("weights")
    for path, message in ((tmp_path, "not a readable bundle"), (tmp_path / "none", "does not exist")):
        arguments = ("--model_path", path, "--data", scan_path, "--output_dir", tmp_path / "o", "--quiet")
        assert message in complain("infer", *arguments)
    assert not (tmp_path / "o").exists()


def test_missing_checkpoint(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    assert "none.ckpt" in _infer(complain, tmp_path / "none.ckpt", scan_path, tmp_path / "o")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_checkpoint(
    share: float, checkpoint_path: Path, scan_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    content = checkpoint_path.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(share * len(content))])
    assert re.search(r"cut\.ckpt: .*not a (readable )?checkpoint", _infer(complain, path, scan_path, tmp_path / "o"))


class Touch:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("layout", ["torch", "plain pickle", "zip"])
def test_checkpoint_with_code_is_not_run(
    layout: str, scan_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    path, witness = tmp_path / "evil.ckpt", tmp_path / "witness"
    evil = {"state_dict": {}, "ptycho_torch": Touch(witness)}
    if layout == "torch":
        torch.save(evil, path)
    elif layout == "plain pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(evil))
            archive.writestr("archive/version", "3")
    line = _infer(complain, path, scan_path, tmp_path / "o")
    assert re.search(r"could run code|not a (readable )?checkpoint", line)
    assert not witness.exists()


def test_checkpoint_of_another_project(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(2)}, "hyper_parameters": {"N": 64}}, path)
    assert "not a checkpoint of ptycho_torch" in _infer(complain, path, scan_path, tmp_path / "o")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored: stored["ptycho_torch"].update(version=99), "of version 99"),
        (lambda stored: stored["state_dict"].pop("probes"), "does not fit together"),
        (lambda stored: stored["state_dict"].popitem(), "does not fit together|Missing key"),
        (lambda stored: stored["ptycho_torch"]["experiment"]["model"].update(width=8), "does not fit together"),
        (lambda stored: stored["ptycho_torch"].update(patch_px=64), "its probe has shape"),
        (lambda stored: stored["ptycho_torch"]["experiment"]["data"].update(photons=10**400), "be a finite number"),
    ],
)
def test_inconsistent_checkpoint(
    change: Callable[[dict[str, Any]], Any],
    message: str,
    checkpoint_path: Path,
    scan_path: Path,
    tmp_path: Path,
    complain: Callable[..., str],
) -> None:
    stored = torch.load(checkpoint_path, weights_only=True)
    change(stored)
    path = tmp_path / "changed.ckpt"
    torch.save(stored, path)
    assert re.search(message, _infer(complain, path, scan_path, tmp_path / "o"))


def test_checkpoint_of_another_size(checkpoint_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    path = tmp_path / "wide.npz"
    settings = SimulationSettings(object_px=96, patch_px=48, step_px=8, probe_diameter_px=12, photons=1e5)
    write_scan(simulate_scan(settings), path)
    assert "trained on patterns of 32 px" in _infer(complain, checkpoint_path, path, tmp_path / "o")


@pytest.mark.parametrize("command", ["refine", "train", "infer"])
def test_used_folder_is_left_alone(
    command: str, scan_path: Path, checkpoint_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    extra = ["--checkpoint", checkpoint_path] if command == "infer" else []
    line = complain(command, "--data", scan_path, "--output_dir", tmp_path, "--quiet", *extra)
    assert "not empty" in line
    # not even --overwrite empties a folder that no run made
    line = complain(command, "--data", scan_path, "--output_dir", tmp_path, "--quiet", "--overwrite", *extra)
    assert "no run.json" in line
    assert precious.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_used_file_is_left_alone(scan_path: Path, complain: Callable[..., str]) -> None:
    before = scan_path.read_bytes()
    assert "already exists" in complain("simulate", "--output", scan_path, "--quiet")
    assert scan_path.read_bytes() == before


def test_nothing_to_resume(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    line = complain("train", "--data", scan_path, "--output_dir", tmp_path / "o", "--resume", "--quiet")
    assert "no run to resume" in line


def test_file_where_the_folder_should_be(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in complain("refine", "--data", scan_path, "--output_dir", tmp_path / "file", "--quiet")
    below = tmp_path / "file" / "below"
    assert "cannot be written" in complain("refine", "--data", scan_path, "--output_dir", below, "--quiet")
    assert "cannot be written" in complain("simulate", "--output", below / "scan.npz", "--quiet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--colour", "red"], "unrecognized arguments: --colour"),
        (["--position", "y,x"], "--position y,x; did you mean --positions? (see ptycho-torch refine --help)"),
        (["scan.npz"], "unrecognized arguments: scan.npz; a scan is named by --data (see ptycho-torch refine --help)"),
        (["--epochs", "many"], "invalid int value"),
        (["--epochs", "0"], "at least 1"),
        (["--method", "magic"], "invalid choice"),
        (["--device", "cuda"], "no CUDA device is visible"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--threads", "0"], "at least 1"),
        (["--threads", "99999999999"], "at most 4096"),
        (["--seed", "99999999999999999999"], "at most 9.22337e+18"),
        (["--epochs", "99999999999999999999999"], "at most 1e+06"),
        (["--probe", "nowhere.npz"], "does not exist"),
        (["--probe_start", "nan"], "finite"),
    ],
)
def test_unusable_option(
    arguments: list[str], message: str, scan_path: Path, tmp_path: Path, complain: Callable[..., str]
) -> None:
    """[WF-8.1]"""
    line = complain("refine", "--data", scan_path, "--output_dir", tmp_path / "o", "--quiet", *arguments)
    assert message in line
    assert not (tmp_path / "o").exists()


def test_unknown_command(complain: Callable[..., str]) -> None:
    assert "invalid choice: 'paint'" in complain("paint")


def test_diverging_probe_update_is_told(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    def overflow(arrays: Arrays) -> None:
        arrays["diff3d"] = arrays["diff3d"].astype(np.float64) * 1e18

    path = _changed(scan_path, tmp_path / "hot.npz", overflow)
    assert "the limit is 1e+12" in complain("refine", "--data", path, "--output_dir", tmp_path / "o", "--quiet")


def test_network_too_deep_for_the_patterns(scan_path: Path, tmp_path: Path, complain: Callable[..., str]) -> None:
    output = tmp_path / "o"
    assert "smaller depth" in complain("train", "--data", scan_path, "--output_dir", output, "--depth", "6", "--quiet")
    assert not output.exists()


def test_failed_run_reads_as_unfinished(
    scan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ptycho_torch.workflows.outputs.write_object", _full_disk)
    words = ["--data", str(scan_path), "--output_dir", str(tmp_path / "o"), "--epochs", "1", "--quiet"]
    assert main(["refine", *words]) == 2
    assert "full" in capsys.readouterr().err
    assert json.loads((tmp_path / "o" / "run.json").read_text())["status"] == "running"


def _full_disk(*_: object, **__: object) -> None:
    raise OSError("the disk is full")
