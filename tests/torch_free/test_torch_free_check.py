from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch_free import REASON, Tally, complaint

SUPPORT = Path(__file__).parents[1] / "support"
KNOWN = ["test_config_bridge", "test_model_manager", "test_workflows_components"]
LEAST = {"test_config_bridge": 3, "test_model_manager": 2}


def good() -> Tally:
    """A run without a fault: the workflows are not there yet."""
    tally = Tally()
    tally.passed.update(test_config_bridge=3, test_model_manager=4)
    tally.skips["test_model_manager"] = [f"Skipped: {REASON}"] * 2
    return tally


def test_a_good_run_gets_no_complaint() -> None:
    assert complaint(good(), LEAST, KNOWN) is None


@pytest.mark.parametrize(
    ("passed", "failed", "skips", "wanted"),
    [
        ({}, {"test_model_manager": 1}, {}, "test_model_manager: 1 failed"),
        ({}, {"conftest": 1}, {}, "conftest: 1 failed"),
        ({"test_model_manager": 1}, {}, {}, "test_model_manager: 1 passed without torch; at least 2"),
        ({"test_config_bridge": 0}, {}, {}, "test_config_bridge: 0 passed"),
        ({}, {}, {"test_config_bridge": [REASON]}, "test_config_bridge: 1 skipped, and nothing may"),
        ({}, {}, {"test_model_manager": ["needs a GPU"]}, "test_model_manager: 1 skipped, for needs a GPU"),
        ({"test_workflows_components": 5}, {}, {}, "test_workflows_components has no number"),
        ({}, {}, {"test_workflows_components": [REASON]}, "test_workflows_components: 0 passed"),
    ],
)
def test_each_fault_is_named(
    passed: dict[str, int], failed: dict[str, int], skips: dict[str, list[str]], wanted: str
) -> None:
    tally = good()
    tally.passed.update(passed)
    tally.failed.update(failed)
    tally.skips.update(skips)
    assert (complaint(tally, LEAST, KNOWN) or "").startswith(wanted)


def test_a_number_without_its_module_is_named() -> None:
    assert "no module that can do without torch" in (complaint(good(), LEAST | {"test_losses": 1}, KNOWN) or "")


def test_a_module_of_the_table_has_to_be_there() -> None:
    wanted = "test_workflows_components: 0 passed without torch; at least 3"
    assert (complaint(good(), LEAST | {"test_workflows_components": 3}, KNOWN) or "").startswith(wanted)


PROGRAM = """
import pytest
def test_good(): pass
def test_bad(): assert False
def test_skipped(): pytest.skip("torch is not installed")
@pytest.mark.xfail(strict=False)
def test_expected(): assert False
@pytest.mark.xfail(strict=False)
def test_unexpected(): pass
@pytest.fixture
def broken(): raise ValueError
def test_broken(broken): pass
"""
COUNT = """
import json, sys, pytest, torch_free
tally = torch_free.Tally()
pytest.main(["-q", "--continue-on-collection-errors", "-p", "no:cacheprovider", "-c", "pytest.ini", "."], [tally])
print(json.dumps([tally.passed, tally.failed, tally.skips]))
"""


def test_outcomes_are_counted(tmp_path: Path) -> None:
    files = {"test_program.py": PROGRAM, "test_damaged.py": "import no_such_name", "conftest.py": "", "pytest.ini": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    passed, failed, skips = json.loads(done.stdout.splitlines()[-1])
    assert passed["test_program"] == 1
    assert (failed["test_program"], failed["test_damaged"]) == (2, 1)
    assert skips == {"test_program": [f"Skipped: {REASON}", "no reason"]}
