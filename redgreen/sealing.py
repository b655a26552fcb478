"""Judge what a run showed, replay a GREEN, and seal the report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redgreen.codec import JsonObject, digest, to_json, to_text
from redgreen.codes import Mode, Verdict
from redgreen.errors import SecretError
from redgreen.evidence.artifacts import Artifact, Audit, render_audit
from redgreen.evidence.begun import list_missing
from redgreen.evidence.folder import (
    format_stamp,
    seal,
    write_json,
    write_text,
)
from redgreen.evidence.record import (
    RESULT,
    SCHEMA,
    Pair,
    PytestFacts,
    Result,
    Times,
    read_record,
)
from redgreen.evidence.replayed import CHANGE, REPLAY, ReplayRecord, find_exit_code, keep_change, read_replay
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.summary import FORMAT, render_summary
from redgreen.gitrepo import Snapshot
from redgreen.judge.conclusion import Conclusion, RedSide
from redgreen.judge.events import Attempt
from redgreen.judge.identity import VERSION, identify
from redgreen.judge.pairing import Guarded, conclude
from redgreen.registry.model import Selector
from redgreen.replay.cell import Conditions
from redgreen.replay.pair import Side, replay_pair
from redgreen.replay.recorded import load_side
from redgreen.run.environment import describe_environment
from redgreen.run.launch import Launcher, Session

# what an entry may change between RED and GREEN, and what a reviewer should know of
LIMITS: Final = ("budget_s", "repeat_red", "repeat_green", "replay_repeat", "replay_budget_s")


@dataclass(slots=True)
class Recording:
    """The values that the steps of one run share: what was asked for, what ran, and where it is written."""

    session: Session
    selector: Selector
    mode: Mode
    red: RedSide | None
    code: Snapshot | None
    launcher: Launcher
    started: datetime
    begun: float
    expected: tuple[str, ...] | None
    attempts: list[Attempt] = field(default_factory=list)
    guards: list[Attempt] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


def seal_recording(run: Recording) -> Path:
    """Judge, replay a GREEN, write what was concluded, and seal.

    Returns:
        The sealed folder.

    Raises:
        SecretError: A file would still hold a secret; it was removed.
        ReportError: Something cannot be written.
    """
    folder, scrubber = run.launcher.folder, run.launcher.scrubber
    nodeids = {nodeid for attempt in run.attempts for nodeid in attempt.evidence.collected}
    selector = run.selector
    identities = identify(run.session.project.root, sorted(nodeids), selector.test_support, selector.tests_roots)
    specs = run.selector.artifacts if run.mode.audited else ()
    audit = Audit.of(run.artifacts, [attempt.process.label for attempt in run.attempts], specs)
    done = conclude(
        run.selector,
        run.mode,
        [attempt.evidence for attempt in run.attempts],
        expected=run.expected,
        guards=[Guarded(run.session.registry.selectors[each.process.selector], each.evidence) for each in run.guards],
        red=run.red,
        identities=identities,
        artifact_problems=audit.problems,
    )
    write_text(folder / "tests.json", scrubber.scrub_text(_format_rows(to_json(identities))))
    environment = json.loads(scrubber.scrub_text(json.dumps(describe_environment(run.selector, run.session.environ))))
    environment["sha256"] = digest(environment)
    write_json(folder / "env.json", environment)
    replayed = _replay(run, environment) if done.verdict is Verdict.VALID_GREEN and run.code is not None else None
    if specs:
        write_text(folder / "artifact_audit.json", scrubber.scrub_text(to_text(audit)))
        write_text(folder / "artifact_audit.md", scrubber.scrub_text(render_audit(audit.artifacts)))
    text = scrubber.scrub_text(to_text(_make_result(run, done, replayed, environment["sha256"])))
    result = replace(read_record(Result, text, RESULT), redactions=scrubber.redactions)
    write_json(folder / RESULT, result)
    red = load_run(run.session.project.root / run.red.folder).result if run.red else None
    file = folder / CHANGE
    change = file.read_bytes() if file.is_file() else b""
    summary = render_summary(result, run.selector, red=red, replay=replayed, change=change)
    write_text(folder / "summary.md", summary)
    _check_clean(run)
    return seal(folder, run.launcher.run_id, result.verdict)


def _replay(run: Recording, environment: dict[str, object]) -> ReplayRecord:
    """Replay the pair in a clean clone, and write what that shows."""
    assert run.red is not None
    assert run.code is not None
    session, folder, scrubber = run.session, run.launcher.folder, run.launcher.scrubber
    session.show(f"\nredgreen: replay in a clean clone, at most {run.selector.replay_budget_s:g} s …\n".encode())
    guards = [session.registry.selectors[attempt.process.selector] for attempt in run.guards]
    red = load_run(session.project.root / run.red.folder)
    record, patch = replay_pair(
        session.project,
        load_side(red),
        Side(run.launcher.run_id, run.code.revision, run.code.patch, environment),
        run.selector,
        run.red.declared,
        Conditions(environ=session.environ, interrupts=session.interrupts, start=session.start),
        guards=guards,
        when=session.clock().astimezone(UTC).isoformat(timespec="seconds"),
    )
    change, notes = keep_change(patch, scrubber)
    missing = list_missing(session.project, run.selector.name, run.red.run_id, run.launcher.run_id)
    notes += tuple(f"an attempt since the RED is gone from the tree: {run_id}" for run_id in missing)
    notes += _name_changed_limits(red, run.selector)
    record = replace(record, notes=(*record.notes, *notes))
    text = scrubber.scrub_text(to_text(record))
    write_text(folder / REPLAY, text)
    if change:
        write_text(folder / CHANGE, change)
    return read_replay(text.encode())


def _name_changed_limits(red: SealedRun, selector: Selector) -> tuple[str, ...]:
    before, now = red.intent.entry, to_json(selector)
    changed = [key for key in LIMITS if key in before and before[key] != now[key]]
    return tuple(f"the entry has changed since the RED: {key} was {before[key]:g}, is {now[key]:g}" for key in changed)


def _make_result(run: Recording, done: Conclusion, replayed: ReplayRecord | None, env_sha256: str) -> Result:
    main, evidence = run.attempts[0].process, run.attempts[0].evidence
    ended = run.session.clock()
    wall = time.monotonic() - run.begun
    return Result(
        schema=SCHEMA,
        run_id=run.launcher.run_id,
        initiative=run.selector.initiative,
        phase=run.selector.phase,
        selector=run.selector.name,
        mode=run.mode,
        exit_code=find_exit_code(done.verdict, replayed, run.selector),
        pairs_with=Pair(run.red.run_id, run.red.folder, run.red.seal) if run.red else None,
        git=run.code.revision if run.code else None,
        runs=tuple(attempt.process for attempt in (*run.attempts, *run.guards)),
        time=Times(
            start=format_stamp(run.started),
            end=format_stamp(ended),
            wall_s=round(wall, 3),
            pytest_s=main.wall_s,
            budget_s=run.selector.budget_s,
            monotonic=abs((ended - run.started).total_seconds() - wall) < 2,
        ),
        redactions=0,
        artifacts=tuple(entry.shorten() for entry in run.artifacts),
        registry_sha256=run.session.registry.sha256,
        entry_sha256=digest(run.selector),
        pytest=PytestFacts(main.rc, evidence.finish_rc is not None, main.collected),
        env_sha256=env_sha256,
        identity=VERSION,
        summary_format=FORMAT,
        **done.to_dict() | ({"proof": replayed.verdict.value} if replayed is not None else {}),
    )


def _format_rows(values: JsonObject) -> str:
    """Format a JSON object with one line per key."""
    lines = [f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value)}" for key, value in values.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _check_clean(run: Recording) -> None:
    """Refuse to seal a file that still holds a secret, and remove it.

    Raises:
        SecretError: One was found.
    """
    for path in sorted(run.launcher.folder.iterdir()):
        if path.name in ("worktree.patch", CHANGE):
            continue  # looked at before they were written
        found = run.launcher.scrubber.find(path.read_text(encoding="utf-8", errors="replace"))
        if found:
            path.unlink()
            raise SecretError(f"{path.name}, line {found[0][0]}: {found[0][1]} would be sealed; the file was removed")
