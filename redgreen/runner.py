"""Run one selector in one mode, from the intent to the sealed folder."""

from __future__ import annotations

import secrets
import tempfile
import time
from datetime import UTC
from pathlib import Path

from redgreen.codec import digest, to_json, to_text
from redgreen.codes import GREEN, GUARD, Mode
from redgreen.errors import PlannedError, RedgreenError, RegistryError, SecretError
from redgreen.evidence.artifacts import describe_artifacts
from redgreen.evidence.begun import note_attempt
from redgreen.evidence.folder import (
    hold_lock,
    locate_lock,
    open_partial,
    translate_errors,
    write_text,
)
from redgreen.evidence.record import (
    INTENT,
    SCHEMA,
    Intent,
    RegistryFile,
)
from redgreen.evidence.scrub import Scrubber
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.evidence.store import store
from redgreen.evidence.verify import find_red
from redgreen.gitrepo import Snapshot, take_snapshot
from redgreen.judge.events import PROTECTS
from redgreen.judge.pairing import conclude
from redgreen.registry.model import Selector
from redgreen.run.launch import Launcher, Session, build_argv
from redgreen.sealing import Recording, seal_recording


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
        run = Recording(session, selector, mode, red, code, launcher, session.clock(), time.monotonic(), expected)
        _write_intent(run)
        with tempfile.TemporaryDirectory(prefix="rg-", ignore_cleanup_errors=True) as tmp:
            _launch_all(run, Path(tmp))
        folder = seal_recording(run)
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


def _write_intent(run: Recording) -> None:
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


def _launch_all(run: Recording, tmp: Path) -> None:
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
