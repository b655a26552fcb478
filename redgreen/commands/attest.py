"""Attestations: signing what a replay showed, and the statement without a signature."""

from __future__ import annotations

import os
from pathlib import Path

from redgreen.codec import to_json, to_text
from redgreen.commands.answer import Answer
from redgreen.errors import PairError, RegistryError, RepositoryError, VerifyError
from redgreen.evidence.attestation import append_attestation, describe, seal_statement
from redgreen.evidence.builder import find_builder
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import find_proof, load_replays
from redgreen.evidence.sealed import SealedRun
from redgreen.evidence.signature import Key, open_key
from redgreen.evidence.verify import load_red
from redgreen.gitrepo import git
from redgreen.project import Project
from redgreen.replay.recorded import find_green


def open_signer(project: Project, file: Path | None) -> Key:
    """Open the key that is to sign; by default the one with which git signs.

    Raises:
        RegistryError: There is none, it cannot be used, or nothing is recorded that could be signed.
        ReportError: `ssh-keygen` is not installed.
    """
    if project.scratch:
        raise RegistryError("--attest records what it signs, and --scratch records nothing: leave one of them out")
    if file is None:
        try:
            file = Path(git(project.root, "config", "--type=path", "--get", "user.signingKey").decode().strip())
        except RepositoryError:
            raise RegistryError("--attest needs a key: name it by --key FILE, or to git as user.signingKey") from None
    return open_key(file)


def attest(project: Project, run: SealedRun, record: ReplayRecord, key: Key) -> None:
    """Sign what a replay of a GREEN showed, whatever its verdict, and keep that beside the reports.

    Raises:
        RegistryError: The key cannot sign any more.
        ReportError: The attestation cannot be written.
        VerifyError: The RED of the pair is not the one that it was.
    """
    builder = find_builder(os.environ, key.principal)
    statement = describe(run, _load_red(project, run), record, builder)
    append_attestation(project, run.initiative, seal_statement(statement, key))


def export(project: Project, reference: str) -> Answer:
    """Print the statement about the newest replay of a GREEN, unsigned: nobody vouches for it.

    Raises:
        PairError: There is no such GREEN, or it was never replayed.
        VerifyError: A replay cannot be read, or the RED of the pair is not the one that it was.
    """
    run = find_green(project, reference)
    try:
        record = find_proof(run, load_replays(project, run.initiative))
    except ValueError as error:
        raise VerifyError(f"{run.run_id}: its replays cannot be read: {error}") from None
    if record is None:
        raise PairError(f"{run.run_id} was never replayed; `redgreen replay {run.run_id}` does that")
    statement = describe(run, _load_red(project, run), record)
    return Answer(0, "EXPORTED", [to_text(statement).rstrip("\n")], {"statement": to_json(statement)})


def _load_red(project: Project, run: SealedRun) -> SealedRun:
    red, complaints = load_red(project, run)
    if red is None or complaints:
        raise VerifyError(f"{run.run_id}: {complaints[0] if complaints else 'it answers no RED'}")
    return red
