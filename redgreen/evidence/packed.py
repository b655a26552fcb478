"""The two forms of a report folder: every file by itself, or packed into three.

Packed, `summary.md` is the sealed page followed by the short files of the record, the main log stands under its own
name (in the middle cut out where it is long), and `witnesses.tar.xz` holds everything that is not shown whole. After
`redgreen gc` only `summary.md` is left in the folder, and the rest is in `attempts.tar.xz` beside the `<UTC>` folders.
A folder may be in both forms at once, as an interrupted packing leaves it, if the two say the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final

from redgreen.codec import parse_object
from redgreen.errors import ReportError
from redgreen.evidence.archive import make_archive, read_archive
from redgreen.evidence.collected import name_folder, read_folders
from redgreen.evidence.folder import MANIFEST, NOTES, sync_folder, translate_errors, write_whole
from redgreen.evidence.record import INTENT, RESULT, SEAL
from redgreen.evidence.replayed import REPLAY
from redgreen.project import Project

SUMMARY: Final = "summary.md"
WITNESSES: Final = "witnesses.tar.xz"
ATTEMPTS: Final = "attempts.tar.xz"
READABLE: Final = {  # what summary.md shows, if it is short, with the language of its block
    INTENT: "json",
    RESULT: "json",
    REPLAY: "json",
    "artifact_audit.json": "json",
    MANIFEST: "text",
    SEAL: "json",
}
SHOWN_BYTES: Final = 4096
LOG_HEAD: Final = 2048
LOG_TAIL: Final = 4096
HEADING: Final = b"\n## Record\n\n"
BLOCK: Final = re.compile(
    rb"<details><summary>([^<>\n]+)</summary>\n\n(`{3,})[a-z]+\n(.*?)^\2\n\n</details>\n", re.DOTALL | re.MULTILINE
)


class Form(Enum):
    """Forms of a sealed folder; BOTH is what an interrupted packing leaves, MOVED what is left by `redgreen gc`."""

    LOOSE = auto()
    BOTH = auto()
    PACKED = auto()
    MOVED = auto()


def read_contents(folder: Path) -> dict[str, bytes]:
    """Read the files of a report folder by name, in whichever form it is; the packing itself is not among them.

    Raises:
        ValueError: A link or a folder is in it, it cannot be unpacked, or its two forms differ.
    """
    try:
        loose = _read_files(folder)
    except OSError as error:
        raise ValueError(f"the folder cannot be read: {error.strerror}") from None
    shown_page = loose.pop(SUMMARY, None)
    contents: dict[str, bytes] = {}
    if shown_page is not None:
        contents[SUMMARY], shown = split_record(shown_page)
        _unite(contents, shown)
    is_packed = contents.get(SUMMARY) != shown_page
    archive = loose.pop(WITNESSES, None)
    if archive is not None:
        _unite(contents, read_archive(archive, WITNESSES))
    if is_packed:
        moved = read_folders(folder.parents[1] / ATTEMPTS)
        _unite(contents, moved.get(name_folder(folder), {}))
    log = find_main_log(loose | contents)
    if log in contents and loose.get(log) == shorten_log(contents[log]):
        del loose[log]
    elif is_packed and archive is not None and log and log not in loose:
        raise ValueError(f"{log} is missing")
    _unite(contents, loose)
    if any("/" in name for name in contents):
        raise ValueError("a file of another folder is in it")
    if is_packed and render_page(contents) != shown_page:
        raise ValueError(f"the record in {SUMMARY} is not the one that was packed")
    return contents


def read_some(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the named files of a folder without a look at the rest, which is left to `verify`.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        shown = split_record((folder / SUMMARY).read_bytes())[1]
        if not shown:
            return {name: (folder / name).read_bytes() for name in names}
    except OSError:
        shown = {}
    return shown if all(name in shown for name in names) else read_contents(folder)


def pack(project: Project, folder: Path) -> bool:
    """Bring a sealed folder into its packed form.

    Until the packed form is on disk and reads as the loose one, no file is deleted: whenever this is interrupted, the
    folder can be read, and packed again.

    Returns:
        Whether anything had to be done.

    Raises:
        ReportError: It cannot be read or written, or would not read the same; nothing is lost.
    """
    try:
        if find_form(folder) in (Form.PACKED, Form.MOVED):
            return False
        contents = read_contents(folder)
        packed = make_packed(contents)
    except ValueError as error:
        raise ReportError(f"{project.relativize(folder)}: cannot be packed: {error}") from None
    with translate_errors(folder):
        for name in (WITNESSES, *sorted(packed.keys() - {WITNESSES, SUMMARY, NOTES}), SUMMARY):
            write_whole(project, folder / name, packed[name])
        if read_contents(folder) != contents:
            raise ReportError(f"{project.relativize(folder)}: the packed form does not read the same; nothing is lost")
        for name in sorted({*os.listdir(folder)} - packed.keys()):
            (folder / name).unlink()
        sync_folder(folder)
    return True


def make_packed(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Pack the files of a folder: the files of the packed form, by name.

    Raises:
        ValueError: There is no summary.md, or unpacking would not give the same.
    """
    if SUMMARY not in contents:
        raise ValueError(f"{SUMMARY} is missing")
    packed = {SUMMARY: render_page(contents), WITNESSES: make_archive(_choose_archived(contents))}
    log = find_main_log(contents)
    if log:
        packed[log] = shorten_log(contents[log])
    if NOTES in contents:
        packed[NOTES] = contents[NOTES]
    if split_record(packed[SUMMARY]) != (contents[SUMMARY], _choose_shown(contents)):
        raise ValueError(f"{SUMMARY} would not unpack to the same")
    return packed


def find_form(folder: Path) -> Form:
    """Find out in which form a folder is, by the names in it and the kind of its summary.md.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        names = {*os.listdir(folder)} - {NOTES}
        is_packed = SUMMARY in names and bool(split_record((folder / SUMMARY).read_bytes())[1])
    except OSError as error:
        raise ValueError(f"the folder cannot be read: {error.strerror}") from None
    if WITNESSES not in names:
        return Form.MOVED if is_packed else Form.LOOSE
    rest = names - {SUMMARY, WITNESSES}
    return Form.PACKED if is_packed and len(rest) <= 1 and all(name.endswith(".log") for name in rest) else Form.BOTH


def is_report(folder: Path) -> bool:
    """Return whether a folder looks like a sealed report, in either form."""
    return (folder / SEAL).is_file() or (folder / SUMMARY).is_file()


def find_main_log(contents: Mapping[str, bytes]) -> str:
    """Find the log of the first process; the first log of all where the run did not come to a result; else ''."""
    try:
        name = str(parse_object(contents.get(RESULT, b""), RESULT)["runs"][0]["log"])
    except (ValueError, LookupError, TypeError):
        name = ""
    logs = sorted(each for each in contents if each.endswith(".log"))
    return name if name in logs else (logs or [""])[0]


def shorten_log(data: bytes) -> bytes:
    """Cut the middle out of a log that is long, at the ends of lines."""
    if len(data) <= LOG_HEAD + LOG_TAIL:
        return data
    head = data[: data.rfind(b"\n", 0, LOG_HEAD) + 1 or LOG_HEAD]
    start = len(data) - LOG_TAIL
    tail = data[data.find(b"\n", start, -1) + 1 or start :]
    left_out = len(data) - len(head) - len(tail)
    notice = f"[redgreen: {left_out} bytes left out here; `redgreen unpack` writes the whole log]\n"
    return head + notice.encode() + tail


def render_page(contents: Mapping[str, bytes]) -> bytes:
    """Render summary.md of the packed form: the sealed page, then the short files of the record."""
    shown = _choose_shown(contents)
    fence = b"```"
    while any(fence in data for data in shown.values()):
        fence += b"`"
    archived = ", ".join(f"`{name}`" for name in sorted(_choose_archived(contents)))
    words = (
        f"The page above and the files below are as they were sealed. In `{WITNESSES}`: {archived or 'nothing'}.\n"
        f"`python -m redgreen unpack FOLDER` writes all of them out, for `sha256sum -c {MANIFEST}`.\n\n"
    )
    lines = [contents[SUMMARY], HEADING, words.encode()]
    for name, data in shown.items():
        opening = f"<details><summary>{name}</summary>\n\n".encode() + fence + READABLE[name].encode() + b"\n"
        lines.append(opening + data + fence + b"\n\n</details>\n")
    return b"".join(lines)


def split_record(page: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split summary.md into the sealed page and the files shown below it; none where it is not packed."""
    start = page.rfind(HEADING)
    if start < 0:
        return page, {}
    shown = {}
    place = page.find(b"<details>", start)
    while place >= 0 and (match := BLOCK.match(page, place)):  # one after the other: no page can make this slow
        shown[match[1].decode("utf-8", "replace")] = match[3]
        place = match.end()
    return page[:start], shown


def _choose_shown(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Choose what summary.md shows: short files of the record that end with a line."""
    return {
        name: contents[name]
        for name in READABLE
        if len(contents.get(name, b"")) <= SHOWN_BYTES and contents.get(name, b"").endswith(b"\n")
    }


def _choose_archived(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Choose what goes into the archive: everything that stands nowhere else as a whole."""
    log = find_main_log(contents)
    elsewhere = {SUMMARY, NOTES, *_choose_shown(contents)}
    if log and shorten_log(contents[log]) == contents[log]:
        elsewhere.add(log)
    return {name: data for name, data in contents.items() if name not in elsewhere}


def _read_files(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    problems: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                problems.append(f"{entry.name} is a symbolic link")
            elif not entry.is_file():
                problems.append(f"{entry.name} is not a plain file")
            else:
                files[entry.name] = Path(entry.path).read_bytes()
    folded = [name.casefold() for name in files]
    alike = [name for name in files if folded.count(name.casefold()) > 1]
    problems += [f"{name} differs from another file only by case" for name in alike]
    if problems:
        raise ValueError("; ".join(sorted(problems)))
    return dict(sorted(files.items()))


def _unite(contents: dict[str, bytes], more: Mapping[str, bytes]) -> None:
    """Add files from another place; where a file stands in both, the two must be equal."""
    for name, data in more.items():
        if contents.setdefault(name, data) != data:
            raise ValueError(f"{name} is not the one that is packed")
