"""Write the whole site beside its place, then put it there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redgreen.codes import ProofVerdict
from redgreen.errors import ReportError
from redgreen.evidence.folder import translate_errors, write_text
from redgreen.evidence.guards import GuardLine
from redgreen.evidence.sealed import SealedRun
from redgreen.project import Project
from redgreen.site.collect import Collection, Entry, collect
from redgreen.site.ledger_pages import KINDS, list_facets, list_pages
from redgreen.site.render import ASSETS, format_moment, make_environment
from redgreen.site.run_page import view_run

if TYPE_CHECKING:
    import jinja2

MARK: Final = "redgreen-site.txt"
MARK_TEXT: Final = "Made by `redgreen site`, which replaces this folder as a whole.\n"
LARGEST_PAGE: Final = 200_000
SHARES: Final = (1, 3, 10, 40)


def write_site(project: Project, out: Path) -> tuple[Collection, int]:
    """Write the site of every sealed run into a folder, and replace one of before.

    Returns:
        What was shown, and the number of pages.

    Raises:
        ReportError: The folder holds something else than a site, or cannot be written.
        RegistryError: jinja2 is not installed.
        VerifyError: A list of later replays cannot be read.
    """
    environment = make_environment()
    _refuse_foreign(out)
    collection = collect(project)
    with translate_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        number = 0
        for name, text in _render_all(environment, collection, project.root, out):
            with translate_errors(out):
                (made / name).parent.mkdir(exist_ok=True)
            write_text(made / name, text)
            number += name.endswith(".html")
        _put(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return collection, number


def _refuse_foreign(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ReportError(f"{out} is no folder; give another with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ReportError(f"{out} holds something else than a site of redgreen; give another folder with --out")


def _put(made: Path, out: Path) -> None:
    """Put the new folder in the place of the old one."""
    with translate_errors(out):
        made.chmod(0o755)
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            if out.exists():
                out.rename(old / "old")
            made.rename(out)
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _render_all(
    environment: jinja2.Environment, collection: Collection, root: Path, out: Path
) -> Iterator[tuple[str, str]]:
    """Render every file of the site, with its name."""
    yield MARK, MARK_TEXT
    for name in ASSETS:
        yield name, resources.files("redgreen.site").joinpath("templates", name).read_text(encoding="utf-8")
    yield "runs.js", f"const RUNS = {_format_rows(collection)};\n"
    shared = {
        "facets": list_facets(collection),
        "failing": [entry for entry in collection.entries if entry.problems],
        "unreadable": collection.unreadable,
    }
    for page in list_pages(collection):
        up = "../" * page.page.count("/")
        template = environment.get_template(page.template)
        yield page.page, template.render(list=page, up=up, here=page.page, **shared)
    known = {entry.row.selector for entry in collection.entries}
    templates = {kind: environment.get_template(f"{kind}.html") for kind in ("run", "line")}
    for entry in collection.entries:
        if isinstance(entry.run, GuardLine):
            yield entry.page, templates["line"].render(entry=entry, line=entry.run, up="../", here=entry.page)
        else:
            yield entry.page, _render_run(templates["run"], entry, entry.run, known, root, out)


def _render_run(template: jinja2.Template, entry: Entry, run: SealedRun, known: set[str], root: Path, out: Path) -> str:
    """Render the page of a run; one that gets too large shows less of every list."""
    text = ""
    for share in SHARES:
        view = view_run(entry, run, root, out, share)
        text = template.render(view=view, known=known, up="../", here=entry.page)
        if len(text.encode()) <= LARGEST_PAGE:
            break
    return text


def _format_rows(collection: Collection) -> str:
    """Format what the filter needs to know of each run."""
    pages = {facet.name: facet.page for facet in list_facets(collection)["selectors"]}
    rows: list[dict[str, Any]] = []
    for entry in collection.entries:
        row = entry.row
        facets = {kind: read(entry) for kind, (_, read) in KINDS.items()}
        rows.append(
            facets
            | {
                "page": entry.page,
                "history": pages[row.selector],
                "phase": row.phase,
                "mode": row.mode.name,
                "tests": row.tests,
                "time": format_moment(row.stamp),
                "good": row.verdict.is_valid,
                "mark": "✓" if row.verdict.is_valid else "✗",
                "proof": entry.proof and f"{'✓' if entry.proof == ProofVerdict.PROVEN else '○'} {entry.proof}",
                "warning": "does not verify" if entry.problems else "",
            }
        )
    return json.dumps(rows, separators=(",", ":"))
