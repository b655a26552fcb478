"""What a newcomer and a package index see: links, examples, version."""

from __future__ import annotations

import doctest
import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import ptycho_torch as pt

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
API = ROOT / "docs" / "api.md"
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
FOLDERS = (".", "changes", "docs", "docs/decisions", "docs/development", "docs/workflows", "specs")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))


def relative_links(page: Path) -> list[str]:
    """Links to other files, those of the ledger to evidence left out: `redgreen ledger --check` compares these."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link and "/reports/" not in link]


def test_links_are_found() -> None:
    assert "docs/api.md" in relative_links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    assert [link for link in relative_links(page) if not (page.parent / link).exists()] == []


def test_the_description_of_the_package_has_no_links_into_the_repository() -> None:
    assert relative_links(ROOT / PROJECT["readme"]) == []


@pytest.mark.parametrize("name", pt.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert re.search(rf"\b{name}\b", API.read_text(encoding="utf-8"))


def test_the_examples_run() -> None:
    result = doctest.testfile(str(API), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0


def test_the_citation_has_the_version_of_the_package() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == PROJECT["version"]


def test_the_hosted_checks_are_those_of_the_project() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert "bash .ci/run" in [step.get("run") for step in jobs["all"]["steps"]]


def test_make_lists_every_target_that_it_offers() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    offered = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert offered
    assert set(re.findall(r"^  make (\w+)", told, re.MULTILINE)) == set(offered[1].split())


def test_every_package_of_the_harness_is_installed() -> None:
    declared = tomllib.loads((ROOT / "redgreen" / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [path.parent for path in (ROOT / "redgreen").rglob("__init__.py")]
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(declared["tool"]["setuptools"]["packages"]) == packages


def test_each_fault_of_the_sabotage_finds_its_place_in_the_package() -> None:
    faults = runpy.run_path(str(ROOT / "tests" / "sabotage" / "faults.py"))["FAULTS"]
    assert len(faults) >= 12
    for fault in faults:
        assert (ROOT / "ptycho_torch" / fault.file).read_text(encoding="utf-8").count(fault.text) == 1, fault.name
