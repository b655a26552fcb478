"""Pairs under each major version of pytest, in projects whose configuration asks for many plugins."""

from __future__ import annotations

import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, fix_product, make_sandbox

pytestmark = pytest.mark.slow

PLUGINS = (
    "pytest-asyncio", "pytest-cov", "pytest-randomly", "pytest-rerunfailures", "pytest-timeout", "pytest-xdist",
)  # fmt: skip
GREEDY = """\
[pytest]
addopts = -n auto --dist loadfile --cov=product --cov-fail-under=100 -p randomly --reruns=2 --timeout=30 -x
    --strict-config --strict-markers
required_plugins = pytest-timeout pytest-cov
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
AWAITED = "from product import answer\n\n\nasync def test_awaited():\n    assert answer() == 42\n"


@dataclass
class Elsewhere(Sandbox):
    """A repository whose redgreen runs under another interpreter."""

    python: str = ""

    def argv(self, *words: str) -> list[str]:
        return [self.python, "-m", "redgreen", *words]


@pytest.fixture(scope="module", params=["pytest>=8.4,<9", "pytest>=9,<10"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter in an environment of its own, with that pytest."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    interpreter = str(folder / "bin" / "python")
    packages = [request.param, "pyyaml", "filelock", *PLUGINS]
    done = subprocess.run(
        [interpreter, "-m", "pip", "install", "--quiet", *packages], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot install {request.param}: {done.stderr.strip().splitlines()[-1:]}")
    return interpreter


@pytest.fixture
def sandbox(python: str, tmp_path: Path) -> Elsewhere:
    return Elsewhere(make_sandbox(tmp_path / "repo").root, python=python)


def test_a_pair_is_recorded_and_verified(sandbox: Elsewhere) -> None:
    assert sandbox.spawn("lint").code == 0
    assert sandbox.spawn("run", "red", "demo").verdict == "VALID_RED"
    fix_product(sandbox)
    assert sandbox.spawn("run", "green", "demo").verdict == "VALID_GREEN"
    assert sandbox.spawn("guard", "held").verdict == "GUARD_HELD"
    assert sandbox.spawn("verify").code == 0


def test_a_greedy_configuration_gets_its_plugins(sandbox: Elsewhere) -> None:
    for name in ("plans/registry.yaml", "pyproject.toml"):
        (sandbox.root / name).unlink()
    sandbox.write("pytest.ini", GREEDY)
    sandbox.write("tests/test_awaited.py", AWAITED)
    made = sandbox.spawn("init", "--json").values()
    assert {"asyncio", "timeout"} <= {*made["plugins"]}
    sandbox.commit("registry")
    assert sandbox.spawn("guard", "held").verdict == "GUARD_HELD"
    declared = ("--type", "AssertionError", "--match", "assert 41 == 42", "--product", "product.py")
    added = sandbox.spawn("add", "late", "tests/test_awaited.py::test_awaited", *declared)
    assert added.code == 0, added.err
    sandbox.commit("declared")
    red = sandbox.spawn("run", "red", "late")
    assert red.verdict == "VALID_RED", red.out
    fix_product(sandbox)
    assert sandbox.spawn("run", "green", "late").verdict == "VALID_GREEN"


def test_an_async_test_that_nothing_runs_never_passes(sandbox: Elsewhere) -> None:
    fix_product(sandbox)
    sandbox.write("tests/test_held.py", AWAITED)
    done = sandbox.spawn("guard", "held")
    assert done.code != 0
    assert "list one that runs them under `plugins`: asyncio" in done.out
