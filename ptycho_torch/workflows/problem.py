"""The bundle to attach to a question: what helps to answer it of the folder of a run, and nothing that identifies."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import ptycho_torch
from ptycho_torch.config import Experiment
from ptycho_torch.errors import OutputError
from ptycho_torch.pictures.shrink import shrink_picture
from ptycho_torch.runtime.logs import LOG_NAME
from ptycho_torch.runtime.redaction import Redactor
from ptycho_torch.runtime.run_record import read_record
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import write_atomically

_SIDE_PX = 640
_LARGEST_JSON_BYTES = 2**24
_LAST_LOG_BYTES = 200_000
# those that this package draws without the name of a file in them
_PICTURES = ("recon_amp.png", "recon_phase.png", "fit.png", "coverage.png", "frc.png", "positions.png")
_TEXTS = ("metrics.json", "report.json", "doctor.json")
# of the record; others contain options and paths
_KEPT = ("command", "status", "started", "finished", "python", "versions", "threads")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE")
# so that the same folder gives the same bytes, and no clock is told
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Member:
    """A file of the bundle.

    Attributes:
        name: its name there.
        content: its bytes.
        meaning: what it is.
    """

    name: str
    content: bytes
    meaning: str


def collect_problem(folder: Path) -> list[Member]:
    """Collect what describes a run, without data, paths, and names of users, computers and files.

    Raises:
        OutputError: the folder is not that of a run, or its record is damaged.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder}: is not a folder; name the folder of a run, which contains run.json")
    record = read_record(folder)
    redactor = Redactor([record, str(folder.absolute())], _list_known_words(record))
    members = [
        _make_json("run.json", redactor, _describe_run(record), "command, status, versions, machine"),
        _make_json("settings.json", redactor, record.get("settings"), "settings by section"),
        _make_json("options.json", redactor, record.get("options"), "options that are no settings"),
        _make_json("results.json", redactor, record.get("results"), "figures of merit in the record of the run"),
    ]
    meanings = ("figures of merit, R by epoch, verdict", "final report of evaluate", "findings of doctor")
    for name, meaning in zip(_TEXTS, meanings, strict=True):
        if (folder / name).is_file():
            members.append(_make_json(name, redactor, _read_json(folder / name), meaning))
    if (folder / LOG_NAME).is_file():
        text = redactor.clean_text(_read_end(folder / LOG_NAME))
        members.append(Member(LOG_NAME, text.encode(), "messages of the run"))
    for name in _PICTURES:
        picture = shrink_picture(folder / name, _SIDE_PX) if (folder / name).is_file() else None
        if picture is not None:
            members.append(Member(f"pictures/{name}", picture, f"picture of at most {_SIDE_PX} px"))
    return [_make_index(members), *members]


def write_problem(members: Iterable[Member], path: Path) -> None:
    """Write the members of a bundle to a ZIP file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.name, _TIME), member.content, zipfile.ZIP_DEFLATED)
    with write_atomically(path) as file:
        file.write(buffer.getvalue())


def _list_known_words(record: Mapping[str, Any]) -> set[str]:
    """Names of sections, settings, results and packages, which may be names of folders as well."""
    experiment = Experiment()
    sections = {field.name: getattr(experiment, field.name) for field in fields(experiment)}
    known = set(sections) | {"ptycho", "torch", "ptycho_torch", "ptycho-torch", "refine", "train", "infer", "evaluate"}
    for section in sections.values():
        known |= set(section.to_dict())
    for part in ("versions", "results", "options"):
        values = record.get(part)
        known |= set(values) if isinstance(values, dict) else set()
    return known


def _describe_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says of versions and machine; of variables only those that are numbers."""
    found: dict[str, Any] = {key: record[key] for key in _KEPT if key in record}
    git, machine = record.get("git"), record.get("environment")
    if isinstance(git, dict):
        found["git"] = {key: git.get(key) for key in ("commit", "changed")}
    if isinstance(machine, dict):
        variables = machine.get("variables")
        numbers = {
            key: value
            for key, value in (variables.items() if isinstance(variables, dict) else ())
            if key in _VARIABLES and str(value).replace(",", "").isdecimal()
        }
        found["machine"] = {key: machine.get(key) for key in ("system", "processor", "cores")} | {"variables": numbers}
    return found | {"reported_by": {"ptycho-torch": ptycho_torch.__version__}}


def _make_json(name: str, redactor: Redactor, values: object, meaning: str) -> Member:
    text = json.dumps(redactor.clean(values), indent=2, ensure_ascii=False)
    return Member(name, (text + "\n").encode(errors="replace"), meaning)


def _read_json(path: Path) -> object:
    with explain_damage(path, "JSON file", OutputError), path.open("rb") as file:
        text = file.read(_LARGEST_JSON_BYTES + 1)
        if len(text) > _LARGEST_JSON_BYTES:
            raise OutputError(f"{path}: is larger than {_LARGEST_JSON_BYTES // 2**20} MiB")
        return json.loads(text)


def _read_end(path: Path) -> str:
    with explain_damage(path, "log file", OutputError), path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _LAST_LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
    # the first line may be the end of one
    return text if size <= _LAST_LOG_BYTES else text.partition("\n")[2]


def _make_index(members: Iterable[Member]) -> Member:
    lines = [
        "What is in this bundle, which ptycho-torch report-problem has made of the folder of a run:",
        "",
        *(f"{member.name}: {member.meaning}, {len(member.content)} bytes" for member in members),
        "",
        "It contains no patterns, positions, objects or probes as numbers. Paths, and the names of users, computers,",
        "folders and files that the run has met, are replaced. Look into the files before you send them.",
    ]
    return Member("README.txt", ("\n".join(lines) + "\n").encode(), "what is in the bundle")
