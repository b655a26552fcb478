"""Whatever is changed in sealed evidence, `verify` finds it; also when the folder was sealed again afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redgreen_sandbox import Sandbox, fix_product, guard, make_sandbox, target, write_loose

from redgreen.codec import digest
from redgreen.codes import Verdict
from redgreen.errors import ReportError, VerifyError
from redgreen.evidence.folder import MANIFEST, seal
from redgreen.evidence.ledger import check
from redgreen.evidence.packed import pack
from redgreen.evidence.record import SEAL
from redgreen.evidence.verify_all import verify_all
from redgreen.project import Project

Tamper = Callable[["Evidence"], object]


class Evidence:
    """A repository with a sealed RED, GREEN and guard run, ready to be tampered with."""

    def __init__(self, root: Path) -> None:
        self.sandbox = Sandbox(root)
        folders = sorted(self.sandbox.project.list_folders())
        self.red, self.green = (folder for folder in folders if folder.name == "demo")
        self.held = next(folder for folder in folders if folder.name == "held")
        self.ledger = self.sandbox.project.ledger

    def reseal(self, folder: Path) -> Path:
        """Seal a folder again, as somebody would who knows how."""
        record = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        (folder / MANIFEST).unlink()
        (folder / SEAL).unlink()
        verdict = Verdict[json.loads((folder / "result.json").read_text(encoding="utf-8"))["verdict"]]
        partial = folder.rename(folder.with_name(f".{folder.name}.partial"))
        return seal(partial, record["run_id"], verdict)

    def edit(
        self, folder: Path, name: str, change: Callable[[dict[str, Any]], object], *, resealed: bool = True
    ) -> None:
        """Edit a JSON file, and seal again."""
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        change(value)
        (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if resealed:
            self.reseal(folder)

    def replace(self, path: Path, old: str, new: str) -> int:
        """Replace text that must be there."""
        text = path.read_text(encoding="utf-8")
        assert old in text
        return path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sandbox = make_sandbox(tmp_path_factory.mktemp("recorded") / "repo", target(), guard())
    sandbox.record("red")
    sandbox.record("guard", "held", keep=True)
    fix_product(sandbox)
    sandbox.record("green")
    sandbox.commit("evidence")
    return sandbox.root


@pytest.fixture
def evidence(recorded: Path, tmp_path: Path) -> Evidence:
    """The evidence as single files, which the commit holds packed."""
    shutil.copytree(recorded, tmp_path / "repo", symlinks=True)
    made = Evidence(tmp_path / "repo")
    for folder in (made.red, made.green, made.held):
        write_loose(folder)
    return made


def pack_again(project: Project) -> None:
    """Pack every folder that can be, as somebody would who hides a change in the packed form."""
    for folder in project.list_folders():
        with contextlib.suppress(ReportError):
            pack(project, folder)


def append(path: Path, text: str = "x") -> int:
    """Add to the end of a file."""
    with path.open("a", encoding="utf-8") as stream:
        return stream.write(text)


def remove(path: Path, link_to: Path | None = None) -> Path:
    """Delete a file, and put a link in its place when asked."""
    path.unlink()
    if link_to is not None:
        path.symlink_to(link_to)
    return path


def swap(one: Path, other: Path) -> None:
    """Exchange two folders."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def set_verdict(value: dict[str, Any], verdict: str, code: int) -> None:
    """Claim another verdict."""
    value["verdict"], value["exit_code"] = verdict, code


def loosen(value: dict[str, Any]) -> None:
    """Declare afterwards that any message would do."""
    value["entry"]["red"]["reasons"][0]["match"] = ""
    value["entry_sha256"] = digest(value["entry"])


def truncate(path: Path) -> int:
    """Cut the last line off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return path.write_text("".join(lines[:-1]), encoding="utf-8")


def patch_resealed(e: Evidence) -> None:
    """Another patch, with its new digest in the result."""
    append(e.green / "worktree.patch", "\n")
    e.reseal(e.green)


def drop_row(e: Evidence) -> None:
    """Take a row and its folder away together."""
    name = e.sandbox.project.relativize(e.held)
    lines = e.ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    e.ledger.write_text("".join(line for line in lines if f"{name}/" not in line), encoding="utf-8")
    shutil.rmtree(e.held.parent)


def reseal_all(e: Evidence) -> None:
    """Seal other content and put the new seal into the ledger: only the earlier commit knows better."""
    old = json.loads((e.held / SEAL).read_text(encoding="utf-8"))["manifest_sha256"][:12]
    append(e.held / "pytest_held.log", "one more line\n")
    e.reseal(e.held)
    new = json.loads((e.held / SEAL).read_text(encoding="utf-8"))["manifest_sha256"][:12]
    e.replace(e.ledger, old, new)


TAMPERS: dict[str, Tamper] = {
    "a byte of the log": lambda e: append(e.red / "pytest_demo_red.log"),
    "the log shortened": lambda e: truncate(e.red / "pytest_demo_red.log"),
    "a file deleted": lambda e: (e.red / "env.json").unlink(),
    "a file added": lambda e: append(e.red / "extra.txt"),
    "a folder added": lambda e: (e.red / "more").mkdir(),
    "the summary edited": lambda e: append(e.green / "summary.md", "All is well.\n"),
    "the summary edited, sealed again": lambda e: (append(e.green / "summary.md", "All is well.\n"), e.reseal(e.green)),
    "the manifest edited": lambda e: append(e.red / MANIFEST, f"{'0' * 64}  more\n"),
    "the manifest leads out of the folder": lambda e: append(e.red / MANIFEST, f"{'0' * 64}  ../../x\n"),
    "the seal edited": lambda e: e.edit(e.red, SEAL, lambda v: v.update(manifest_sha256="0" * 64), resealed=False),
    "the seal removed": lambda e: (e.red / SEAL).unlink(),
    "the manifest removed": lambda e: (e.red / MANIFEST).unlink(),
    "the folder renamed": lambda e: e.red.rename(e.red.with_name("demo2")),
    "the time renamed": lambda e: e.red.parent.rename(e.red.parent.with_name("2020-01-01T000000Z")),
    "the time renamed to words": lambda e: e.held.parent.rename(e.held.parent.with_name("good-run")),
    "moved to another initiative": lambda e: shutil.copytree(e.held.parent, e.sandbox.root / "plans/active/X-1/reports" / e.held.parent.name),
    "RED and GREEN swapped": lambda e: swap(e.red, e.green),
    "the RED removed": lambda e: shutil.rmtree(e.red.parent),
    "the RED sealed again": lambda e: (append(e.red / "pytest_demo_red.log"), e.reseal(e.red)),
    "a symbolic link": lambda e: remove(e.red / "env.json", e.green / "env.json"),
    "names that differ by case": lambda e: append(e.red / "ENV.json"),
    "a file beside the reports": lambda e: append(e.red.parent / "note.txt"),
    "the verdict changed": lambda e: e.edit(e.held, "result.json", lambda v: set_verdict(v, "GUARD_BROKEN", 57)),
    "an outcome changed": lambda e: e.edit(e.held, "result.json", lambda v: v["tests"][0].update(outcome="failed")),
    "the events cut": lambda e: (truncate(e.red / "pytest_demo_red.events.jsonl"), e.reseal(e.red)),
    "half a line of events": lambda e: (append(e.red / "pytest_demo_red.events.jsonl", '{"e":'), e.reseal(e.red)),
    "no events": lambda e: (remove(e.red / "pytest_demo_red.events.jsonl"), e.reseal(e.red)),
    "an outcome in the events": lambda e: (e.replace(e.held / "pytest_held.events.jsonl", '"passed"', '"failed"'), e.reseal(e.held)),
    "junit against events": lambda e: (e.replace(e.held / "pytest_held.junit.xml", "test_held", "test_more"), e.reseal(e.held)),
    "no junit": lambda e: (remove(e.held / "pytest_held.junit.xml"), e.reseal(e.held)),
    "the patch replaced": patch_resealed,
    "the declared reason loosened": lambda e: e.edit(e.red, "run.json", loosen),
    "the registry entry edited": lambda e: e.edit(e.red, "run.json", lambda v: v["entry"].update(budget_s=1.0)),
    "another RED named": lambda e: e.edit(e.green, "result.json", lambda v: v["pairs_with"].update(run_id="another")),
    "the GREEN without its RED": lambda e: e.edit(e.green, "result.json", lambda v: v.update(pairs_with=None)),
    "the clock set back": lambda e: e.edit(e.held, "result.json", lambda v: v["time"].update(end="2000-01-01T000000Z")),
    "the test's identity changed": lambda e: e.edit(e.green, "tests.json", lambda v: [i.update(ast="0") for i in v.values()]),
    "the label taken off": lambda e: e.edit(e.green, "result.json", lambda v: v.update(proof="CHARACTERISATION")),
    "the commit changed": lambda e: e.edit(e.held, "result.json", lambda v: v["git"].update(head="0" * 40)),
    "the environment edited": lambda e: e.edit(e.held, "env.json", lambda v: v["packages"].update(pytest="1.0")),
    "a machine path": lambda e: (append(e.held / "pytest_held.log", "/" + "home/somebody/x\n"), e.reseal(e.held)),
    "a JSON file that is none": lambda e: append(e.held / "result.json", "}"),
    "a row edited": lambda e: e.replace(e.ledger, "VALID_RED (assertion)", "VALID_RED (exception)"),
    "a row's seal edited": lambda e: e.replace(e.ledger, json.loads((e.red / SEAL).read_text())["manifest_sha256"][:12], "0" * 12),
    "a row removed": lambda e: e.ledger.write_text("".join(line for line in e.ledger.read_text(encoding="utf-8").splitlines(True) if "GUARD_HELD" not in line), encoding="utf-8"),
    "a row invented": lambda e: e.replace(e.ledger, "<!-- redgreen:end", "| 2020 | [folder](../plans/active/DEMO-001/reports/2020-01-01T000000Z/demo/) | `000000000000` |\n<!-- redgreen:end"),
    "a folder and its row removed": drop_row,
    "sealed again, the row adapted": reseal_all,
}  # fmt: skip


def test_untouched_evidence_holds(evidence: Evidence) -> None:
    project = evidence.sandbox.project
    problems, number = verify_all(project, against="HEAD")
    assert problems == []
    assert number == 3
    assert check(project, evidence.sandbox.loaded()) == []


@pytest.mark.parametrize("form", ["loose", "packed"])
@pytest.mark.parametrize("name", TAMPERS)
def test_every_tampering_is_found(name: str, form: str, evidence: Evidence) -> None:
    TAMPERS[name](evidence)
    project = evidence.sandbox.project
    if form == "packed":
        pack_again(project)
    problems, _ = verify_all(project, against="HEAD")
    if "row" not in name or "seal" in name or "removed" in name or "invented" in name:
        assert problems, "verify"
    assert [*problems, *check(project, evidence.sandbox.loaded())]


def test_there_are_enough_kinds_of_tampering() -> None:
    assert len(TAMPERS) >= 25


def test_notes_are_for_people_and_outside_of_the_seal(evidence: Evidence) -> None:
    (evidence.red / "NOTES.md").write_text("Seen and understood.\n", encoding="utf-8")
    assert verify_all(evidence.sandbox.project)[0] == []


def test_the_manifest_needs_no_redgreen(evidence: Evidence) -> None:
    shell = shutil.which("sha256sum")
    if shell is None:
        pytest.skip("no sha256sum here")
    assert os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", f"cd {evidence.red} && {shell} -c --quiet {MANIFEST}"]) == 0


def test_seals_hold_in_a_fresh_clone(evidence: Evidence, tmp_path: Path) -> None:
    evidence.sandbox.git("clone", "-q", str(evidence.sandbox.root), str(tmp_path / "clone"))
    done = Sandbox(tmp_path / "clone").run("verify", "--against", "HEAD")
    assert done.code == 0, done.err


def test_source_archives_and_diffs_leave_the_reports_out(evidence: Evidence) -> None:
    sandbox = evidence.sandbox
    sandbox.git("archive", "--output=../source.tar", "HEAD")
    with tarfile.open(sandbox.root.parent / "source.tar") as archive:
        names = archive.getnames()
    assert {"product.py", "docs/fix_plan.md", "plans/registry.yaml"} <= {*names}
    assert not [name for name in names if "/reports" in name]
    append(evidence.red / "pytest_demo_red.log", "one more line\n")
    assert "one more line" not in sandbox.git("diff")
    assert "pytest_demo_red.log" in sandbox.git("diff")


def test_a_path_without_reports_is_no_success(evidence: Evidence) -> None:
    for path in ("docs", "nowhere"):
        with pytest.raises(VerifyError):
            verify_all(evidence.sandbox.project, path)
