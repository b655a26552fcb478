"""The doctor on small simulated files, sound and damaged, and through the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from damaged_scans import DAMAGES, Arrays, turn_patterns
from numpy.typing import NDArray
from other_damages import OTHER_DAMAGES

from ptycho_torch.cli.main import main
from ptycho_torch.config import DataSettings, SimulationSettings
from ptycho_torch.doctor import examine_file
from ptycho_torch.doctor.correct import find_corrections
from ptycho_torch.doctor.search import Search
from ptycho_torch.errors import ConfigError
from ptycho_torch.formats import read_one_scan
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.simulate.scan import simulate_scan

SOUND = SimulationSettings(
    object="dead_leaves", object_px=70, patch_px=32, probe_diameter_px=10, step_px=4.5, photons=1e6, seed=3
)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """A sound file's, of 49 patterns; its zone-plate probe has no symmetry but roundness, and is no twin of its own."""
    scan = simulate_scan(SOUND)
    return Arrays(np.array(scan.counts), np.array(scan.positions_px), scan.require_probe()[0])


def damage(arrays: Arrays, name: str, path: Path) -> Path:
    chosen = next(each for each in (*DAMAGES, *OTHER_DAMAGES) if each.name == name)
    return chosen.spoil(arrays, np.random.default_rng(1)).write(path)


def test_a_sound_file_is_called_sound(arrays: Arrays, tmp_path: Path) -> None:
    found = examine_file(arrays.write(tmp_path / "sound.npz"))
    assert found.word == "sound", [str(finding) for finding in found.findings]
    assert found.recommended == {}
    assert found.fit["unexplained"] < 0.1


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("positions rows reversed", "orientation"),
        ("natural logarithm", "units"),
        ("gain 3", "gain"),
        pytest.param("micrometres", "position scale", marks=pytest.mark.slow),
        ("one frame late", "order"),
        ("frozen frames", "copies"),
        ("hot pixels", "bad pixels"),
        ("every value 5 more", "dark image"),
        ("noise of reading", "units"),
        ("five frames late", "order"),
        ("nanometres", "position scale"),
    ],
)
def test_a_mistake_is_named_and_its_cure_explains_the_patterns(
    name: str, finding: str, arrays: Arrays, tmp_path: Path
) -> None:
    path = damage(arrays, name, tmp_path / "damaged.npz")
    found = examine_file(path, open_folder=lambda: tmp_path)
    assert finding in {each.name for each in found.findings if each.is_wrong}
    assert found.word == "settings recommended", (found.doubts, found.findings)
    assert found.fit["unexplained"] < 0.1
    # what is recommended is a settings file that reads the file as the doctor did
    again = read_one_scan(path, DataSettings(**found.recommended["data"]))
    np.testing.assert_array_equal(again.counts, found.scan.counts)
    np.testing.assert_allclose(again.positions_px, found.scan.positions_px)


def test_settings_that_are_wrong_are_taken_back(arrays: Arrays, tmp_path: Path) -> None:
    path = arrays.write(tmp_path / "sound.npz")
    found = examine_file(path, DataSettings(transpose=True, units="amplitude", gain=2.0))
    assert found.recommended == {"data": {"transpose": False, "units": "counts", "gain": 1.0}}
    np.testing.assert_array_equal(read_one_scan(path, DataSettings(**found.recommended["data"])).counts, arrays.data)


@pytest.mark.parametrize("error", [1.04, 1.15])
def test_a_correction_of_positions_is_added_to_their_unit(error: float) -> None:
    scan = simulate_scan(SOUND)
    search = Search(replace(scan, positions_px=scan.positions_px / error))
    search.start()
    settings, findings = find_corrections(search, DataSettings(position_scale=20.0, swap_positions=True))
    assert [finding.name for finding in findings] == ["positions"]
    assert settings.position_scale == pytest.approx(20 * error, rel=0.01)
    assert findings[0].data["position_scale"] == settings.position_scale
    assert settings.swap_positions


def test_pixels_that_the_reader_masks_are_no_finding(arrays: Arrays, tmp_path: Path) -> None:
    marked: NDArray[Any] = arrays.data.astype(np.uint32)
    marked[:, 3, 4] = marked[::2, 20, 7] = 2**32 - 1
    found = examine_file(replace(arrays, data=marked).write(tmp_path / "marked.npz"), open_folder=lambda: tmp_path)
    assert (found.word, found.findings) == ("sound", ())
    assert found.stored["largest_value"] == arrays.data.max()


def test_a_workflow_directory_is_examined(tmp_path: Path) -> None:
    write_workflow_directory(replace(simulate_scan(SOUND), truth=None), tmp_path / "scan")
    assert examine_file(tmp_path / "scan").word == "sound"
    found = examine_file(tmp_path / "scan", DataSettings(flip_rows=True))
    assert found.recommended == {"data": {"flip_rows": False}}
    with pytest.raises(ConfigError, match="swap_positions"):
        examine_file(tmp_path / "scan", DataSettings(swap_positions=True))


@pytest.mark.slow
def test_patterns_that_fit_no_positions_are_doubtful(arrays: Arrays, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(arrays.scan))
    found = examine_file(replace(arrays, scan=arrays.scan[order]).write(tmp_path / "shuffled.npz"))
    assert found.word == "doubtful"


def test_the_sign_of_the_phase_cannot_be_told_without_a_probe(arrays: Arrays, tmp_path: Path) -> None:
    found = examine_file(replace(arrays, probe=None).write(tmp_path / "no_probe.npz"))
    assert ("twin", "cannot tell") in {(each.name, each.sureness) for each in found.findings}
    assert not found.data.transpose
    assert found.data.flip_rows == found.data.flip_columns


def test_the_command_writes_a_page_and_settings_and_exits_by_result(
    arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = damage(arrays, "patterns exchanged", tmp_path / "damaged.npz"), tmp_path / "doctor"
    assert main(["doctor", str(path), "--output_dir", str(folder), "--quiet"]) == 4
    assert "result: settings recommended" in capsys.readouterr().out
    page = (folder / "doctor.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8")) == {"data": {"transpose": True}}
    diagnosis = json.loads((folder / "doctor.json").read_text(encoding="utf-8"))
    assert diagnosis["result"] == "settings recommended"
    assert diagnosis["scan"]["patterns"] == len(arrays.scan)
    again = ["doctor", str(path), "--config", str(folder / "settings.yaml"), "--output_dir", str(tmp_path / "again")]
    assert main([*again, "--quiet"]) == 0


def test_a_file_without_positions_is_described_and_how_to_give_them(
    arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = arrays.data.copy()
    data[:, 20, 7] = np.random.default_rng(0).poisson(3e5, len(data))
    np.savez(tmp_path / "patterns.npz", data=data)
    assert main(["doctor", str(tmp_path / "patterns.npz"), "--output_dir", str(tmp_path / "out"), "--quiet"]) == 5
    said = capsys.readouterr().out
    assert "49 patterns of 32 × 32 px" in said
    assert "photons per pattern" in said
    assert "--raster_columns" in said
    assert "bad pixels (sure): 1 hot" in said
    diagnosis = json.loads((tmp_path / "out" / "doctor.json").read_text(encoding="utf-8"))
    assert "step_px" not in diagnosis["scan"]
    # what is recommended holds for the file, not for positions that nobody has given
    assert list(diagnosis["recommended"]["data"]) == ["mask"]
    beam = next(finding["figures"] for finding in diagnosis["findings"] if finding["name"] == "direct beam")
    assert beam["row_px"] == pytest.approx(16, abs=1)


def test_many_patterns_of_few_places_are_examined_like_one_of_each(arrays: Arrays, tmp_path: Path) -> None:
    number = np.repeat(np.arange(len(arrays.scan)), 40)
    rng = np.random.default_rng(0)
    many = replace(arrays, data=rng.poisson(arrays.data[number]).astype(np.float32))
    many = replace(
        turn_patterns(False, True, False)(many, rng),
        scan=arrays.scan[number] + rng.uniform(-0.02, 0.02, (len(number), 2)),
    )
    found = examine_file(many.write(tmp_path / "many.npz"))
    assert found.recommended == {"data": {"flip_rows": True}}
    assert found.word == "settings recommended"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 no archive"])
def test_garbage_is_refused_in_one_line(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "garbage.npz").write_bytes(content)
    assert main(["doctor", str(tmp_path / "garbage.npz"), "--output_dir", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_single_pattern_is_doubtful(arrays: Arrays, tmp_path: Path) -> None:
    few = replace(arrays, data=arrays.data[:1], scan=arrays.scan[:1])
    assert examine_file(few.write(tmp_path / "one.npz")).word == "doubtful"
