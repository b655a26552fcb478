"""A broken configuration is refused by name, in one line, with exit code 2, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken import BROKEN, Broken

from ptycho_torch.run.main import main


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_configuration_is_refused_by_name(
    broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken.prepare(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(broken.stage, broken.words) == 2
    printed = capsys.readouterr()
    assert broken.named in printed.err
    assert printed.err.startswith(f"ptycho-{broken.stage}: ")
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 700
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "training_outputs").exists()
