"""Run one selector in one mode, from the intent to the sealed folder."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from redgreen.codec import JsonObject, digest, to_json, to_text
from redgreen.codes import GREEN, GUARD, Mode, Verdict
from redgreen.errors import PlannedError, RedgreenError, RegistryError, SecretError
from redgreen.evidence.artifacts import Artifact, Audit, describe_artifacts, render_audit
from redgreen.evidence.begun import list_missing, note_attempt
from redgreen.evidence.folder import (
    format_stamp,
    hold_lock,
    locate_lock,
    open_partial,
    seal,
    translate_errors,
    write_json,
    write_text,
)
from redgreen.evidence.record import (
    INTENT,
    RESULT,
    SCHEMA,
    Intent,
    Pair,
    PytestFacts,
    RegistryFile,
    Result,
    Times,
    read_record,
)
from redgreen.evidence.replayed import CHANGE, REPLAY, ReplayRecord, find_exit_code, keep_change, read_replay
from redgreen.evidence.scrub import Scrubber
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.store import store
from redgreen.evidence.summary import FORMAT, render_summary
from redgreen.evidence.verify import find_red
from redgreen.gitrepo import Snapshot, take_snapshot
from redgreen.judge.conclusion import Conclusion, RedSide
from redgreen.judge.events import PROTECTS, Attempt
from redgreen.judge.identity import VERSION, identify
from redgreen.judge.pairing import Guarded, conclude
from redgreen.registry.model import Selector
from redgreen.replay.cell import Conditions
from redgreen.replay.pair import Side, replay_pair
from redgreen.replay.recorded import load_side
from redgreen.run.environment import describe_environment
from redgreen.run.launch import Launcher, Session, build_argv


@dataclass(slots=True)
class _Run:
    """The values that the steps of one run share."""

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


def run_selector(
    session: Session, selector: Selector, mode: Mode, red_ref: str = "", *, keep: bool = False
) -> SealedRun:
    """Run a selector and seal what happened; a GREEN of a guard is a guard run.

    `red_ref` names the RED that a GREEN answers, by run id or folder; by default it is the newest valid one. `keep`
    keeps the folder of a guard that held.

    Raises:
        PlannedError: The selector is planned.
        PairError: A GREEN has no RED to answer, or the registry entry changed since.
        SecretError: The uncommitted changes hold a secret or a machine path.
        RepositoryError, ClockError, ReportError: The run cannot be recorded.
    """
    mode = GUARD if mode is GREEN and selector.role == "guard" else mode
    _refuse(selector, mode)
    project = session.project
    red = find_red(project, selector, red_ref) if mode is GREEN else None
    scrubber = Scrubber(project.root, session.environ, selector.pass_env)
    code = None if project.scratch else take_snapshot(project.root, project.layout.evidence)
    if code is not None:
        _check_patch(code, scrubber)
    stamp = session.reserve_stamp(selector.initiative)
    run_id = f"{stamp.name}-{selector.name}-{mode}-{secrets.token_hex(2)}"
    with hold_lock(project, locate_lock(project, run_id), remove=True):
        if not project.scratch:
            note_attempt(project, run_id, selector.name)
        partial = open_partial(stamp, selector.subdir)
        expected = session.registry.frozen.get(selector.name) or (tuple(red.outcomes) if red else None)
        launcher = Launcher(session, partial, run_id, scrubber)
        run = _Run(session, selector, mode, red, code, launcher, session.clock(), time.monotonic(), expected)
        _write_intent(run)
        with tempfile.TemporaryDirectory(prefix="rg-", ignore_cleanup_errors=True) as tmp:
            _launch_all(run, Path(tmp))
        folder = _finish(run)
    return load_run(folder) if project.scratch else store(project, session.registry, folder, keep=keep)


def _refuse(selector: Selector, mode: Mode) -> None:
    if selector.planned:
        raise PlannedError(
            f"{selector.name} is planned: its tests come with later work; it can neither be run nor claim a result"
        )
    if mode.role != selector.role:
        command = "guard" if selector.role == "guard" else "run green"
        declares = " and declares no RED" if selector.role == "guard" else ""
        raise RegistryError(f"{selector.name} is a {selector.role}{declares}; use `redgreen {command} {selector.name}`")


def _check_patch(code: Snapshot, scrubber: Scrubber) -> None:
    found = scrubber.find(code.patch.decode("utf-8", "replace"))
    if found:
        lines = code.patch.decode("utf-8", "replace").splitlines()
        number, what = found[0]
        file = next((line[6:] for line in reversed(lines[:number]) if line.startswith("+++ b/")), "a file")
        raise SecretError(
            f"the uncommitted changes hold {what} ({file}, line {number} of the difference); "
            "a patch is kept as it is, so take it out first"
        )


def _write_intent(run: _Run) -> None:
    project, selector = run.session.project, run.selector
    entry = to_json(selector)
    tmp = Path("<tmp>")
    registry = run.session.registry
    guards = [registry.selectors[name] for name in selector.protects]
    intent = Intent(
        schema=SCHEMA,
        run_id=run.launcher.run_id,
        folder=f"{run.launcher.folder.parent.name}/{selector.subdir}",
        initiative=selector.initiative,
        selector=selector.name,
        mode=run.mode,
        entry=entry,
        entry_sha256=digest(entry),
        answers=run.red.run_id if run.red else None,
        git=run.code.revision if run.code else None,
        started=run.started.astimezone(UTC).isoformat(timespec="milliseconds"),
        scratch=project.scratch,
        command=("python", *build_argv(project, selector, tmp=tmp, junit=tmp / "junit.xml")[1:]),
        registry=RegistryFile(registry.file, registry.sha256),
        expected=run.expected,
        guards=tuple(to_json(guard) for guard in guards if not guard.planned),
        guards_planned=tuple(guard.name for guard in guards if guard.planned),
    )
    write_text(run.launcher.folder / INTENT, run.launcher.scrubber.scrub_text(to_text(intent)))
    if run.code is not None and run.code.patch:
        with translate_errors(run.launcher.folder / "worktree.patch"):
            (run.launcher.folder / "worktree.patch").write_bytes(run.code.patch)


def _launch_all(run: _Run, tmp: Path) -> None:
    """Run the selector, its repeats, then what it protects; the first invalid process ends the series."""
    selector, session = run.selector, run.session
    for number in range(1, selector.count_repeats(run.mode) + 1):
        stem = selector.name_log(run.mode).removesuffix(".log")
        label = "main" if number == 1 else f"repeat {number}"
        log = f"{stem}.log" if number == 1 else f"{stem}.repeat{number}.log"
        run.attempts.append(run.launcher.launch(selector, label=label, log=log, tmp=tmp / str(number)))
        if selector.artifacts and run.mode.audited:
            run.artifacts += describe_artifacts(tmp / str(number), selector.artifacts, label)
        so_far = conclude(selector, run.mode, [each.evidence for each in run.attempts], expected=run.expected)
        if not so_far.verdict.is_valid:
            return
    for name in selector.protects:
        guard = session.registry.selectors[name]
        if not guard.planned and not session.interrupts.name:
            label, log = f"{PROTECTS}{name}", f"protects_{name}.log"
            run.guards.append(run.launcher.launch(guard, label=label, log=log, tmp=tmp / f"guard-{name}"))


def _finish(run: _Run) -> Path:
    """Judge, write what was concluded, and seal."""
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


def _replay(run: _Run, environment: dict[str, object]) -> ReplayRecord:
    """Replay the pair in a clean clone, and write what that shows."""
    assert run.red is not None
    assert run.code is not None
    session, folder, scrubber = run.session, run.launcher.folder, run.launcher.scrubber
    session.show(f"\nredgreen: replay in a clean clone, at most {run.selector.replay_budget_s:g} s …\n".encode())
    guards = [session.registry.selectors[attempt.process.selector] for attempt in run.guards]
    record, patch = replay_pair(
        session.project,
        load_side(load_run(session.project.root / run.red.folder)),
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
    record = replace(record, notes=(*record.notes, *notes))
    text = scrubber.scrub_text(to_text(record))
    write_text(folder / REPLAY, text)
    if change:
        write_text(folder / CHANGE, change)
    return read_replay(text.encode())


def _make_result(run: _Run, done: Conclusion, replayed: ReplayRecord | None, env_sha256: str) -> Result:
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


def _check_clean(run: _Run) -> None:
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


def run_many(
    session: Session, selectors: list[Selector], mode: Mode
) -> list[tuple[Selector, SealedRun | RedgreenError]]:
    """Run several selectors one after the other; an error of one does not stop the next, a signal does."""
    done: list[tuple[Selector, SealedRun | RedgreenError]] = []
    for selector in selectors:
        if session.interrupts.name:
            break
        try:
            done.append((selector, run_selector(session, selector, mode)))
        except RedgreenError as error:
            done.append((selector, error))
    return done
