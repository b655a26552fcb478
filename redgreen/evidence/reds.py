"""Find the RED that a GREEN answers, among the sealed folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redgreen.codes import Verdict
from redgreen.errors import PairError, VerifyError
from redgreen.evidence.record import SEAL
from redgreen.evidence.sealed import SealedRun, load_run, red_side, sealed_runs
from redgreen.evidence.verify import verify_folder
from redgreen.judge.conclusion import RedSide
from redgreen.project import Project
from redgreen.registry.model import Selector

__all__ = ["find_red"]


def find_red(project: Project, selector: Selector, reference: str = "") -> RedSide:
    """The RED that a GREEN of the selector answers.

    Args:
        project: Where to look; a scratch run looks among scratch runs first.
        selector: What will run.
        reference: Run id or folder of the RED; by default the newest valid one.

    Raises:
        PairError: There is none, it is not valid, or the registry has changed what it promised.
        VerifyError: The folder of the RED was altered.
    """
    places = [project, replace(project, scratch=False)] if project.scratch else [project]
    for place in places:
        run = _named(place, reference) if reference else _newest(place, selector)
        if run is not None:
            return _checked(place, selector, run)
    if reference:
        raise PairError(f"no sealed run is called '{reference}'")
    raise PairError(
        f"{selector.name} has no valid RED to answer; record one with `redgreen run red {selector.name}` first"
    )


def _newest(project: Project, selector: Selector) -> SealedRun | None:
    found = None
    for run in sealed_runs(project):
        if run.result.selector == selector.name and run.verdict is Verdict.VALID_RED:
            found = run if found is None or run.key > found.key else found
    return found


def _named(project: Project, reference: str) -> SealedRun | None:
    for folder in (project.root / reference, Path(reference).resolve()):
        if (folder / SEAL).is_file() and folder.is_relative_to(project.base):
            try:
                return load_run(folder)
            except ValueError as error:
                raise VerifyError(f"{reference}: {error}") from None
    return next((run for run in sealed_runs(project) if run.result.run_id == reference), None)


def _checked(project: Project, selector: Selector, run: SealedRun) -> RedSide:
    name = run.result.run_id
    if run.result.selector != selector.name or run.verdict is not Verdict.VALID_RED:
        raise PairError(f"{name} is a {run.verdict} of {run.result.selector}, not a valid RED of {selector.name}")
    problems = verify_folder(project, run.folder)
    if problems:
        raise VerifyError(f"the RED {name} does not hold: {problems[0]}")
    before = run.intent.declared()
    if before.promise() != selector.promise():
        raise PairError(
            f"the registry entry of {selector.name} has changed what it declares since the RED {name}; record a new RED"
        )
    return red_side(project, run)
