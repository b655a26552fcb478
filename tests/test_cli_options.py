from __future__ import annotations

import pytest

from ptycho_torch.cli.options import Parser, add_settings, collect_settings
from ptycho_torch.config import RefineSettings, TrainingSettings


def test_an_optional_setting_can_be_emptied(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="program")
    add_settings(parser, TrainingSettings)

    def clip(*arguments: str) -> float | None:
        return collect_settings(parser.parse_args(arguments), TrainingSettings).gradient_clip

    assert clip() == 1.0
    assert clip("--gradient_clip", "0.5") == 0.5
    assert clip("--gradient_clip", "none") is None
    for unusable in (["--gradient_clip", "much"], ["--learning_rate", "none"]):
        with pytest.raises(SystemExit):
            parser.parse_args(unusable)
        assert "invalid float value" in capsys.readouterr().err


def test_what_a_network_was_trained_with_can_be_emptied_too() -> None:
    parser = Parser(prog="program")
    add_settings(parser, RefineSettings, prefix="polish_")
    stored = RefineSettings(regularisation=0.05)
    for arguments, wanted in (([], 0.05), (["--polish_regularisation", "none"], None)):
        found = collect_settings(parser.parse_args(arguments), RefineSettings, prefix="polish_", base=stored)
        assert found.regularisation == wanted
