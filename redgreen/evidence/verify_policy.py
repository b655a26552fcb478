"""Check the GREENs of a project against its policy: enough signers attest what the policy asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from redgreen.codes import ProofVerdict, Verdict
from redgreen.errors import RepositoryError
from redgreen.evidence.against import list_seals
from redgreen.evidence.attestation import Attestation, describe, locate_attestations, parse_time, read_attestations
from redgreen.evidence.packed import read_contents
from redgreen.evidence.policy import Policy, Signer
from redgreen.evidence.record import SEAL
from redgreen.evidence.replayed import ReplayRecord, find_exit_code
from redgreen.evidence.replays import find_proof, load_replays
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.signature import verify
from redgreen.evidence.verify import load_red
from redgreen.project import Project

MOST_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class _Vote:
    """What a signer attests of a GREEN, and why that does not count; empty where it does."""

    when: datetime
    complaint: str


@dataclass(frozen=True, slots=True)
class _Logs:
    """What is kept beside the reports of an initiative, by run id: the newest later replay, and the attestations."""

    replays: dict[str, ReplayRecord]
    attestations: dict[str, list[Attestation]]


def check_policy(project: Project, policy: Policy, folders: Iterable[Path]) -> list[str]:
    """Return the GREENs among some folders that lack what the policy asks for, one line each.

    Of several attestations by one signer the newest counts, of one second the last line. Folders that cannot be read
    are left out: they are found to be broken in any case.

    Raises:
        RepositoryError: The commit that the policy names cannot be read.
        VerifyError: `ssh-keygen` is not installed.
    """
    known = _list_known(project, policy)
    logs: dict[str, _Logs] = {}
    problems = []
    for folder in folders:
        try:
            run = load_run(folder)
        except ValueError:
            continue
        shown = project.relativize(folder) if folder.is_relative_to(project.root) else folder.name
        try:
            if run.initiative not in logs:
                logs[run.initiative] = _load_logs(project, run.initiative)
            if _is_covered(policy, run, known, logs[run.initiative]):
                found = _check_run(project, policy, run, logs[run.initiative].attestations.get(run.run_id, []))
                problems += [f"{shown}: {problem}" for problem in found]
        except ValueError as error:
            problems.append(f"{shown}: what attests it cannot be read: {error}")
    return problems


def _load_logs(project: Project, initiative: str) -> _Logs:
    attestations: dict[str, list[Attestation]] = {}
    for each in read_attestations(locate_attestations(project, initiative)):
        attestations.setdefault(each.statement.predicate.replay.run_id, []).append(each)
    return _Logs(load_replays(project, initiative), attestations)


def _list_known(project: Project, policy: Policy) -> set[bytes]:
    """List the seals of what was recorded before attestations were asked for."""
    commit = policy.require.since_commit
    try:
        return list_seals(project, commit) if commit else set()
    except RepositoryError as error:
        raise RepositoryError(f"require: since: {error}") from None


def _is_covered(policy: Policy, run: SealedRun, known: set[bytes], logs: _Logs) -> bool:
    """Return whether a run is a GREEN that counts as proven, and that the policy asks about."""
    since = policy.require.since_time
    if run.verdict is not Verdict.VALID_GREEN or run.result.pairs_with is None:
        return False
    if not any(fnmatchcase(run.initiative, glob) for glob in policy.require.initiatives):
        return False
    if since is not None and parse_time(run.result.time.start) < since:
        return False
    if known and read_contents(run.folder).get(SEAL) in known:
        return False
    proof = find_proof(run, logs.replays)
    return find_exit_code(run.verdict, proof, run.intent.load_selector()) == 0


def _check_run(project: Project, policy: Policy, run: SealedRun, found: list[Attestation]) -> list[str]:
    red, complaints = load_red(project, run)
    if red is None or complaints:
        return complaints
    votes: dict[str, _Vote] = {}
    reasons = []
    for attestation in found:
        if complaint := _compare(run, red, attestation):
            reasons.append(complaint)
            continue
        complaint = _check_verdict(policy, run, attestation.statement.predicate.replay)
        signers, refused = _find_signers(policy, attestation)
        reasons += refused
        for principal in signers:
            vote = _Vote(attestation.statement.when, complaint)
            votes[principal] = max(vote, votes.get(principal, vote), key=lambda one: one.when)
    reasons += [f"{vote.complaint} ({principal})" for principal, vote in sorted(votes.items()) if vote.complaint]
    number, wanted = sum(not vote.complaint for vote in votes.values()), policy.require.signatures
    if number >= wanted:
        return []
    told = "; ".join(dict.fromkeys(reasons[:MOST_REASONS])) or ("no other is there" if found else "it has none")
    return [f"{number} of {wanted} attestations that the policy asks for: {told}"]


def _compare(run: SealedRun, red: SealedRun, attestation: Attestation) -> str:
    """Say what in an attestation is not about this report, this code and this pair; empty where all is."""
    statement, replay = attestation.statement, attestation.statement.predicate.replay
    wanted = describe(run, red, replay)
    trees = [each.result.git.tree if each.result.git else None for each in (red, run)]
    pairs: list[tuple[str, object, object]] = [
        ("an attestation is about another report or tree", statement.subject, wanted.subject),
        ("one stands on other commits", statement.predicate.dependencies, wanted.predicate.dependencies),
        ("one is of another RED", replay.red, red.run_id),
        ("one is of a replay of other trees", [replay.base, replay.head], trees),
        ("one is older than the run", statement.when < parse_time(run.result.time.end), False),
    ]
    return next((message for message, one, other in pairs if one != other), "")


def _check_verdict(policy: Policy, run: SealedRun, replay: ReplayRecord) -> str:
    """Say why a verdict is not allowed; a characterisation is, where the entry of the GREEN promises no more."""
    if replay.verdict in policy.require.verdicts:
        return ""
    promised = find_exit_code(run.verdict, replay, run.intent.load_selector()) == 0
    if replay.verdict is ProofVerdict.CHARACTERISATION and promised:
        return ""
    return f"{replay.verdict} is attested, allowed is {', '.join(policy.require.verdicts)}"


def _find_signers(policy: Policy, attestation: Attestation) -> tuple[set[str], list[str]]:
    """Find the principals whose signatures hold and count, and say why others do not."""
    found, refused = set(), []
    message = attestation.envelope.encode()
    for signature in attestation.envelope.signatures:
        signer = next((one for one in policy.signers if one.keyid == signature.keyid), None)
        if signer is None:
            refused.append(f"the policy knows no key {signature.keyid!r:.60}")
        elif complaint := _check_signer(signer, attestation):
            refused.append(complaint)
        elif not verify(signer.principal, signer.key, message, signature.sig):
            refused.append(f"the signature of {signer.principal} does not hold")
        else:
            found.add(signer.principal)
    return found, refused


def _check_signer(signer: Signer, attestation: Attestation) -> str:
    """Say why a signer may not attest this; empty where it may."""
    when, builder = attestation.statement.when, attestation.statement.predicate.builder
    if not signer.is_allowed_at(when):
        return f"{signer.principal} was not allowed to sign at {when.isoformat(timespec='seconds')}"
    if signer.identity is not None and not signer.identity.matches(builder):
        name = builder.id if builder else ""
        return f"{signer.principal} signed as {name!r:.80}, which is not the job that it signs for"
    return ""
