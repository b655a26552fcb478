"""The command that writes the static site."""

from __future__ import annotations

from pathlib import Path

from redgreen.commands.answer import Answer
from redgreen.project import Project
from redgreen.site.write import write_site


def write(project: Project, out: Path | None) -> Answer:
    """Write the site; folders that do not verify are shown as such, and are no error here."""
    if out is None:
        out = project.make_state() / "site"
    place = out.absolute()
    collection, pages = write_site(project, place)
    failing = sum(bool(entry.problems) for entry in collection.entries) + len(collection.unreadable)
    path = project.relativize(place) if place.is_relative_to(project.root) else str(place)
    lines = [f"{path}/index.html: {len(collection.entries)} runs on {pages} pages"]
    lines += [f"{failing} records do not verify, and are marked; `redgreen verify` says why"] if failing else []
    return Answer(0, "SITE_WRITTEN", lines, {"runs": len(collection.entries), "pages": pages, "failing": failing}, path)
