"""A packed report folder: three files that give back every byte, read as if a stranger had made them."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from redgreen_kill import kill_at_each_step
from redgreen_sandbox import Sandbox, fix_product, make_sandbox, target, write_loose

from redgreen.evidence.archive import MOST_BYTES, make_archive, read_archive
from redgreen.evidence.packed import SHOWN_BYTES, SUMMARY, WITNESSES, make_packed, pack, read_contents
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify_all import verify_all

LOG = "pytest_demo_red.log"
LOUD = """\
from product import answer


def test_answer():
    print("\\n".join(f"line {number} of the output" for number in range(2000)))
    assert answer() == 42, "the answer is not there yet"
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    sandbox = make_sandbox(tmp_path_factory.mktemp("packed") / "repo", target())
    sandbox.write("tests/test_demo.py", LOUD)
    sandbox.commit()
    sandbox.record("red")
    fix_product(sandbox)
    sandbox.record("green")
    sandbox.commit("evidence")
    return sandbox


@pytest.fixture
def sandbox(recorded: Sandbox, tmp_path: Path) -> Sandbox:
    return recorded.copy(tmp_path / "repo")


def red_of(sandbox: Sandbox) -> Path:
    return min(sandbox.project.list_folders())


def test_a_run_leaves_three_files_and_its_page_shows_the_record(sandbox: Sandbox) -> None:
    folder = red_of(sandbox)
    assert {path.name for path in folder.iterdir()} == {SUMMARY, LOG, WITNESSES}
    page = (folder / SUMMARY).read_text(encoding="utf-8")
    assert page.startswith("# VALID_RED: demo (RED)\n")
    assert "\n## Record\n" in page
    for name in ("run.json", "result.json", "MANIFEST.sha256", "SEAL.json"):
        assert f"<details><summary>{name}</summary>" in page
    assert '"verdict": "VALID_RED",' in page
    assert "`pytest_demo_red.events.jsonl`" in page


def test_a_long_log_is_shown_by_its_ends_and_kept_whole(sandbox: Sandbox) -> None:
    folder = red_of(sandbox)
    shown, whole = (folder / LOG).read_text(encoding="utf-8"), read_contents(folder)[LOG].decode()
    assert len(shown) < 7000 < len(whole)
    head, _, tail = shown.partition("[redgreen: ")
    notice, _, tail = tail.partition("\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert notice.startswith(f"{len(whole) - len(head) - len(tail)} bytes left out here")


def test_packing_gives_the_same_bytes_whenever_and_wherever(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = red_of(sandbox)
    contents = read_contents(folder)
    packed = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_loose(folder)
    assert read_contents(folder) == contents
    for path in folder.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    assert pack(sandbox.project, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == packed
    assert make_packed(dict(reversed(contents.items()))) == packed
    assert not pack(sandbox.project, folder), "there is nothing left to do"


def test_what_is_unpacked_is_checked_without_redgreen(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = red_of(sandbox)
    (folder / "NOTES.md").write_text("Seen.\n", encoding="utf-8")
    done = sandbox.run("unpack", sandbox.project.relativize(folder), "--to", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*read_contents(folder)}
    assert os.system(f"cd {tmp_path / 'out'} && sha256sum -c --quiet MANIFEST.sha256") == 0
    again = sandbox.run("unpack", load_run(folder).result.run_id, "--to", str(tmp_path / "out"))
    assert again.code == 28, "nothing is overwritten"
    named = sandbox.run("unpack", load_run(folder).result.run_id, "--json").values()
    assert (sandbox.root / named["folder"] / LOG).read_bytes() == read_contents(folder)[LOG]
    assert sandbox.git("status", "--porcelain", "--", ".redgreen") == ""
    assert sandbox.run("unpack", "nothing").code == 21


def test_files_of_other_kinds_are_shown_or_archived_by_rule(sandbox: Sandbox) -> None:
    contents = read_contents(red_of(sandbox))
    more = {"replay.json": b'{\n "verdict": "PROVEN"\n}\n', "change.patch": b"--- a\n+++ b\n", "strange": b"\x00```\n"}
    packed = make_packed(contents | more)
    assert more["replay.json"] in packed[SUMMARY]
    assert {*read_archive(packed[WITNESSES], "")} >= {"change.patch", "strange"}
    long = make_packed(contents | {"replay.json": b"[\n" + b"1,\n" * SHOWN_BYTES + b"1]\n"})
    assert "replay.json" in read_archive(long[WITNESSES], "")
    fenced = make_packed(contents | {"replay.json": b'{\n"x":\n```\n0}\n'})
    assert b"````json\n{" in fenced[SUMMARY]


def test_notes_stay_as_they_are(sandbox: Sandbox) -> None:
    folder = red_of(sandbox)
    write_loose(folder)
    (folder / "NOTES.md").write_text("Seen.\n", encoding="utf-8")
    pack(sandbox.project, folder)
    assert (folder / "NOTES.md").read_text(encoding="utf-8") == "Seen.\n"
    (folder / "NOTES.md").write_text("Seen twice.\n", encoding="utf-8")
    assert verify_all(sandbox.project, against="HEAD")[0] == []


def edit(path: Path, old: bytes, new: bytes) -> int:
    """Replace bytes that must be there."""
    data = path.read_bytes()
    assert old in data
    return path.write_bytes(data.replace(old, new, 1))


def repack(folder: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change the files in the archive, with all that redgreen knows about packing."""
    files = read_archive((folder / WITNESSES).read_bytes(), WITNESSES)
    change(files)
    (folder / WITNESSES).write_bytes(make_archive(files))


def put_link(path: Path, to: Path) -> None:
    """Put a link where a file was."""
    path.unlink()
    path.symlink_to(to)


OPENING = b"<details><summary>x</summary>\n\n```json\n"
TAMPERS: dict[str, Callable[[Path, Path], object]] = {
    "the page": lambda red, _: edit(red / SUMMARY, b"# VALID_RED: demo", b"# VALID_RED: other"),
    "the words above the record": lambda red, _: edit(red / SUMMARY, b"as they were sealed", b"as they were"),
    "a file in the record": lambda red, _: edit(red / SUMMARY, b'"exit_code": 0', b'"exit_code": 1'),
    "the seal in the record": lambda red, _: edit(red / SUMMARY, b'"manifest_sha256": "', b'"manifest_sha256": "0'),
    "a file taken out of the record": lambda red, _: edit(red / SUMMARY, b"<summary>MANIFEST.sha256", b"<summary>M"),
    "a path in the record": lambda red, _: edit(red / SUMMARY, b"<summary>run.json", b"<summary>../x"),
    "words after the record": lambda red, _: edit(red / SUMMARY, b"\n</details>\n", b"\n</details>\nAll is well.\n"),
    "the record taken away": lambda red, _: (red / SUMMARY).write_bytes(read_contents(red)[SUMMARY]),
    "blocks without an end": lambda red, _: edit(red / SUMMARY, b"<details>", OPENING * 30_000),
    "the end of the log": lambda red, _: edit(red / LOG, b"1 failed", b"1 passed"),
    "the notice in the log": lambda red, _: edit(red / LOG, b"bytes left out", b"bytes"),
    "the log taken away": lambda red, _: (red / LOG).unlink(),
    "the archive taken away": lambda red, _: (red / WITNESSES).unlink(),
    "the archive of another": lambda red, green: shutil.copy(green / WITNESSES, red / WITNESSES),
    "a file in the archive": lambda red, _: repack(red, lambda files: files.update({"env.json": b"{}\n"})),
    "a file out of the archive": lambda red, _: repack(red, lambda files: files.pop("env.json")),
    "a file more in the archive": lambda red, _: repack(red, lambda files: files.update(more=b"")),
    "a file of another folder in the archive": lambda red, _: repack(red, lambda files: files.update({"a/b": b""})),
    "the log in the archive": lambda red, _: repack(red, lambda files: files.update({LOG: files[LOG] * 2})),
    "a file beside": lambda red, _: (red / "env.json").write_text("{}", encoding="utf-8"),
    "a link": lambda red, green: put_link(red / LOG, green / SUMMARY),
    "an archive beside single files": lambda red, green: (write_loose(red), shutil.copy(green / WITNESSES, red)),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERS)
def test_every_change_of_the_packed_form_is_found(sandbox: Sandbox, name: str) -> None:
    red, green = sorted(sandbox.project.list_folders())
    TAMPERS[name](red, green)
    done = sandbox.run("verify", sandbox.project.relativize(red))
    assert done.code == 21, done.out
    assert "Traceback" not in done.err
    assert sandbox.run("status").code == 0


def make_tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of whatever members; each holds as many bytes as it says."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return stream.getvalue()


def member(name: str, size: int = 0, **facts: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in facts.items():
        setattr(made, key, value)
    return made


def make_huge() -> bytes:
    """A few kilobytes that unpack to more than an archive may hold."""
    compressor = lzma.LZMACompressor(preset=0)
    block = bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range((MOST_BYTES >> 20) + 1)]
    return b"".join(parts) + compressor.flush()


def make_claiming() -> bytes:
    """A member that claims far more than there is."""
    tar = bytearray(make_tar(member("x", 3)))
    tar[124:136] = b"77777777777\0"
    tar[148:156] = b"        "
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return lzma.compress(bytes(tar))


HOLES = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "99999999999"}
GOOD = make_archive({"a": b"1", "b": b"2"})
HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no archive": lambda: b"words",
    "cut": lambda: GOOD[:-20],
    "bytes after it": lambda: GOOD + b"x",
    "another after it": lambda: GOOD + GOOD,
    "no tar": lambda: lzma.compress(b"words" * 1000),
    "a cut tar": lambda: lzma.compress(lzma.decompress(GOOD)[:700]),
    "an absolute name": lambda: lzma.compress(make_tar(member("/etc/x"))),
    "a name that leads out": lambda: lzma.compress(make_tar(member("../x"))),
    "a name that leads out later": lambda: lzma.compress(make_tar(member("x/../../y"))),
    "a name of the other kind of path": lambda: lzma.compress(make_tar(member("..\\x"))),
    "a name of two lines": lambda: lzma.compress(make_tar(member("a\nb"))),
    "a symbolic link": lambda: lzma.compress(make_tar(member("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"))),
    "a hard link": lambda: lzma.compress(make_tar(member("x", type=tarfile.LNKTYPE, linkname="a"))),
    "a folder": lambda: lzma.compress(make_tar(member("x", type=tarfile.DIRTYPE))),
    "a device": lambda: lzma.compress(make_tar(member("x", type=tarfile.CHRTYPE))),
    "a name twice": lambda: lzma.compress(make_tar(member("x"), member("x"))),
    "a file with holes": lambda: lzma.compress(make_tar(member("x", pax_headers=HOLES))),
    "another order": lambda: lzma.compress(make_tar(member("b"), member("a"))),
    "a time": lambda: lzma.compress(make_tar(member("x", mtime=7))),
    "an owner": lambda: lzma.compress(make_tar(member("x", uname="somebody"))),
    "words in its headers": lambda: lzma.compress(make_tar(member("x", pax_headers={"comment": "hidden"}))),
    "words after its end": lambda: lzma.compress(make_tar(member("x")) + b"hidden" * 100),
    "a size beyond its end": make_claiming,
    "far more than it may hold": make_huge,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_a_problem_and_nothing_else(sandbox: Sandbox, name: str) -> None:
    red = red_of(sandbox)
    before = set(sandbox.root.rglob("*"))
    (red / WITNESSES).write_bytes(HOSTILE[name]())
    done = sandbox.run("verify", sandbox.project.relativize(red))
    assert done.code == 21
    assert f"{WITNESSES} cannot be unpacked" in done.err
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1
    assert set(sandbox.root.rglob("*")) == before


def test_an_archive_gives_back_what_was_put_in() -> None:
    files = {"a": b"", "z" * 150: b"1" * 1000, "ä b.json": bytes(range(256)), "2031-01-01T000000Z/x/run.json": b"{}"}
    assert read_archive(make_archive(files), "") == files
    with pytest.raises(ValueError, match="not the name of a file"):
        make_archive({"../x": b""})


def test_a_kill_at_any_step_leaves_a_folder_that_holds(recorded: Sandbox, tmp_path: Path) -> None:
    contents = read_contents(red_of(recorded))
    copies: list[Sandbox] = []

    def prepare() -> Callable[[], object]:
        made = recorded.copy(tmp_path / f"repo{len(copies)}")
        copies.append(made)
        folder = write_loose(red_of(made))
        return lambda: pack(made.project, folder)

    for step in kill_at_each_step(prepare):
        sandbox = copies[-1]
        assert verify_all(sandbox.project, against="HEAD")[0] == [], step
        assert read_contents(red_of(sandbox)) == contents
        begun = (red_of(sandbox) / WITNESSES).exists()
        closed = sandbox.run("close", "--json").values()
        assert len(closed["finished"]) == begun, step
        assert sandbox.run("migrate").code == 0
        assert {path.name for path in red_of(sandbox).iterdir()} == {SUMMARY, LOG, WITNESSES}
        assert read_contents(red_of(sandbox)) == contents
        assert sandbox.run("verify", "--against", "HEAD").code == 0
    assert len(copies) > 10


def test_what_cannot_be_packed_is_named_and_left_as_it_is(sandbox: Sandbox) -> None:
    red, folder = (write_loose(each) for each in sorted(sandbox.project.list_folders()))
    contents = read_contents(folder)
    (folder / WITNESSES).mkdir()
    done = sandbox.run("migrate", "--json")
    assert done.code == 21
    assert list(done.values()["left"]) == [sandbox.project.relativize(folder)]
    assert (red / WITNESSES).is_file()
    (folder / WITNESSES).rmdir()
    assert read_contents(folder) == contents


def test_status_and_a_green_read_a_packed_red(sandbox: Sandbox) -> None:
    assert json.loads(sandbox.run("status", "--json").out)["selectors"][0]["state"] == "green"
    assert load_run(max(sandbox.project.list_folders())).result.pairs_with is not None
