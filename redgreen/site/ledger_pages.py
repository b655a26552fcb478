"""The pages that list runs: the ledger, one for each initiative, verdict and proof, and the feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from redgreen.site.collect import Collection, Entry
from redgreen.site.history import Steadiness, measure_steadiness
from redgreen.site.rows import name_page

PAGE_SIZE: Final = 150


@dataclass(frozen=True, slots=True)
class Facet:
    """One value that runs can be grouped by, its page, and how many runs have it."""

    kind: str
    name: str
    page: str
    count: int


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list of runs: `number` of `pages`, each named, and the entries on it."""

    page: str
    title: str
    lead: str
    number: int
    pages: tuple[str, ...]
    entries: tuple[Entry, ...]
    total: int
    template: str
    steadiness: Steadiness | None = None


KINDS: Final[dict[str, tuple[str, Callable[[Entry], str]]]] = {
    "initiatives": ("Initiative", lambda entry: entry.row.initiative),
    "selectors": ("Selector", lambda entry: entry.row.selector),
    "verdicts": ("Verdict", lambda entry: str(entry.row.verdict)),
    "proofs": ("Proof", lambda entry: entry.proof),
}


def list_facets(collection: Collection) -> dict[str, tuple[Facet, ...]]:
    """Count the runs of each initiative, selector, verdict and proof."""
    found = {}
    for kind, (_, read) in KINDS.items():
        counts: dict[str, int] = {}
        for entry in collection.entries:
            if name := read(entry):
                counts[name] = counts.get(name, 0) + 1
        found[kind] = tuple(Facet(kind, name, name_page(kind, name), counts[name]) for name in sorted(counts))
    return found


def list_pages(collection: Collection) -> Iterator[ListPage]:
    """List every page of runs."""
    entries = collection.entries
    yield from split_list("index.html", "Ledger", "Every recorded run, the newest first.", entries, "ledger.html")
    for kind, (word, read) in KINDS.items():
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(read(entry), []).append(entry)
        for name, group in sorted(groups.items()):
            page, title, runs = name_page(kind, name), f"{word} {name}", tuple(group)
            if kind == "selectors":
                yield from split_list(page, title, "", runs, "history.html", measure_steadiness(runs))
            elif name:
                yield from split_list(page, title, "", runs, "list.html")
    newest: dict[str, Entry] = {}
    for entry in entries:
        newest.setdefault(entry.row.selector, entry)
    chosen = tuple(newest[name] for name in sorted(newest))
    lead = "Every selector that was ever run, with its newest attempt."
    yield from split_list("selectors.html", "Selectors", lead, chosen, "list.html")
    invalid = tuple(entry for entry in entries if not entry.row.counts)
    lead = "Attempts that count for nothing, the newest first, each with its reason. None is ever taken out."
    yield from split_list("invalid.html", "Invalid attempts", lead, invalid, "invalid.html")
    replayed = tuple(entry for entry in entries if entry.replay)
    lead = "Pairs whose tests were run again with the product of before and after, in a clean clone."
    yield from split_list("replays.html", "Replays", lead, replayed, "replays.html")


def split_list(
    page: str, title: str, lead: str, entries: tuple[Entry, ...], template: str, steadiness: Steadiness | None = None
) -> Iterator[ListPage]:
    """Part a list into pages, at least one."""
    parts = [entries[start : start + PAGE_SIZE] for start in range(0, len(entries), PAGE_SIZE)] or [()]
    stem = page.removesuffix(".html")
    names = tuple(page if number == 1 else f"{stem}.page{number}.html" for number in range(1, len(parts) + 1))
    for number, part in enumerate(parts, 1):
        yield ListPage(names[number - 1], title, lead, number, names, part, len(entries), template, steadiness)
