"""The final report of `evaluate`: what it states of the scan and of the result of any program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_results import WRITERS, StoredObject
from scipy.ndimage import fourier_shift

from ptycho_torch.cli.main import main
from ptycho_torch.data.scan import Scan

PIXEL_M = 2e-8
STEP_PX = 4


def evaluate(result: Path, *more: str) -> dict[str, Any]:
    words = ["evaluate", "--result", str(result), "--data", "scan.npz", "--output_dir", "judged", "--quiet", *more]
    try:
        code = main(words)
    except SystemExit:
        code = 2
    # noisy halves fail, and have a report
    assert code in (0, 3), "evaluate refuses it"
    report = Path("judged/report.json")
    assert report.is_file(), "no report was written"
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("program", ["ptycho_torch", "PtyPy", "PtychoShelves 7.3"])
def test_the_true_object_in_any_file_explains_the_patterns(program: str, stored: StoredObject, folder: Path) -> None:
    write: Callable[[StoredObject, Path], Path] = WRITERS[program]
    found = evaluate(write(stored, folder))
    assert found["program"] == program.removesuffix(" 5").removesuffix(" 7.3")
    assert found["verdict"] == "good"
    # nothing but photon noise is left
    assert found["fit"]["photon_error"] == pytest.approx(1, abs=0.03)
    assert found["true_object"]["complex_error"] < 0.02
    assert found["true_object"]["phase_correlation"] > 0.999


def test_the_scan_is_described_as_it_was_simulated(scan: Scan, stored: StoredObject, folder: Path) -> None:
    found = evaluate(WRITERS["ptycho_torch"](stored, folder))
    assert found["scan"]["patterns"] == len(scan)
    assert found["scan"]["pixel_nm"] == pytest.approx(20)
    assert found["scan"]["photons_per_pattern"] == pytest.approx(scan.counts.sum() / len(scan), rel=1e-3)
    overlap = found["probe_and_overlap"]
    spot = np.sort((np.abs(scan.require_probe()) ** 2).sum(axis=0).ravel())[::-1]
    area_px = np.searchsorted(np.cumsum(spot) / spot.sum(), 0.9)
    assert overlap["probe_diameter_px"] == pytest.approx(2 * (area_px / np.pi) ** 0.5, rel=0.02)
    distances = np.linalg.norm(scan.positions_px[:, None] - scan.positions_px, axis=-1)
    nearest = np.sort(distances, axis=1)[:, 1]
    assert overlap["mean_step_nm"] == pytest.approx(20 * nearest.mean(), rel=1e-3)
    assert overlap["linear_overlap"] == pytest.approx(1 - np.median(nearest) / overlap["probe_diameter_px"])
    assert overlap["probe_oversampling"] == pytest.approx(32 / overlap["probe_diameter_px"])
    assert overlap["photons_per_um2"] == pytest.approx(overlap["photons_per_pixel"] / 0.02**2)


def test_two_halves_give_the_resolution_in_nanometres(stored: StoredObject, folder: Path) -> None:
    rng = np.random.default_rng(1)
    place = WRITERS["ptycho_torch"](stored, folder)
    for name in ("half_1", "half_2"):
        noise = rng.normal(size=(*stored.pixels.shape, 2)) @ [1, 1j]
        np.savez(place / f"{name}.npz", object=stored.pixels + 0.2 * noise, origin_px=stored.origin_px, pixel_m=PIXEL_M)
    resolution = evaluate(place)["resolution"]
    assert 0.1 < resolution["frc_half_bit_nyquist"] < 0.9
    assert resolution["resolution_half_period_nm"] == pytest.approx(20 / resolution["frc_half_bit_nyquist"])
    halves = [place / f"half_{number}.npz" for number in (1, 2)]
    found = evaluate(halves[0], "--half", str(halves[1]), "--overwrite")
    assert found["resolution"]["frc_half_bit_nyquist"] == pytest.approx(resolution["frc_half_bit_nyquist"])
    # noise that is not that of photons
    fit = found["fit"]
    assert fit["photon_error"] == pytest.approx((fit["R"] / fit["R_floor"]) ** 2)
    assert fit["photon_error"] > 2
    assert fit["not_photon_noise"] == pytest.approx(1 - 1 / fit["photon_error"])


def test_a_true_object_from_another_file_is_shifted_onto_the_result(stored: StoredObject, folder: Path) -> None:
    spectrum = fourier_shift(np.fft.fft2(np.pad(stored.pixels, 9, mode="reflect")), (2.4, -3.3))
    np.save(folder / "truth.npy", np.fft.ifft2(spectrum).astype(np.complex64) * np.exp(0.7j))
    found = evaluate(WRITERS["ptycho_torch"](stored, folder), "--truth", "truth.npy")
    assert found["true_object"]["complex_error"] < 0.03


def test_the_page_needs_no_other_file_and_says_what_the_values_are(stored: StoredObject, folder: Path) -> None:
    (folder / "scan.npz").rename(folder / "<b>scan & co.npz")
    words = ["--result", str(WRITERS["ptycho_torch"](stored, folder)), "--data", "<b>scan & co.npz", "--quiet"]
    assert main(["evaluate", *words, "--output_dir", "judged"]) == 0, "evaluate refuses it"
    page = Path("judged/report.html")
    assert page.is_file(), "no report was written"
    text = page.read_text()
    sources = re.findall(r"""(?:src|href)=["']?([^"'>]{0,22})""", text)
    assert len(sources) == 4
    assert set(sources) == {"data:image/png;base64,"}
    assert "&lt;b&gt;scan &amp; co.npz" in text
    assert "<b>" not in text
    for wanted in ("probe size", "mean step", "linear overlap", "area overlap", "oversampling", "views per pixel"):
        assert wanted in text
    assert "photon noise" in text
    assert str(folder) not in text
