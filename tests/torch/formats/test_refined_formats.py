"""One simulated scan in the formats of other programs: `refine` finds the same object in each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_files import (
    Written,
    write_cxi,
    write_cxi_turned,
    write_fold_slice,
    write_matlab_5,
    write_matlab_7,
    write_nxcxi,
    write_nxptycho,
    write_ptyd,
    write_workflow_folder,
)
from numpy.typing import NDArray

from ptycho_torch.cli.main import main
from ptycho_torch.config import SimulationSettings
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan

WRITERS = [write_cxi, write_cxi_turned, write_nxcxi, write_nxptycho, write_ptyd, write_matlab_5, write_matlab_7,
           write_fold_slice, write_workflow_folder]  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, Path, NDArray[np.complex64]]:
    """The scan, its probe as a file, and the object that is found in the canonical NPZ file."""
    folder = tmp_path_factory.mktemp("scan")
    scan = simulate_scan(SimulationSettings(object_px=72, patch_px=32, step_px=5, probe_diameter_px=12, photons=1e5))
    write_scan(scan, folder / "scan.npz")
    probe = scan.require_probe()[0]
    np.save(folder / "probe.npy", probe)
    written = Written(scan.counts, scan.positions_px, probe)
    return written, folder / "probe.npy", refine(folder / "scan.npz", folder / "probe.npy", folder / "out")


def refine(data: Path, probe: Path, output: Path) -> NDArray[np.complex64]:
    arguments = [
        "--probe",
        str(probe),
        "--epochs",
        "6",
        "--method",
        "least_squares",
        "--probe_start",
        "1",
        "--device",
        "cpu",
        "--quiet",
    ]
    assert main(["refine", "--data", str(data), "--output_dir", str(output), *arguments]) == 0
    with np.load(output / "object.npz") as result:
        found: NDArray[np.complex64] = result["object"]
    return found


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: str(write.__name__).removeprefix("write_"))
def test_the_same_object_is_found(
    write: Callable[[Written, Path], Path], simulated: tuple[Written, Path, NDArray[np.complex64]], tmp_path: Path
) -> None:
    written, probe, wanted = simulated
    found = refine(write(written, tmp_path), probe, tmp_path / "out")
    # the well-lit middle; the origin may round to another pixel, since positions are metres in the file
    side, low = min(*found.shape, *wanted.shape) - 32, 16
    best = max(
        correlate(found[row : row + side, column : column + side], wanted[low : low + side, low : low + side])
        for row in (low - 1, low, low + 1)
        for column in (low - 1, low, low + 1)
    )
    assert best > 0.999


def correlate(first: NDArray[np.complex64], second: NDArray[np.complex64]) -> float:
    first, second = first - first.mean(), second - second.mean()
    product = np.vdot(first, second)
    return float(np.abs(product) / np.sqrt(np.vdot(first, first).real * np.vdot(second, second).real))
