"""No format changes without its version, and no release without its stored files."""

from __future__ import annotations

import os
import re
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from file_layouts import FILES, MAY_ADD, Layout, describe_folder, find_changes
from make import COMMANDS, INTERRUPTED, PRINTED
from releases import Release, list_releases

from ptycho_torch.cli.main import main
from ptycho_torch.migrations.chain import Format
from ptycho_torch.migrations.formats import FORMATS, list_versions

ROOT = Path(__file__).parents[1]
NEWEST = Release(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
# a release is at most as large as this
_LARGEST_BYTES = 2**20
_FORMAT_OF = {"result of a network": "result", "object": "result"}


@contextmanager
def interrupt_when(exists: Path) -> Iterator[None]:
    """Send this process the signal of Ctrl-C once a file exists."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if exists.exists():
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a release, as this version writes them."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in COMMANDS.values():
            assert main([*words, "--quiet"]) in (0, 3)
        with interrupt_when(folder / "interrupted" / "state.ckpt"):
            assert main([*INTERRUPTED, "--quiet"]) == 130
    return folder


@pytest.fixture(scope="module")
def layouts(written: Path) -> dict[str, Layout]:
    return describe_folder(written)


def test_every_release_has_its_files() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = {project["version"], *re.findall(r"^## (\d+\.\d+\S*) ", changelog, re.MULTILINE)}
    missing = sorted(released - {release.name for release in list_releases()})
    assert not missing, f"tests/fixtures/releases/make.py makes the files that are missing, of {missing}"


@pytest.mark.parametrize("release", list_releases(), ids=lambda release: release.name)
def test_the_files_of_a_release_are_small_and_whole(release: Release) -> None:
    stored = [path for path in release.folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) <= _LARGEST_BYTES
    assert describe_folder(release.folder) == release.description["layouts"]
    assert re.fullmatch(r"[0-9a-f]{40}", release.description["commit"])


def test_the_newest_release_has_a_file_of_every_format() -> None:
    described = {_FORMAT_OF.get(name, name) for name in NEWEST.description["layouts"]}
    assert described == set(FORMATS)


@pytest.mark.parametrize("name", [name for name in FILES if name != "settings"])
def test_a_layout_changes_only_with_its_version(name: str, layouts: dict[str, Layout]) -> None:
    stored = NEWEST.description
    kind = _FORMAT_OF.get(name, name)
    if stored["formats"][kind] == list_versions()[kind]:
        changes = find_changes(stored["layouts"][name], layouts[name], MAY_ADD.get(name, ""))
        assert not changes, f"{name} has changed without a version in ptycho_torch/migrations: {changes}"


def test_a_layout_of_settings_changes_only_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(PRINTED) == 0
    (tmp_path / "settings.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    if NEWEST.description["formats"]["settings"] == list_versions()["settings"]:
        now = describe_folder(tmp_path)["settings"]
        assert find_changes(NEWEST.description["layouts"]["settings"], now, MAY_ADD["settings"]) == []


def rename(values: dict[str, object]) -> dict[str, object]:
    return {**values, "new": values.get("old")}


@pytest.mark.parametrize(
    ("version", "migrations"), [(3, {1: rename}), (3, {2: rename}), (2, {1: rename, 2: rename}), (2, {})]
)
def test_a_format_without_a_migration_from_each_version_is_none(
    version: int, migrations: dict[int, Callable[[dict[str, object]], dict[str, object]]]
) -> None:
    with pytest.raises(ValueError, match="do not lead to"):
        Format("thing", version, migrations)


def test_migrations_are_chained() -> None:
    form = Format("thing", 3, {1: rename, 2: lambda values: {**values, "newest": values["new"]}})
    assert form.upgrade({"old": 5}, "a file") == {"old": 5, "new": 5, "newest": 5, "version": 3}
    assert form.upgrade({"version": 2, "new": 6}, "another") == {"new": 6, "newest": 6, "version": 3}


def test_what_changes_in_a_layout_is_named() -> None:
    before, now = {"a": "number", "b": "list"}, {"a": "str", "c": "list"}
    assert find_changes(before, now) == ["b (list) is gone", "a was number and is str", "c (list) is new"]
