"""What the README tells a newcomer to type works as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from redgreen_sandbox import TOP, Sandbox, fix_product, make_sandbox

from redgreen.registry.layout import Layout, parse_layout

README = (TOP / "redgreen/README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A shell in which `python` is this interpreter with redgreen, and git knows its user."""
    found = Sandbox(tmp_path).environ() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return found | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


@pytest.mark.slow
def test_the_first_proven_pair_can_be_typed_as_it_stands(tmp_path: Path, environ: dict[str, str]) -> None:
    commands = blocks(section("Your first proven pair"), "sh")
    assert len(commands) == 6
    told = []
    folder = tmp_path
    for command in commands:
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        told.append(done.stdout)
        folder = tmp_path / "calc"
    proposed = told[2].splitlines()[-1].strip()
    assert proposed in commands[3], "the reason that is declared is the one that was seen"
    assert [line.split()[2] for line in "".join(told).splitlines() if line.startswith("REDGREEN ")] == [
        "GUARD_HELD", "VALID_RED", "VALID_GREEN",
    ]  # fmt: skip
    assert "3 reports verified" in told[5]
    assert "PROVEN  " in told[5]
    left = subprocess.run(["git", "status", "--porcelain"], cwd=folder, env=environ, capture_output=True, check=True)
    assert left.stdout == b""


def test_the_paths_of_the_readme_are_the_defaults() -> None:
    [text] = blocks(README, "toml")
    layout = parse_layout(lambda name: text.encode() if name == "pyproject.toml" else None)
    assert layout == Layout(index="docs/TESTS.md", selector_map="docs/SELECTORS.md")


@pytest.fixture
def recorded(tmp_path: Path) -> Sandbox:
    sandbox = make_sandbox(tmp_path / "repo")
    assert sandbox.record("red").verdict.is_valid
    return sandbox


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_records_as_the_readme_says(recorded: Sandbox, environ: dict[str, str]) -> None:
    [text] = blocks(README, "make")
    recorded.write("Makefile", text)
    fix_product(recorded)
    done = subprocess.run(
        ["make", "green", "S=demo"], cwd=recorded.root, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALID_GREEN" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("nox") is None, reason="nox is not installed")
def test_nox_checks_as_the_readme_says(recorded: Sandbox, environ: dict[str, str]) -> None:
    [text] = blocks(README, "python")
    recorded.write("noxfile.py", text.split("\n", 1)[1])
    command = [sys.executable, "-m", "nox", "-s", "evidence"]
    done = subprocess.run(command, cwd=recorded.root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    recorded.project.ledger.unlink()
    done = subprocess.run(command, cwd=recorded.root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_the_table_of_commands_is_whole(tmp_path: Path) -> None:
    told = Sandbox(tmp_path).spawn("--help").out
    verbs = set(re.findall(r"^    ([a-z]+)  ", told, re.MULTILINE))
    named = {word for row in re.findall(r"^\| (`.*?) \|", section("Commands"), re.MULTILINE) for word in row.split("`")}
    assert verbs <= {word.split()[0] for word in named if word.strip()}
