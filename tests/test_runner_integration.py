"""Each console script runs briefly in a process of its own: two steps, eight patterns, no workers, no trackers, CPU.

Nothing is listed here: the scripts are those of `[project.scripts]`, their configurations are found.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import list_options, shorten

from ptycho_torch.cli.command import Command
from ptycho_torch.cli.commands import COMMANDS
from ptycho_torch.run.compose import open_composer
from ptycho_torch.run.stages import STAGES

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120


@dataclass(frozen=True)
class Runner:
    """A console script with one of the configurations that it can run.

    Attributes:
        script: name of the console script.
        entry: module and function that it calls, as in `module:function`.
        stage: the command that it runs.
        config: the stage, or an experiment.
    """

    script: str
    entry: str
    stage: str
    config: str

    def __str__(self) -> str:
        return f"{self.script}-{self.config}"

    @property
    def is_composed(self) -> bool:
        return self.entry.startswith("ptycho_torch.run")


def find_runners(project: Path = ROOT / "pyproject.toml") -> list[Runner]:
    """Every script of a project with every configuration that it can run."""
    scripts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]
    return [
        Runner(script, entry, stage, config)
        for script, entry in scripts.items()
        for stage, config in find_configs(load(entry))
    ]


def load(entry: str) -> Callable[..., int]:
    module, _, name = entry.partition(":")
    found: Callable[..., int] = getattr(importlib.import_module(module), name)
    return found


def find_configs(function: Callable[..., int]) -> list[tuple[str, str]]:
    if not isinstance(function, partial):  # the command line of plain options, with all commands
        return [(stage, stage) for stage in STAGES]
    (stage,) = function.args
    with open_composer(STAGES[stage]) as composer:
        experiments = [option for group, option in list_options(composer) if group == "experiment"]
    return [(stage, stage), *((stage, experiment) for experiment in experiments)]


RUNNERS = find_runners()
EXPERIMENT_RUNNERS = [runner for runner in RUNNERS if "training" in STAGES[runner.stage].sections]
STAGE_RUNNERS = [runner for runner in RUNNERS if runner not in EXPERIMENT_RUNNERS]


def call(runner: Runner, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Call a script as its installed form does."""
    module, _, name = runner.entry.partition(":")
    program = f"import sys; sys.argv[0] = {runner.script!r}; from {module} import {name}; sys.exit({name}())"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def list_inputs(stage: Command, inputs: dict[str, Path]) -> dict[str, str]:
    """The options of a stage that name its inputs, and those of the machine."""
    simulates = "simulation" in stage.sections
    given = {name: str(path) for name, path in inputs.items() if name in stage.options and not simulates}
    usual = {"device": "cpu", "disable_mlflow": "true"}
    return {**given, **{name: value for name, value in usual.items() if name in stage.options}}


def compose_words(runner: Runner, inputs: dict[str, Path], output: Path) -> list[str]:
    """The words of a composed command line for a short run."""
    stage = STAGES[runner.stage]
    place = f"run.output_dir={output}" if "output_dir" in stage.options else f"run.output={output / 'scan.npz'}"
    experiment = [f"experiment={runner.config}"] if runner.config != runner.stage else []
    run = [f"run.{name}={value}" for name, value in list_inputs(stage, inputs).items()]
    return [*experiment, *shorten(runner.stage), *run, place]


def plain_words(runner: Runner, inputs: dict[str, Path], output: Path) -> list[str]:
    """The words of a command line of plain options for a short run, with its settings in a file."""
    stage = STAGES[runner.stage]
    sections: dict[str, dict[str, Any]] = {}
    for text in shorten(runner.stage):
        key, _, value = text.partition("=")
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = yaml.safe_load(value)
    settings = output.parent / "settings.yaml"
    settings.write_text(yaml.safe_dump(sections))
    place = ["--output_dir", str(output)] if "output_dir" in stage.options else ["--output", str(output / "scan.npz")]
    words = [runner.stage, "--config", str(settings), *place]
    for name, value in list_inputs(stage, inputs).items():
        words += [f"--{name}"] if stage.options[name].nargs == 0 else [f"--{name}", value]
    return words


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scan, a trained network and a result, made by the scripts themselves."""
    folder = tmp_path_factory.mktemp("inputs")
    words = ["experiment", "--output_dir", "made", "--device", "cpu", "--steps", "1", "--width", "4", "--depth", "2"]
    words += ["--simulation_object_px", "96", "--simulation_path", "spiral", "--simulation_step_px", "9.2"]
    main = Runner("ptycho-torch", "ptycho_torch.cli.main:main", "experiment", "experiment")
    result = call(main, [*words, "--bootstrap_epochs", "1", "--polish_epochs", "1"], folder)
    assert result.returncode in (0, 3), result.stderr
    made = folder / "made"
    return {
        "data": made / "scan.npz",
        "checkpoint": made / "network" / "checkpoints" / "last.ckpt",
        "result": made / "reconstruction",
    }


@pytest.mark.integration
@pytest.mark.slow
class TestExperimentRunners:
    """Every console script with every configuration that it can run."""

    @pytest.mark.parametrize("runner", [*EXPERIMENT_RUNNERS, *STAGE_RUNNERS], ids=str)
    def test_runner_executes_brief_training(self, runner: Runner, inputs: dict[str, Path], tmp_path: Path) -> None:
        output = tmp_path / "output"
        make_words = compose_words if runner.is_composed else plain_words
        result = call(runner, make_words(runner, inputs, output), tmp_path)
        # a reconstruction of one epoch may be judged to have failed
        allowed = (0, 3) if "refine" in STAGES[runner.stage].sections or runner.stage == "evaluate" else (0,)
        assert result.returncode in allowed, f"{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stdout + result.stderr
        assert output.is_dir()
        (record,) = output.glob("*run.json")
        content = json.loads(record.read_text())
        assert content["status"] == "finished"
        assert content["command"] == runner.stage
        if runner.is_composed:
            (stored,) = output.glob("*config.yaml")
            assert yaml.safe_load(stored.read_text())["run"]["stage"] == runner.stage
        if runner in EXPERIMENT_RUNNERS:
            results = content["results"]
            assert results.get("training", results)["steps"] == 2


def test_every_script_of_the_project_is_run() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {runner.script for runner in RUNNERS} == set(scripts)
    assert {runner.stage for runner in RUNNERS if runner.is_composed} == set(STAGES) == set(COMMANDS) - {"demo"}
    assert len(EXPERIMENT_RUNNERS) > len(STAGE_RUNNERS) > 0


@pytest.mark.integration
@pytest.mark.slow
def test_a_new_script_is_run_without_a_list(tmp_path: Path, inputs: dict[str, Path]) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    line = 'ptycho-polish = "ptycho_torch.run.scripts:refine"'
    (tmp_path / "pyproject.toml").write_text(text.replace("[project.scripts]\n", f"[project.scripts]\n{line}\n"))
    (runner,) = set(find_runners(tmp_path / "pyproject.toml")) - set(RUNNERS)
    assert str(runner) == "ptycho-polish-refine"
    result = call(runner, compose_words(runner, inputs, tmp_path / "output"), tmp_path)
    assert result.returncode in (0, 3), result.stderr
    assert (tmp_path / "output" / "run.json").is_file()
