from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptycho_torch.cli.main import main

QUICK = ("refine", "--print_config")
FAILING = ("convert", "missing.npz", "--output=scan.npz")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run an action of `jobs` in an empty folder; returns exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["jobs", *map(str, words)])
        except SystemExit as ended:
            code = int(str(ended.code))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def work(call: Call) -> int:
    return call("run", "--until_empty", "--poll_s=0.05", "--quiet")[0]


def read_states(call: Call) -> list[Any]:
    code, text, complaint = call("list", "--json")
    assert code == 0, complaint
    return [job["state"] for job in json.loads(text)["jobs"]]


def test_a_job_waits_in_the_queue_until_a_worker_has_run_it(call: Call) -> None:
    assert call("add", *QUICK)[:2] == (0, "job 1: added\n")
    assert read_states(call) == ["waiting"]
    assert work(call) == 0
    assert read_states(call) == ["done"]
    assert "method:" in Path("jobs.sqlite.logs/1.txt").read_text()


def test_a_job_that_fails_is_a_dead_letter_with_its_last_words(call: Call) -> None:
    assert call("add", "--attempts=1", *FAILING)[0] == 0
    assert work(call) == 3
    assert read_states(call) == ["dead"]
    assert "missing.npz: the file or folder does not exist" in call("show", 1)[1]


def test_a_dead_letter_can_be_tried_again(call: Call) -> None:
    assert call("add", "--attempts=1", *FAILING)[0] == 0
    assert work(call) == 3
    assert call("retry", 1)[:2] == (0, "job 1: waiting\n")
    assert read_states(call) == ["waiting"]


def test_a_cancelled_job_is_not_run(call: Call) -> None:
    assert call("add", *QUICK)[0] == 0
    assert call("cancel", 1)[:2] == (0, "job 1: cancelled\n")
    assert work(call) == 0
    assert not Path("jobs.sqlite.logs").exists()


def test_a_job_is_not_run_before_its_time(call: Call) -> None:
    assert call("add", "--at=+1h", *QUICK)[0] == 0
    assert work(call) == 0
    assert read_states(call) == ["waiting"]


def test_a_repeated_job_is_planned_again(call: Call) -> None:
    assert call("add", "--every=1d", *QUICK)[0] == 0
    assert work(call) == 0
    assert read_states(call) == ["done", "waiting"]


@pytest.mark.parametrize("words", [("sh", "-c", "touch evil"), ("jobs", "run"), ("refine", "--evil"), ()])
def test_only_command_lines_of_this_package_are_added(call: Call, words: tuple[str, ...]) -> None:
    assert call("add", *QUICK)[0] == 0
    code, _, complaint = call("add", *words)
    assert (code, complaint.count("\n")) == (2, 1)
    assert read_states(call) == ["waiting"]
