"""Reports of the old form become small without a byte lost, whenever this is interrupted; old attempts move aside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from redgreen_kill import kill_at_each_step
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target, write_loose

from redgreen.evidence import attempts, ledger
from redgreen.evidence.archive import make_archive, read_archive
from redgreen.evidence.collected import name_folder
from redgreen.evidence.guards import GUARDS, GUARDS_ARCHIVE, read_lines
from redgreen.evidence.migrate import find_work, migrate
from redgreen.evidence.packed import ATTEMPTS, SUMMARY, pack, read_contents
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify_all import verify_all

Contents = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A repository whose reports are single files: two guards that held, one that broke, two REDs and a GREEN."""
    sandbox = make_sandbox(tmp_path_factory.mktemp("old") / "repo", target(), guard())
    sandbox.record("guard", "held", keep=True)
    sandbox.write("tests/test_held.py", "def test_held():\n    assert 1 == 2\n")
    sandbox.record("guard", "held")
    sandbox.git("checkout", "-q", "tests/test_held.py")
    for mode in ("red", "red"):
        sandbox.record(mode)
    fix_product(sandbox)
    sandbox.record("red")
    sandbox.record("guard", "held", keep=True)
    sandbox.record("green")
    for folder in sandbox.project.list_folders():
        write_loose(folder)
    ledger.rebuild(sandbox.project, sandbox.loaded())
    sandbox.commit("evidence")
    return sandbox


@pytest.fixture
def sandbox(recorded: Sandbox, tmp_path: Path) -> Sandbox:
    return recorded.copy(tmp_path / "repo")


def reports_of(sandbox: Sandbox) -> Path:
    return sandbox.root / "plans/active/DEMO-001/reports"


def read_all(sandbox: Sandbox) -> Contents:
    """The files of every report, in folders and in the archive of guards, by its name."""
    folders = {name_folder(folder): read_contents(folder) for folder in sandbox.project.list_folders()}
    archive = reports_of(sandbox) / GUARDS_ARCHIVE
    if archive.exists():
        for path, data in read_archive(archive.read_bytes(), "").items():
            stamp, name, file = path.split("/")
            folders.setdefault(f"{stamp}/{name}", {})[file] = data
    return folders


def count_files(sandbox: Sandbox) -> int:
    return sum(path.is_file() for path in reports_of(sandbox).rglob("*"))


def test_old_reports_become_small_and_lose_nothing(sandbox: Sandbox) -> None:
    before, files = read_all(sandbox), count_files(sandbox)
    told = sandbox.run("migrate", "--check")
    assert (told.code, "5 folders would be packed, 2 guards would be archived" in told.out) == (0, True)
    assert count_files(sandbox) == files
    assert sandbox.run("migrate").code == 0
    assert read_all(sandbox) == before
    names = {path.name for path in reports_of(sandbox).iterdir() if path.is_file()}
    assert names == {GUARDS, GUARDS_ARCHIVE}
    assert count_files(sandbox) == 2 + 5 * 3
    assert [line.kept for line in read_lines(reports_of(sandbox) / GUARDS)] == [True, True]
    for words in (["verify"], ["verify", "--against", "HEAD"], ["ledger", "--check"]):
        assert sandbox.run(*words).code == 0, words
    assert sandbox.run("verify").out == "7 reports verified\n"
    assert not [path for path in reports_of(sandbox).iterdir() if path.is_dir() and not any(path.iterdir())]


def test_doing_it_again_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.run("migrate")
    before = {path: path.read_bytes() for path in (sandbox.root / "plans").rglob("*") if path.is_file()}
    assert sandbox.run("migrate").out == "0 folders packed, 0 guards archived, 0 left as they are\n"
    assert {path: path.read_bytes() for path in (sandbox.root / "plans").rglob("*") if path.is_file()} == before


def test_what_comes_later_joins_what_is_archived(sandbox: Sandbox) -> None:
    sandbox.run("migrate")
    before = read_all(sandbox)
    sandbox.run("guard", "held")
    kept = sandbox.record("guard", "held", keep=True)
    assert sandbox.run("migrate").code == 0
    assert [line.kept for line in read_lines(reports_of(sandbox) / GUARDS)] == [True, True, False, True]
    assert read_all(sandbox).keys() == {*before, f"{kept.stamp}/held"}
    assert sandbox.run("verify", "--against", "HEAD").code == 0


def test_an_archived_guard_is_written_out_by_its_run_id(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = min(sandbox.project.list_folders())
    run_id, contents = load_run(folder).result.run_id, read_contents(folder)
    sandbox.run("migrate")
    assert sandbox.run("unpack", run_id, "--to", str(tmp_path / "out")).code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents
    assert os.system(f"cd {tmp_path / 'out'} && sha256sum -c --quiet MANIFEST.sha256") == 0


def test_a_report_that_does_not_hold_is_named_and_left(sandbox: Sandbox) -> None:
    folder = min(sandbox.project.list_folders())
    (folder / "env.json").write_text("{}", encoding="utf-8")
    done = sandbox.run("migrate", "--json")
    assert done.code == 21
    assert done.values()["left"] == {sandbox.project.relativize(folder): "env.json was changed"}
    assert (folder / "result.json").is_file()
    assert len(read_lines(reports_of(sandbox) / GUARDS)) == 1


def change_archive(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change the files of an archive, with all that redgreen knows about packing."""
    files = read_archive(path.read_bytes(), "")
    change(files)
    path.write_bytes(make_archive(files))


def change_guards(reports: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    change_archive(reports / GUARDS_ARCHIVE, change)


def change_attempts(reports: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    change_archive(reports / ATTEMPTS, change)


def pick(files: dict[str, bytes], name: str) -> str:
    return min(path for path in files if path.endswith(f"/{name}"))


def double(files: dict[str, bytes], name: str) -> None:
    files[pick(files, name)] *= 2


def add(files: dict[str, bytes], name: str) -> None:
    files[name] = b""


TAMPERS: dict[str, Callable[[Path], object]] = {
    "a log": lambda reports: change_guards(reports, lambda f: double(f, "pytest_held.log")),
    "a seal": lambda reports: change_guards(reports, lambda f: double(f, "SEAL.json")),
    "a file less": lambda reports: change_guards(reports, lambda f: f.pop(pick(f, "env.json"))),
    "a file more": lambda reports: change_guards(reports, lambda f: add(f, pick(f, "env.json") + "x")),
    "a file of no folder": lambda reports: change_guards(reports, lambda f: add(f, "x")),
    "a folder of no line": lambda reports: change_guards(reports, lambda f: add(f, "2020-01-01T000000Z/x/y")),
    "no archive": lambda reports: (reports / GUARDS_ARCHIVE).unlink(),
    "half an archive": lambda reports: os.truncate(reports / GUARDS_ARCHIVE, 200),
    "no log": lambda reports: (reports / GUARDS).unlink(),
    "attempts: a log": lambda reports: change_attempts(reports, lambda f: double(f, "pytest_demo_red.log")),
    "attempts: a file less": lambda reports: change_attempts(reports, lambda f: f.pop(pick(f, "env.json"))),
    "attempts: a file more": lambda reports: change_attempts(reports, lambda f: add(f, pick(f, "env.json") + "x")),
    "attempts: no archive": lambda reports: (reports / ATTEMPTS).unlink(),
    "attempts: half an archive": lambda reports: os.truncate(reports / ATTEMPTS, 200),
    "attempts: a folder gone": lambda reports: shutil.rmtree(find_moved(reports).parent),
    "attempts: its page": lambda reports: (find_moved(reports) / SUMMARY).write_text("words", encoding="utf-8"),
}  # fmt: skip


def find_moved(reports: Path) -> Path:
    """The first folder of which only the page is left."""
    return min(path.parent for path in reports.rglob(SUMMARY) if len(list(path.parent.iterdir())) == 1)


@pytest.fixture(scope="module")
def collected(recorded: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    sandbox = recorded.copy(tmp_path_factory.mktemp("collected") / "repo")
    assert sandbox.run("migrate").code == 0
    assert sandbox.run("gc").code == 0
    sandbox.commit("small")
    return sandbox


@pytest.mark.parametrize("name", TAMPERS)
def test_every_change_of_an_archive_is_found(collected: Sandbox, tmp_path: Path, name: str) -> None:
    sandbox = collected.copy(tmp_path / "repo")
    assert sandbox.run("verify", "--against", "HEAD~1").code == 0
    TAMPERS[name](reports_of(sandbox))
    done = sandbox.run("verify", "--against", "HEAD~1")
    assert done.code == 21, done.out
    assert "Traceback" not in done.err
    assert sandbox.run("status").code == 0


def test_old_attempts_move_aside_and_their_pages_stay(recorded: Sandbox, collected: Sandbox, tmp_path: Path) -> None:
    assert read_all(collected) == read_all(recorded)
    runs = [load_run(folder) for folder in collected.project.list_folders()]
    moved = [run for run in runs if {path.name for path in run.folder.iterdir()} == {SUMMARY}]
    assert [(run.result.selector, str(run.verdict)) for run in moved] == [
        ("held", "GUARD_BROKEN"),
        ("demo", "VALID_RED"),
        ("demo", "NOTHING_FAILED"),
    ]
    page = (moved[0].folder / SUMMARY).read_text(encoding="utf-8")
    assert page.startswith("# GUARD_BROKEN: held (GUARD)")
    assert [json.loads(collected.run("gc", "--json").out)["moved"], count_files(collected)] == [[], 3 + 2 * 3 + 3]
    for words in (["verify"], ["ledger", "--check"], ["verify", "--against", "HEAD~1"]):
        assert collected.run(*words).code == 0
    done = collected.run("unpack", moved[0].result.run_id, "--to", str(tmp_path / "out"))
    assert done.code == 0
    assert os.system(f"cd {tmp_path / 'out'} && sha256sum -c --quiet MANIFEST.sha256") == 0
    assert collected.run("migrate").out == "0 folders packed, 0 guards archived, 0 left as they are\n"


def test_a_red_that_a_green_answers_can_still_be_named(collected: Sandbox, tmp_path: Path) -> None:
    sandbox = collected.copy(tmp_path / "repo")
    first = next(run for run in map(load_run, sandbox.project.list_folders()) if run.verdict == "VALID_RED")
    green = sandbox.record("green", red=first.result.run_id)
    assert green.verdict == "VALID_GREEN"
    assert sandbox.run("verify").code == 0


def test_gc_says_first_what_it_would_do(sandbox: Sandbox) -> None:
    before = count_files(sandbox)
    told = sandbox.run("gc", "--check").out
    assert told.count("would be moved") == 3
    assert count_files(sandbox) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["migrate", "gc"])
def test_a_kill_at_any_step_loses_nothing_and_the_next_goes_on(recorded: Sandbox, tmp_path: Path, command: str) -> None:
    contents = read_all(recorded)
    copies: list[Sandbox] = []
    origin = recorded.copy(tmp_path / "origin")
    if command == "gc":
        assert origin.run("migrate").code == 0
    else:  # the steps of one folder are like those of the next
        for folder in [folder for folder in origin.project.list_folders() if folder.name == "demo"]:
            pack(origin.project, folder)

    def prepare() -> Callable[[], object]:
        if copies:
            shutil.rmtree(copies[-1].root)
        made = origin.copy(tmp_path / "repo")
        copies.append(made)
        project = made.project
        if command == "migrate":
            return lambda: migrate(project, find_work(project))
        return lambda: attempts.move(project, attempts.find_old(project))

    for step in kill_at_each_step(prepare):
        sandbox = copies[-1]
        assert verify_all(sandbox.project, str(sandbox.root / "plans"), "HEAD")[0] == [], step
        assert read_all(sandbox) == contents, step
        if step % 5 == 0:
            assert sandbox.run(command).code == 0
            assert sandbox.run("migrate").code == 0
            assert sandbox.run("gc").code == 0
            assert read_all(sandbox) == contents, step
            assert sandbox.run("verify", "--against", "HEAD").code == 0, step
            assert count_files(sandbox) == 3 + 2 * 3 + 3
    assert len(copies) > 6
