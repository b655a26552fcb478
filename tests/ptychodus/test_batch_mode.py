"""`ptychodus --batch` on a standard workflow directory, and the same directory through this package's own commands."""

# ruff: noqa: PLC0415 - the client is installed in an environment of its own; these tests are collected without it
from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptycho_torch.evaluate.objects import complex_correlation

if TYPE_CHECKING:
    from ptychodus_scan import ClientScan

pytestmark = pytest.mark.ptychodus

ALGORITHM = "ptychopinn-torch_unsupervised"


def run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a folder; both streams are captured."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=400, check=False
    )


def write_directory(scan: ClientScan, folder: Path, *, epochs: int = 2, truth: bool = False) -> Path:
    """A workflow directory as the client writes it."""
    from ptychodus.api.io import save_diffraction_data, save_product

    folder.mkdir()
    save_diffraction_data(folder / "diffraction.h5", scan.data)
    save_product(folder / "product.h5", scan.truth if truth else scan.start)
    parser = configparser.ConfigParser()
    parser["Processing"] = {"Algorithm": ALGORITHM}
    parser["PtychoPINNTorchTraining"] = {"epochs": str(epochs)}
    with (folder / "settings.ini").open("w") as file:
        parser.write(file)
    return folder


def correlation(image: np.ndarray, scan: ClientScan) -> float:
    """With the truth, away from the rim."""
    truth = scan.truth.object_.get_array()[0]
    assert image.shape == truth.shape
    mask = np.zeros(truth.shape, bool)
    mask[34:-34, 34:-34] = True
    return complex_correlation(image, truth, mask)


def test_train_and_reconstruct_without_an_export(tmp_path: Path) -> None:
    from ptychodus.api.io import load_product
    from ptychodus_scan import simulate_client_scan

    scan = simulate_client_scan(extent_px=40)
    directory = write_directory(scan, tmp_path / "in")
    trained = run("ptychodus", "--batch", "train", "-i", "in", "-o", "out", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    (checkpoint,) = (tmp_path / "out").glob("run_*/checkpoints/best-checkpoint.ckpt")
    assert f"{checkpoint.relative_to(tmp_path)}; copy it to model.ckpt" in trained.stdout + trained.stderr
    shutil.copyfile(checkpoint, directory / "model.ckpt")
    found = run("ptychodus", "--batch", "reconstruct", "-i", "in", "-o", "out", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    (written,) = (tmp_path / "out").glob("product*.h5")
    assert correlation(load_product(written).object_.get_array()[0], scan) > 0.95
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_a_failure_is_told_and_ends_with_code_1(tmp_path: Path) -> None:
    from ptychodus_scan import simulate_client_scan

    directory = write_directory(simulate_client_scan(extent_px=20), tmp_path / "in")
    (directory / "model.ckpt").write_bytes(b"nothing")
    found = run("ptychodus", "--batch", "reconstruct", "-i", "in", "-o", "out", folder=tmp_path)
    assert found.returncode == 1
    assert "model.ckpt: is not a readable checkpoint" in found.stdout + found.stderr
    assert list((tmp_path / "out").glob("*.h5")) == []


def test_the_same_directory_through_our_own_commands_and_back(tmp_path: Path) -> None:
    from ptychodus.api.io import load_product
    from ptychodus_scan import simulate_client_scan

    scan = simulate_client_scan(extent_px=40)
    directory = write_directory(scan, tmp_path / "in")
    trained = run("ptycho_torch", "train", "--data", "in", "--output_dir", "trained", "--quiet", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    shutil.copyfile(tmp_path / "trained" / "model.ckpt", directory / "model.ckpt")
    ours = run("ptycho_torch", "infer", "--data", "in", "--output_dir", "ours", "--quiet", folder=tmp_path)
    assert ours.returncode == 0, ours.stderr
    product = load_product(tmp_path / "ours" / "product.h5")
    assert product.metadata.photon_energy_eV == scan.start.metadata.photon_energy_eV
    np.testing.assert_allclose(
        product.probe_positions.get_coordinates_x_m(), scan.start.probe_positions.get_coordinates_x_m()
    )
    theirs = run("ptychodus", "--batch", "reconstruct", "-i", "in", "-o", "theirs", folder=tmp_path)
    assert theirs.returncode == 0, theirs.stderr
    (written,) = (tmp_path / "theirs").glob("product*.h5")
    assert correlation(load_product(written).object_.get_array()[0], scan) > 0.95


def test_a_simulated_directory_opens_in_the_client(tmp_path: Path) -> None:
    from ptychodus.api.io import load_diffraction_data, load_product
    from ptychodus.api.simulate.diffraction import generate_diffraction_data

    made = run("ptycho_torch", "simulate", "--output", "in", "--object_px", "128", "--step_px", "12", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    data, product = (
        load_diffraction_data(tmp_path / "in" / "diffraction.h5"),
        load_product(tmp_path / "in" / "product.h5"),
    )
    patterns = np.asarray(data.get_patterns(), float)
    # the client's own forward model makes the same patterns of that product, up to noise and its unit of intensity
    again = np.array(generate_diffraction_data(product).get_patterns())
    again *= patterns.sum() / again.sum()
    assert np.abs(patterns - again).sum() < 0.1 * patterns.sum()
