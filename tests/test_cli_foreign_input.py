"""Files of any other kind, given to every command: one line with the true kind and what to do, and nothing made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bad_files import BAD_FILES

from ptycho_torch.cli.main import main


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_scan_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """[DC-7.4]"""
    make, wanted = BAD_FILES[case]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for command in ("refine", "train", "infer", "convert"):
        arguments = ["--data", str(path), "--output_dir", str(tmp_path / "made")]
        if command == "convert":
            arguments = [str(path), "--output", str(tmp_path / "made.npz")]
        code = main([command, *arguments, "--quiet"])
        streams = capsys.readouterr()
        assert code == 2, streams
        assert streams.out == ""
        lines = streams.err.splitlines()
        assert len(lines) == 1, streams.err
        assert lines[0].startswith(f"ptycho-torch {command}: ")
        assert re.search(wanted, lines[0]), lines[0]
        assert sorted(tmp_path.rglob("*")) == before
