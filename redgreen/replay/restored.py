"""Find whether a change gives a product what it had before: what was broken in between, or known all along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redgreen.errors import RepositoryError
from redgreen.gitrepo import split_listing
from redgreen.replay.change import Ask
from redgreen.replay.hunks import read_code

__all__ = ["find_restored", "list_blobs"]

VERSIONS: Final = 50  # of one file, of which the code is compared


def list_blobs(ask: Ask, commit: str, names: tuple[str, ...]) -> dict[str, str]:
    """List the contents that some files have in a commit, as git's object ids; empty where a file is not there."""
    found = split_listing(ask("ls-tree", "-r", "-z", commit), 2)
    return {name: found.get(name, "") for name in names}


def find_restored(ask: Ask, before: str, blobs: Mapping[str, str], sources: Mapping[str, str | None]) -> str:
    """Find a commit, at or before another, that had what a change gives its files; empty when one file is new.

    `blobs` are the files' contents as git's object ids, and `sources` as text where they are Python: there a version
    with the same code counts, whatever its comments and layout are.
    """
    oldest = ""
    for name, blob in blobs.items():
        found = _find_blob(ask, before, blob) or _find_code(ask, before, name, sources.get(name))
        if not found:
            return ""
        oldest = oldest or found
    return oldest[:12]


def _find_blob(ask: Ask, before: str, blob: str) -> str:
    """Find the first commit that brought the content; empty for a deleted file."""
    if not blob:
        return ""
    found = ask("log", "--format=%H", "--no-renames", f"--find-object={blob}", before).decode().split()
    return found[-1] if found else ""


def _find_code(ask: Ask, before: str, name: str, source: str | None) -> str:
    code = read_code(source, docstrings=True) if name.endswith(".py") else None
    if code is None:
        return ""
    commits = ask("log", "--format=%H", f"--max-count={VERSIONS}", before, "--", f":(literal){name}").decode().split()
    for commit in commits:
        try:
            version = ask("cat-file", "blob", f"{commit}:{name}").decode("utf-8", "replace")
        except RepositoryError:  # deleted there
            continue
        if read_code(version, docstrings=True) == code:
            return commit
    return ""
