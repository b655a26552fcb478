"""Commands that replay a change."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from redgreen.codec import to_json
from redgreen.commands.answer import Answer
from redgreen.commands.attest import attest
from redgreen.errors import RegistryError
from redgreen.evidence import ledger
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import append_replay, scrub_replay
from redgreen.evidence.signature import Key
from redgreen.project import Project
from redgreen.registry.load import load_registry
from redgreen.replay.cell import Conditions
from redgreen.replay.prove import Replay, prove_range
from redgreen.replay.reasons import ACCEPTED
from redgreen.replay.recorded import find_green, list_pairs, replay_sealed


def prove(project: Project, arguments: Namespace) -> Answer:
    """Replay a range of commits and tell what that proves."""
    conditions = Conditions(arguments.budget, arguments.repeat, tuple(arguments.pass_env))
    accept = (*ACCEPTED, *arguments.accept)
    product = tuple(arguments.product)
    return describe_replay(
        prove_range(
            project.root,
            arguments.range,
            arguments.tests,
            conditions,
            product=product,
            accept=accept,
            hunks=arguments.hunks,
        )
    )


def replay(
    project: Project,
    reference: str,
    *,
    everything: bool,
    show: Callable[[str], object],
    key: Key | None = None,
    budget_s: float | None = None,
) -> Answer:
    """Replay recorded pairs again, and keep what that shows beside their reports, signed where there is a key."""
    if everything == bool(reference):
        raise RegistryError("name a run of a GREEN (its id or its folder), or replay them with --all")
    runs = list_pairs(project) if everything else [find_green(project, reference)]
    conditions = Conditions()
    records: list[ReplayRecord] = []
    try:
        with conditions.interrupts:
            for run in runs:
                if conditions.interrupts.name:
                    break
                now = datetime.now(UTC).isoformat(timespec="seconds")
                seen, _ = replay_sealed(project, run, conditions, now, budget_s)
                record = scrub_replay(project, seen)
                records.append(record)
                lines = describe_record(record)
                if not conditions.interrupts.name and not project.scratch:
                    append_replay(project, run.initiative, record)
                    if key is not None:
                        attest(project, run, record, key)
                        lines.append(f"attested by {key.keyid}")
                show("\n".join([run.result.run_id, *(f"  {line}" for line in lines)]))
    finally:  # what is kept already counts, whatever comes to the others
        if not project.scratch and records:
            ledger.rebuild(project, load_registry(project.root))
    if conditions.interrupts.name:
        raise KeyboardInterrupt
    worst = max(records, key=lambda record: record.verdict.exit_code, default=None)
    counts = Counter(record.verdict.value for record in records)
    lines = [", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())) or "no pair is recorded"]
    values = {"replays": [to_json(record) for record in records]}
    label = worst.verdict.value if worst is not None else "NOTHING_REPLAYED"
    return Answer(worst.verdict.exit_code if worst is not None else 0, label, lines, values)


def describe_record(record: ReplayRecord) -> list[str]:
    """Tell what the replay of a recorded pair found, and what it cost."""
    lines = [
        str(record.verdict),
        *(f"  {reason}" for reason in record.reasons[:20]),
        *(f"  note: {note}" for note in record.notes[:20]),
        f"  product: {', '.join(record.product[:10]) or 'no file of it differs'}",
        f"  held: {record.held} tests passed before and after",
        *([f"  hunks: {len(record.hunks)}, unwitnessed {len(record.unwitnessed)}"] if record.hunks else []),
        *(f"    {hunk.file}:{hunk.line}: unwitnessed" for hunk in record.unwitnessed),
        f"  {record.processes} processes, {record.wall_s:.1f} s",
    ]
    return [make_printable(line) for line in lines]


def describe_replay(replay: Replay) -> Answer:
    """Tell what a replay found."""
    proof = replay.proof
    unwitnessed = [str(hunk) for hunk in replay.hunks if hunk.state == "unwitnessed"]
    lines = [
        f"{proof.verdict}  {replay.change.base[:12]}..{replay.change.head[:12]}",
        *(f"  {reason}" for reason in proof.reasons[:20]),
        *(f"  note: {note}" for note in proof.notes[:20]),
        f"  product: {', '.join(replay.change.product[:10]) or 'no file of it differs'}",
        f"  held: {proof.held} tests passed before and after",
        *([f"  hunks: {len(replay.hunks)}, unwitnessed {len(unwitnessed)}"] if replay.hunks else []),
        *(f"    {hunk}" for hunk in unwitnessed),
        f"  {replay.processes} processes, {replay.wall_s:.1f} s",
    ]
    values = {
        "reasons": list(proof.reasons),
        "notes": list(proof.notes),
        "fixed": list(proof.fixed),
        "held": proof.held,
        "product": list(replay.change.product),
        "others": list(replay.change.others),
        "tests": list(replay.tests),
        "cells": [
            {"name": cell.name, "problem": cell.problem, "tests": {key: one.outcome for key, one in cell.tests.items()}}
            for cell in replay.cells.list()
        ],
        "hunks": [str(hunk) for hunk in replay.hunks],
        "processes": replay.processes,
        "wall_s": round(replay.wall_s, 3),
    }
    return Answer(proof.verdict.exit_code, proof.verdict.value, [make_printable(line) for line in lines], values)


def make_printable(text: str) -> str:
    """Replace what no terminal can show: bytes of a file's name that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
