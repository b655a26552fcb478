"""Two runs never write to one folder at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from ptycho_torch.cli.main import main
from ptycho_torch.config import SimulationSettings
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    write_scan(simulate_scan(SimulationSettings(object_px=64, patch_px=32, step_px=6, probe_diameter_px=12)), path)
    return path


@pytest.mark.parametrize("command", ["refine", "train"])
def test_a_run_leaves_the_folder_of_another_alone(
    scan_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    words = [command, f"--data={scan_path}", f"--output_dir={folder}", "--overwrite", "--quiet", "--epochs=1"]
    with FileLock(folder / ".lock"):
        code = main([*words, "--device=cpu"])
    assert code == 2, "a folder in use was written to"
    assert capsys.readouterr().err.count("another run writes to it") == 1
    assert (folder / "run.json").read_text() == "{}"


def test_a_folder_is_free_again_after_a_run(scan_path: Path, tmp_path: Path) -> None:
    words = ["refine", f"--data={scan_path}", f"--output_dir={tmp_path / 'out'}", "--quiet", "--epochs=1"]
    assert main([*words, "--device=cpu"]) in (0, 3)
    assert main([*words, "--device=cpu", "--overwrite"]) in (0, 3)
    assert not (tmp_path / "out" / ".lock").exists()
