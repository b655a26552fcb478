from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from short_runs import REFINE, write_small_scan

from ptycho_torch.cli.main import main as plain_main
from ptycho_torch.run.main import main
from ptycho_torch.run.stages import STAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stage", STAGES)
def test_the_help_names_every_group_and_every_key(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(stage, ["--help"]) == 0
    text = capsys.readouterr().out
    for section, kind in STAGES[stage].sections.items():
        assert f"  {section} " in text
        for name in kind.find_types():
            assert f"{section}.{name}: " in text
    for name in STAGES[stage].options:
        assert f"run.{name}: " in text
    assert "%%" not in text


def test_the_printed_configuration_composes_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["experiment=lines", "training.steps=7", "training.seed=${simulation.seed}", "simulation.seed=5"]
    assert main("experiment", [*words, "--cfg", "job"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["training"]["seed"] == "${simulation.seed}"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text(text)
    assert main("experiment", ["-cd", "own", "-cn", "mine", "--cfg", "job", "--resolve"]) == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    assert resolved["training"]["seed"] == 5
    assert resolved["training"]["steps"] == 7
    assert not (tmp_path / "experiment_outputs").exists()


@pytest.mark.parametrize(("value", "folder"), [("5", "5"), ("null", "refine_outputs")])
def test_a_folder_may_have_a_number_as_its_name(
    value: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_scan(tmp_path / "scan.npz")
    assert main("refine", [*REFINE, f"run.output_dir={value}"]) in (0, 3)
    assert (tmp_path / folder / "config.yaml").is_file()


def test_a_file_of_configurations_must_be_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [train, _self_]\n", encoding="utf-16")
    assert main("train", ["-cd", str(tmp_path), "--cfg", "job"]) == 2
    assert "mine.yaml: is not a readable file of UTF-8 text" in capsys.readouterr().err


def offer(line: str, folder: Path, module: str, function: str) -> set[str]:
    """What a shell offers for the last word of a line, as argcomplete answers it."""
    program = f"import sys; sys.argv[0] = {line.split()[0]!r}; from {module} import {function}; {function}()"
    answer = folder / "answer"
    environment = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            **environment,
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "PYTHONPATH": str(ROOT),
        },
        timeout=60,
        check=True,
    )
    return {word.strip() for word in answer.read_text().split("\n")}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ptycho-train model.w", {"model.width="}),
        ("ptycho-train model.network=", {"model.network=unet"}),
        ("ptycho-train model=sm", {"model=small"}),
        ("ptycho-train run.over", {"run.overwrite="}),
        ("ptycho-train sweep.samp", {"sweep.sampler="}),
        ("ptycho-train --mul", {"--multirun"}),
    ],
)
def test_a_shell_completes_groups_keys_and_values(line: str, offered: set[str], tmp_path: Path) -> None:
    assert offered <= offer(line, tmp_path, "ptycho_torch.run.scripts", "train")


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    assert offer("ptycho-torch exper", tmp_path, "ptycho_torch.cli.main", "main") == {"experiment"}
    assert "--simulation_photons" in offer(
        "ptycho-torch experiment --simulation_ph", tmp_path, "ptycho_torch.cli.main", "main"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell_name_every_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain_main(["completion", shell]) == 0
    assert "ptycho-torch" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["hydra", "omegaconf"])
def test_a_missing_library_is_named_with_the_extra_to_install(missing: str, tmp_path: Path) -> None:
    hide = f"import sys; sys.modules[{missing!r}] = None"
    program = f"{hide}; from ptycho_torch.run.scripts import train; sys.exit(train())"
    result = subprocess.run(
        [sys.executable, "-c", program, "--cfg", "job"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == f"ptycho-train: {missing} is not installed; python -m pip install 'ptycho-torch[run]'\n"
