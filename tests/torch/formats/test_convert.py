"""`convert`: whatever is read comes back from the canonical formats as the same scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from foreign_files import (
    GEOMETRY,
    PIXEL_M,
    make_written,
    write_cxi,
    write_hdf5,
    write_matlab_7,
    write_ptyd,
    write_tiffs,
)

from ptycho_torch.cli.main import main
from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats import read_one_scan

ENDINGS = (".npz", ".cxi", ".nxs")


def convert(source: Path, target: Path, *options: str) -> Scan:
    assert main(["convert", str(source), "--output", str(target), "--quiet", *options]) == 0
    return read_one_scan(target)


def assert_same(found: Scan, wanted: Scan) -> None:
    np.testing.assert_allclose(found.counts, wanted.counts, rtol=1e-6, atol=1e-6)
    moved = wanted.positions_px - wanted.positions_px[0]
    np.testing.assert_allclose(found.positions_px - found.positions_px[0], moved, atol=1e-6)
    np.testing.assert_array_equal(found.good_pixels, wanted.good_pixels)
    assert (found.probe is None) == (wanted.probe is None)
    if found.probe is not None and wanted.probe is not None:
        np.testing.assert_array_equal(found.probe, wanted.probe)
    if wanted.pixel_m is not None:
        assert found.pixel_m == pytest.approx(wanted.pixel_m, rel=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("write", [write_cxi, write_ptyd, write_matlab_7])
def test_a_scan_survives_each_format(ending: str, write: object, tmp_path: Path) -> None:
    """[DC-7.3]"""
    source = write(make_written(), tmp_path)  # type: ignore[operator]
    wanted = read_one_scan(source)
    found = convert(source, tmp_path / f"out{ending}")
    assert_same(found, wanted)
    # and on through the other formats
    for other in ENDINGS:
        found = convert(tmp_path / f"out{ending}", tmp_path / f"again{other}")
        assert_same(found, wanted)
        ending = other
        (tmp_path / f"again{other}").rename(tmp_path / f"out{other}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_crop_bin_mask_and_named_arrays(ending: str, tmp_path: Path) -> None:
    written = make_written()
    source = write_hdf5(written, tmp_path)
    bad = np.zeros(written.counts.shape[1:], bool)
    bad[9, 9] = True
    np.save(tmp_path / "mask.npy", bad)
    options: dict[str, Any] = {
        "patterns": "measurement/eiger/images",
        "positions": "stage",
        "mask": str(tmp_path / "mask.npy"),
    }
    arguments = [part for key, value in (options | GEOMETRY).items() for part in (f"--{key}", str(value))]
    found = convert(source, tmp_path / f"out{ending}", *arguments, "--bin", "2", "--probe", "illumination")
    wanted = read_one_scan(source, DataSettings(bin=2, **options, **GEOMETRY), "illumination")
    assert_same(found, wanted)
    assert found.patch_px == written.counts.shape[-1] // 2
    assert np.argwhere(~found.good_pixels).tolist() == [[4, 4]]


def test_a_background_and_conditions_are_kept(tmp_path: Path) -> None:
    source = write_tiffs(make_written(), tmp_path)
    np.save(tmp_path / "background.npy", np.full((32, 32), 0.25))
    options = ["--positions", str(tmp_path / "positions.csv"), "--background", str(tmp_path / "background.npy")]
    for ending in ENDINGS:
        found = convert(source, tmp_path / f"out{ending}", *options, "--energy_ev", "7200", "--pixel_m", str(PIXEL_M))
        assert found.background is not None
        np.testing.assert_allclose(found.background, 0.25)
    with h5py.File(tmp_path / "out.cxi") as file:
        assert file["entry_1/instrument_1/beam_1/incident_beam_energy"][()] == pytest.approx(7200)
        assert file["entry_1/instrument_1/source_1/energy"][()] == pytest.approx(7200 * 1.602176634e-19)


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_cxi(make_written(), tmp_path), tmp_path / "out.npz"
    target.write_text("precious")
    assert main(["convert", str(source), "--output", str(target), "--quiet"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main(["convert", str(source), "--output", str(target), "--quiet", "--overwrite"]) == 0
    assert main(["convert", str(source), "--output", str(tmp_path / "out.xyz"), "--quiet"]) == 2
    assert "must end in .npz, .cxi, .nxs" in capsys.readouterr().err
    assert main(["convert", str(source), "--quiet"]) == 2
