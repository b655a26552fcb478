from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from short_runs import REFINE, DirectLauncher, write_small_scan

from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.run.compose import open_composer
from ptycho_torch.run.main import main
from ptycho_torch.run.multirun import run_several
from ptycho_torch.run.stages import STAGES
from ptycho_torch.storage.locking import lock_folder

RATES = "refine.learning_rate=tag(log,interval(1e-3,1e-1))"
POISSON = "refine.method=poisson"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_small_scan(tmp_path / "scan.npz")
    return tmp_path


def sweep(*words: str, launcher: DirectLauncher | None = None) -> tuple[int, DirectLauncher]:
    used = launcher or DirectLauncher()
    with open_composer(STAGES["refine"]) as composer:
        code = run_several(composer, [*REFINE, "run.output_dir=sweep", *words], used)
    return code, used


def table() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(Path("sweep/sweep.json").read_text())["runs"]
    return rows


def test_every_combination_runs_and_stands_in_the_table() -> None:
    code, _ = sweep("refine.seed=0,1", "refine=default,thorough", "refine.epochs=1")
    assert code in (0, 3)  # 3 if a run is judged to have failed, as one of a single epoch may be
    assert [row["overrides"] for row in table()] == [
        {"refine.seed": seed, "refine": option} for seed in ("0", "1") for option in ("default", "thorough")
    ]
    assert all(row["results"]["R"] > 0 and row["exit_code"] in (0, 3) for row in table())
    record = json.loads(Path("sweep/3/run.json").read_text())
    assert record["settings"]["refine"]["seed"] == 1


@pytest.mark.slow
def test_a_sweep_goes_on_with_the_runs_that_have_not_finished() -> None:
    sweep("refine.seed=0,1,2")
    shutil.rmtree("sweep/1")
    interrupted = Path("sweep/2/run.json")
    interrupted.write_text(json.dumps({**json.loads(interrupted.read_text()), "status": "running"}))
    code, launcher = sweep("refine.seed=0,1,2", "sweep.resume=true")
    assert code in (0, 3)
    assert launcher.folders == ["1", "2"]
    assert [row["results"]["R"] > 0 for row in table()] == [True] * 3
    with pytest.raises(OutputError, match="over other values"):
        sweep("refine.seed=0,1,3", "sweep.resume=true")
    with pytest.raises(OutputError, match="not empty"):
        sweep("refine.seed=0,1,2")


def test_two_sweeps_do_not_write_to_one_folder() -> None:
    sweep("refine.seed=0,1")
    with lock_folder(Path("sweep")), pytest.raises(OutputError, match="another run writes to it"):
        sweep("refine.seed=0,1", "sweep.resume=true")


@pytest.mark.slow
def test_runs_in_processes_of_their_own_give_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    sweep("refine.seed=0,1")
    words = [*REFINE, "refine.seed=0,1", "run.output_dir=other", "launcher.processes=2", "-m"]
    assert main("refine", words) in (0, 3)
    assert {"run 1 of 2: other/0", "run 2 of 2: other/1"} <= set(capfd.readouterr().err.splitlines())
    for number in ("0", "1"):
        figures = [json.loads(Path(root, number, "metrics.json").read_text())["R"] for root in ("sweep", "other")]
        assert figures[0] == pytest.approx(figures[1], rel=1e-5)


def search(*words: str, trials: int, **options: Any) -> tuple[int, DirectLauncher]:
    return sweep(POISSON, "sweep=tpe", f"sweep.trials={trials}", *words, **options)


def tried() -> list[float]:
    return [float(row["overrides"]["refine.learning_rate"]) for row in table()]


def load() -> optuna.Study:
    return optuna.load_study(study_name="sweep", storage="sqlite:///sweep/study.sqlite")


@pytest.mark.slow
def test_a_search_finds_the_best_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = search(RATES, trials=3)
    assert code == 0
    assert len(set(tried())) == 3
    assert all(1e-3 <= rate <= 1e-1 for rate in tried())
    figures = [row["results"]["R"] for row in table()]
    best = figures.index(min(figures))
    assert f"best of 3 runs: R {min(figures):.6g} in sweep/{best}" in capsys.readouterr().out
    first = tried()
    _, launcher = search(RATES, "sweep.resume=true", trials=5)
    assert launcher.folders == ["3", "4"]
    assert tried()[:3] == first
    assert len(set(tried())) == 5
    assert [trial.value for trial in load().trials] == [row["results"]["R"] for row in table()]


def test_a_search_in_another_space_is_refused() -> None:
    search(RATES, trials=1)
    for words, named in (
        (["refine.learning_rate=tag(log,interval(1e-4,1e-1))"], "refine.learning_rate"),
        ([RATES, "refine.seed=1,2"], "refine.seed"),
        ([RATES, "refine.batches=2"], "refine.batches"),
        ([RATES, "sweep.metric=R_floor"], "metric"),
        ([RATES, "sweep.direction=maximize"], "sweep.direction"),
    ):
        with pytest.raises(OutputError, match=f"its search had {named}"):
            search(*words, "sweep.resume=true", trials=2)
    assert len(table()) == 1


@pytest.mark.slow
def test_a_seed_repeats_a_search_and_another_one_does_not() -> None:
    seen = []
    for seed in (0, 0, 1):
        shutil.rmtree("sweep", ignore_errors=True)
        search(RATES, f"sweep.seed={seed}", trials=1)
        seen.append(tried())
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.slow
def test_a_run_that_was_ended_from_outside_counts_as_failed() -> None:
    search(RATES, trials=1)
    load().ask()
    search(RATES, "sweep.resume=true", trials=3)
    assert [trial.state.name for trial in load().trials] == ["COMPLETE", "FAIL", "COMPLETE"]


@pytest.mark.slow
def test_whole_numbers_choices_and_options_of_groups_are_searched() -> None:
    search("refine.probe_modes=interval(1,2)", "refine.seed=range(0,3)", "data=default,counts", trials=2)
    assert all(row["overrides"]["refine.probe_modes"] in ("1", "2") for row in table())
    assert {key for row in table() for key in row["overrides"]} == {"refine.probe_modes", "refine.seed", "data"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep=tpe"], "nothing to search"),
        (["sweep=tpe", "refine.learning_rate=interval(0.1,0.01)"], "must rise"),
        (["refine.learning_rate=interval(0.01,0.1)"], "sweep.sampler=tpe"),
        (["sweep.trials=1,2"], "the same in all runs"),
        (["refine.seed=0,1", "run.overwrite=true"], "replaces no results"),
        (["refine.seed=0,1", "sweep.resume=true"], "no sweep to resume"),
    ],
)
def test_an_unusable_sweep_is_refused_before_it_runs(words: Sequence[str], message: str) -> None:
    with pytest.raises((ConfigError, OutputError), match=message):
        sweep(*words)
    assert not Path("sweep").exists()


def test_a_figure_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"sweep.metric is 'loss'.*R_floor"):
        search(RATES, "sweep.metric=loss", trials=3)
    assert len(load().trials) == 1
