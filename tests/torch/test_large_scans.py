"""Scans whose counts stay in their file: the same results as in memory, in memory that does not grow with the scan."""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from ptycho_torch.config import DataSettings, RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import OutputError, ScanFileError
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.formats import read_one_scan
from ptycho_torch.formats.find import WRITERS
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solve import refine

SIDE = 64
# float32 counts of more patterns than these are not held in memory
PATTERNS = 2**26 // (4 * SIDE**2) + 104
# resident memory may grow by this from 4,500 patterns to 9,000, whose float32 counts alone take 74 MB more
MOST_GROWTH_BYTES = 60e6
MEASURE = """
import sys
from pathlib import Path
import torch
from ptycho_torch.config import RefineSettings
from ptycho_torch.evaluate.verdict import judge
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.formats import read_one_scan
from ptycho_torch.formats.find import WRITERS
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.scan_model import ScanModel
scan = read_one_scan(sys.argv[1])
with torch.no_grad():
    model = ScanModel(scan, torch.device("cpu"), held_out_share=0.02)
    solver = LeastSquares(model, model.start_object(None), model.start_probe(None, 1), RefineSettings(probe_start=0))
    solver.epoch(0)
    judge(scan, scan.probe, Residual(0.1, 0.1), None)
# that of getrusage includes the process that started this one
status = Path("/proc/self/status").read_text()
print(1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]))
"""


@pytest.fixture(scope="module")
def places() -> Scan:
    """A simulated scan, of which larger ones are made by measuring every place many times."""
    return simulate_scan(SimulationSettings(object_px=128, photons=2e4, probe_diameter_px=16))


def write(path: Path, places: Scan, patterns: int, **options: Any) -> tuple[np.ndarray[Any, Any], Path]:
    """Write a scan of so many patterns as HDF5; returns its counts."""
    order = np.resize(np.arange(len(places)), patterns)
    counts = np.minimum(places.counts, 255).astype(np.uint8)[order]
    with h5py.File(path, "w") as file:
        file.create_dataset("patterns", data=counts, **options)
        file["positions"], file["probe"] = places.positions_px[order], places.probe
    return counts, path


def write_npz(path: Path, places: Scan, patterns: int, *, save: Callable[..., None]) -> tuple[Any, Path]:
    """Write amplitudes in the canonical layout; returns the counts."""
    order = np.resize(np.arange(len(places)), patterns)
    rows, columns = places.positions_px[order].T
    counts = places.counts[order]
    save(path, diff3d=np.sqrt(counts), xcoords=columns, ycoords=rows, probeGuess=places.probe)
    return counts, path


LAYOUTS: dict[str, Callable[[Path, Scan, int], tuple[Any, Path]]] = {
    "contiguous": lambda folder, *scan: write(folder / "scan.h5", *scan),
    "in chunks": lambda folder, *scan: write(folder / "scan.h5", *scan, chunks=(7, SIDE, SIDE)),
    "divided patterns": lambda folder, *scan: write(folder / "scan.h5", *scan, chunks=(70, SIDE // 2, SIDE)),
    "compressed": lambda folder, *scan: write(folder / "scan.h5", *scan, chunks=(50, SIDE, SIDE), compression="lzf"),
    "amplitudes": lambda folder, *scan: write_npz(folder / "scan.npz", *scan, save=np.savez),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_in_a_file_are_those_that_were_written(layout: str, places: Scan, tmp_path: Path) -> None:
    written, path = LAYOUTS[layout](tmp_path, places, PATTERNS)
    scan = read_one_scan(path)
    assert scan.counts.shape == written.shape
    assert scan.counts.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(scan.counts), written)
    some = np.array([PATTERNS - 1, 3, 4, 5, 0])
    np.testing.assert_array_equal(scan.counts[some], written[some])
    np.testing.assert_array_equal(scan.counts[7], written[7])
    np.testing.assert_array_equal(scan.counts[-3:], written[-3:])
    assert scan.photons_per_pattern == pytest.approx(written.sum(axis=(1, 2), dtype=float).mean(), rel=1e-12)
    other = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(other.take(some).counts, written[some])


def test_a_scan_in_a_file_is_converted_as_one_in_memory_is(places: Scan, tmp_path: Path) -> None:
    _, path = write(tmp_path / "scan.h5", places, PATTERNS)
    bad = np.zeros((SIDE, SIDE), bool)
    bad[5, 40:] = True
    with h5py.File(path, "r+") as file:
        # a saturated pixel, two lost patterns, a dark one
        file["patterns"][9, 30, 31] = 255
        file["patterns"][3000:3002] = 255
        file["patterns"][77] = 0
        file["mask"], file["dark"] = bad, np.full((SIDE, SIDE), 0.25)
        stored, positions = file["patterns"][()], file["positions"][()]
    options = DataSettings(
        transpose=True, flip_rows=True, zero_frequency="corner", gain=2, photons=5000, mask="mask", dark="dark"
    )
    scan = read_one_scan(path, options)
    bad[30, 31] = True
    kept = np.setdiff1d(np.arange(PATTERNS), [77, 3000, 3001])
    wanted = np.where(bad, 0, np.maximum(stored[np.setdiff1d(np.arange(PATTERNS), [3000, 3001])] - 0.25, 0) / 2)
    wanted = wanted * (5000 / wanted.sum(axis=(1, 2)).mean())
    wanted = np.delete(wanted, 77, axis=0)
    wanted = np.fft.fftshift(wanted, (1, 2)).swapaxes(1, 2)
    wanted = np.roll(wanted[:, ::-1], 1, axis=1)
    np.testing.assert_allclose(np.asarray(scan.counts), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scan.positions_px, positions[kept])
    assert (~scan.good_pixels).sum() == bad.sum()
    assert (np.asarray(scan.counts)[:, ~scan.good_pixels] == 0).all()


@pytest.mark.parametrize(("layout", "method"), [("contiguous", "least_squares"), ("compressed", "poisson")])
def test_results_are_those_of_counts_in_memory(layout: str, method: Any, places: Scan, tmp_path: Path) -> None:
    _, path = LAYOUTS[layout](tmp_path, places, PATTERNS)
    stored = read_one_scan(path)
    held = replace(stored, counts=np.asarray(stored.counts))
    settings = RefineSettings(method=method, epochs=1, probe_start=0)
    found = [refine(scan, settings) for scan in (stored, held)]
    np.testing.assert_array_equal(found[0].canvas.pixels, found[1].canvas.pixels)
    np.testing.assert_array_equal(found[0].probe, found[1].probe)
    assert found[0].errors == found[1].errors
    assert found[0].free_error == found[1].free_error
    if method == "least_squares":
        figures = [
            evaluate(scan.take(slice(0, 300)), found[0].canvas, found[0].probe, device=torch.device("cpu"))
            for scan in (stored, held)
        ]
        assert figures[0] == figures[1]


@pytest.mark.parametrize("ending", [".npz", ".cxi"])
def test_a_scan_in_a_file_is_written_to_others(ending: str, places: Scan, tmp_path: Path) -> None:
    written, path = write(tmp_path / "scan.h5", places, PATTERNS)
    copy = tmp_path / f"copy{ending}"
    WRITERS[ending](read_one_scan(path), copy)
    np.testing.assert_array_equal(np.asarray(read_one_scan(copy).counts), written)


def test_memory_does_not_grow_with_the_number_of_patterns(places: Scan, tmp_path: Path) -> None:
    used = []
    for patterns in (4500, 9000):
        _, path = write(tmp_path / f"{patterns}.h5", places, patterns)
        child = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
        used.append(float(child.stdout))
    assert used[1] - used[0] < MOST_GROWTH_BYTES


def test_large_scans_have_more_mini_batches(places: Scan) -> None:
    model = {patterns: make_model(places, patterns) for patterns in (300, 2048, 2049, 20_480)}
    numbers = {patterns: len(found.partition(None, 0)) for patterns, found in model.items()}
    assert numbers == {300: 16, 2048: 16, 2049: 17, 20_480: 160}
    assert len(model[20_480].partition(5, 0)) == 5


def test_a_mini_batch_covers_a_large_canvas(places: Scan) -> None:
    wide = make_model(places, 20_480, spread=40)
    pixels = wide.frame.shape_px[0] * wide.frame.shape_px[1]
    largest = max(map(len, wide.partition(None, 0)))
    assert largest > 128
    assert largest * SIDE**2 == pytest.approx(pixels, rel=0.1)


def make_model(places: Scan, patterns: int, spread: float = 1) -> ScanModel:
    order = np.resize(np.arange(len(places)), patterns)
    counts = np.broadcast_to(places.counts[:1], (patterns, SIDE, SIDE))
    scan = replace(places, counts=counts, positions_px=spread * places.positions_px[order], truth=None)
    return ScanModel(scan, torch.device("cpu"))


def test_a_file_that_changes_while_it_is_used_is_refused(places: Scan, tmp_path: Path) -> None:
    _, path = write(tmp_path / "scan.h5", places, PATTERNS)
    scan = read_one_scan(path)
    other = pickle.loads(pickle.dumps(scan))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(ScanFileError, match=r"scan.h5: has changed .* read it again"):
        other.counts[0]
    with pytest.raises(ScanFileError, match=r"scan.h5: .*(changed|cut short)"):
        scan.counts[PATTERNS - 1]


def test_an_interrupted_reading_is_never_taken_for_a_whole_one(
    places: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, path = LAYOUTS["compressed"](tmp_path, places, 3 * PATTERNS)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    code = f"from ptycho_torch.formats import read_one_scan; read_one_scan({str(path)!r}); print('done')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not any(file.stat().st_size for file in temporary.glob("*/*")):
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        assert child.stdout
        assert child.stdout.read() == ""
    left = list(temporary.glob("*/*"))
    assert left
    scan = read_one_scan(path)
    np.testing.assert_array_equal(scan.counts[-500:], written[-500:])
    own = [file for file in temporary.glob("*/*") if file not in left]
    assert len(own) == 1
    # in the smallest type that is exact
    assert own[0].stat().st_size == written.nbytes
    del scan
    gc.collect()
    assert not own[0].exists()


def test_a_full_disk_is_reported_before_anything_is_written(
    places: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = LAYOUTS["compressed"](tmp_path, places, PATTERNS)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(OutputError, match=r"need 0\.0\d+ GB .* set TMPDIR"):
        read_one_scan(path)
