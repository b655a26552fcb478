"""Read sealed report folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redgreen.codec import from_json, parse_object
from redgreen.codes import Verdict
from redgreen.evidence.folder import parse_stamp
from redgreen.evidence.record import INTENT, RESULT, SEAL, Intent, Result, Seal, read_record
from redgreen.evidence.replayed import REPLAY, ReplayRecord, read_replay
from redgreen.judge.conclusion import RedSide
from redgreen.judge.identity import Identity
from redgreen.project import Project


@dataclass(frozen=True, slots=True)
class SealedRun:
    """A sealed folder as it claims to be; `redgreen.evidence.verify` says whether the claim holds.

    Initiative and stamp (the name of the `<UTC>` folder) are those of its path.
    """

    folder: Path
    initiative: str
    stamp: str
    intent: Intent
    result: Result
    seal: Seal

    @property
    def verdict(self) -> Verdict:
        """How the run ended."""
        return self.result.verdict

    @property
    def is_valid(self) -> bool:
        """Whether it showed what was asked of it, in a replay as well where there was one."""
        return self.verdict.is_valid and self.result.exit_code == 0

    @property
    def key(self) -> tuple[str, int, str]:
        """Sorts runs by time, then by name."""
        return (*parse_stamp(self.stamp), self.folder.name)

    @property
    def short_seal(self) -> str:
        """The first twelve digits of the manifest's digest, as the ledger shows it."""
        return self.seal.manifest_sha256[:12]


def read_file(path: Path) -> bytes | None:
    """Return the bytes of a file; None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def load_intent(folder: Path) -> Intent:
    """Read run.json of a report folder, sealed or not.

    Raises:
        ValueError: It is missing or holds something else.
    """
    return read_record(Intent, read_file(folder / INTENT), INTENT)


def load_run(folder: Path, contents: Mapping[str, bytes] | None = None) -> SealedRun:
    """Read one sealed folder, or the bytes of its files where they are known.

    Raises:
        ValueError: It is not sealed, or its files do not hold what they must.
    """

    def read(name: str) -> bytes | None:
        return read_file(folder / name) if contents is None else contents.get(name)

    seal = read_record(Seal, read(SEAL), SEAL)
    result = read_record(Result, read(RESULT), RESULT)
    intent = read_record(Intent, read(INTENT), INTENT)
    return SealedRun(folder, folder.parents[2].name, folder.parent.name, intent, result, seal)


def load_replay(run: SealedRun) -> ReplayRecord | None:
    """Read replay.json of a sealed folder; None when it has none.

    Raises:
        ValueError: It holds something else.
    """
    data = read_file(run.folder / REPLAY)
    return None if data is None else read_replay(data)


def load_runs(project: Project) -> Iterator[SealedRun]:
    """Yield every sealed folder that can be read, in the order of initiative and time."""
    for folder in project.list_folders():
        try:
            yield load_run(folder)
        except ValueError:
            continue  # verify names it


def read_identities(data: bytes | None) -> dict[str, Identity]:
    """Read tests.json.

    Raises:
        ValueError: It is missing or holds something else.
    """
    return from_json(dict[str, Identity], parse_object(data or b"", "tests.json"))


def make_red_side(project: Project, run: SealedRun) -> RedSide:
    """Take what a GREEN must know from a sealed RED.

    Raises:
        ValueError: Its identities cannot be read.
    """
    result = run.result
    return RedSide(
        run_id=result.run_id,
        seal=run.seal.manifest_sha256,
        folder=project.relativize(run.folder),
        outcomes={row.id: row.outcome for row in result.tests},
        declared=result.declared,
        kinds={row.id: row.error.kind for row in result.tests if row.id in result.declared and row.error},
        guards=result.guards,
        identities=read_identities(read_file(run.folder / "tests.json")),
    )
