"""Read sealed report folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redgreen.codes import Verdict
from redgreen.evidence.folder import SEAL, stamp_key
from redgreen.judge.pairing import RedSide
from redgreen.project import Project

__all__ = ["SealedRun", "load_run", "read_object", "red_side", "sealed_runs"]


@dataclass(frozen=True, slots=True)
class SealedRun:
    """A sealed folder as it claims to be; `redgreen.evidence.verify` says whether the claim holds.

    Attributes:
        folder: The folder.
        initiative: Name of the initiative, from the path.
        stamp: Name of the `<UTC>` folder.
        intent: run.json.
        result: result.json.
        seal: SEAL.json.
    """

    folder: Path
    initiative: str
    stamp: str
    intent: dict[str, Any]
    result: dict[str, Any]
    seal: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        """How the run ended."""
        return Verdict(self.result["verdict"])

    @property
    def key(self) -> tuple[str, int, str]:
        """Sorts runs by time, then by name."""
        return (*stamp_key(self.stamp), self.folder.name)

    @property
    def short_seal(self) -> str:
        """The first twelve digits of the manifest's digest, as the ledger shows it."""
        return str(self.seal["manifest_sha256"])[:12]


def read_object(path: Path, data: bytes | None = None) -> dict[str, Any]:
    """A JSON file whose top is an object.

    Args:
        path: The file.
        data: Its bytes, where they are known.

    Raises:
        ValueError: It is missing, not JSON, or something else.
    """
    try:
        value = json.loads(path.read_bytes() if data is None else data)
    except OSError as error:
        raise ValueError(f"{path.name} is missing or not readable") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} does not hold an object")
    return value


def load_run(folder: Path, contents: Mapping[str, bytes] | None = None) -> SealedRun:
    """Read one sealed folder.

    Args:
        folder: The folder.
        contents: Bytes of its files by name, where they are known.

    Raises:
        ValueError: It is not sealed, or its files are not readable.
    """
    known = contents or {}
    seal = read_object(folder / SEAL, known.get(SEAL))
    result = read_object(folder / "result.json", known.get("result.json"))
    intent = read_object(folder / "run.json", known.get("run.json"))
    for name, value, keys in (
        (SEAL, seal, ("manifest_sha256", "run_id", "verdict")),
        ("result.json", result, ("verdict", "selector", "mode", "run_id", "tests", "time")),
    ):
        missing = [key for key in keys if key not in value]
        if missing:
            raise ValueError(f"{name} lacks '{missing[0]}'")
    if result["verdict"] not in Verdict.__members__:
        raise ValueError(f"result.json has the unknown verdict {result['verdict']!r}")
    return SealedRun(folder, folder.parents[2].name, folder.parent.name, intent, result, seal)


def sealed_runs(project: Project) -> Iterator[SealedRun]:
    """Every sealed folder that can be read, in the order of initiative and time."""
    for folder in project.folders():
        try:
            yield load_run(folder)
        except ValueError:
            continue  # verify names it


def red_side(project: Project, run: SealedRun) -> RedSide:
    """What a GREEN must know of a sealed RED.

    Raises:
        ValueError: Its files do not hold what a RED holds.
    """
    try:
        tests = run.result["tests"]
        declared = tuple(run.result["declared"])
        return RedSide(
            run_id=run.result["run_id"],
            seal=run.seal["manifest_sha256"],
            folder=project.relative(run.folder),
            outcomes={row["id"]: row["outcome"] for row in tests},
            declared=declared,
            kinds={row["id"]: row["error"]["class"] for row in tests if row["id"] in declared and row["error"]},
            guards=run.result["guards"],
            identities=read_object(run.folder / "tests.json"),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"result.json does not hold a RED ({error})") from error
