"""Read sealed report folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redgreen.codec import from_json, parse_object
from redgreen.codes import Verdict
from redgreen.evidence.folder import parse_stamp
from redgreen.evidence.packed import read_contents, read_some
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
    def selector(self) -> str:
        """Name of the selector that ran."""
        return self.result.selector

    @property
    def name(self) -> str:
        """Name of the folder inside of its time."""
        return self.folder.name

    @property
    def promise(self) -> str:
        """Digest of what the selector declared; empty when the entry is not that of a selector."""
        try:
            return self.intent.load_selector().digest_promise()
        except ValueError:
            return ""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.result.run_id

    @property
    def key(self) -> tuple[str, int, str]:
        """Sorts runs by time, then by name."""
        return (*parse_stamp(self.stamp), self.name)

    @property
    def short_seal(self) -> str:
        """The first twelve digits of the manifest's digest, as the ledger shows it."""
        return self.seal.manifest_sha256[:12]


def load_intent(partial: Path) -> Intent:
    """Read run.json of a folder that is not sealed yet.

    Raises:
        ValueError: It is missing or holds something else.
    """
    try:
        data = (partial / INTENT).read_bytes()
    except OSError:
        data = None
    return read_record(Intent, data, INTENT)


def load_run(folder: Path, contents: Mapping[str, bytes] | None = None) -> SealedRun:
    """Read one sealed folder, in either form, or the bytes of its files where they are known.

    Raises:
        ValueError: It is not sealed, or its files do not hold what they must.
    """
    files = read_some(folder, (SEAL, RESULT, INTENT)) if contents is None else contents
    seal = read_record(Seal, files.get(SEAL), SEAL)
    result = read_record(Result, files.get(RESULT), RESULT)
    intent = read_record(Intent, files.get(INTENT), INTENT)
    return SealedRun(folder, folder.parents[2].name, folder.parent.name, intent, result, seal)


def load_replay(run: SealedRun) -> ReplayRecord | None:
    """Read replay.json of a sealed folder; None when it has none, as only a valid GREEN may have one.

    Raises:
        ValueError: It holds something else.
    """
    if run.verdict is not Verdict.VALID_GREEN:
        return None
    data = read_contents(run.folder).get(REPLAY)
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
        identities=read_identities(read_contents(run.folder).get("tests.json")),
        identity=result.identity or 1,
    )
