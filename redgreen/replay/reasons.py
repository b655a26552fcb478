"""Reasons for which a test may fail without the product's change, and those that do not count."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redgreen.judge.events import Failure
from redgreen.replay.cell import Cell
from redgreen.replay.change import lies_with_tests

__all__ = ["ACCEPTED", "Rules", "check_failure", "describe_failure", "find_kind", "look_behind"]

ACCEPTED: Final = ("assertion", "exception")
# a parameter that a test passes and the product of before does not have
SIGNATURE: Final = re.compile(r"unexpected keyword argument|takes .* positional arguments? but")
WORD: Final = re.compile(r"\w+")
# an import that failed in another process, or was caught, and reached the test as a failed assertion
MISSING: Final = re.compile(r"ModuleNotFoundError: |ImportError: |AttributeError: (partially initialized )?module '")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a failure.

    `product` are the changed files of the product, and `declared` says that they were named. `accept` are the classes
    of failure that count as a reason: assertion, exception, stub, missing_symbol. `new_names` are those that the
    product of before does not have, and `find_disguise` gives the one that a test looks for in a way that hides its
    absence.
    """

    product: tuple[str, ...] = ()
    declared: bool = False
    accept: tuple[str, ...] = ACCEPTED
    new_names: frozenset[str] = frozenset()
    find_disguise: Callable[[str], str] = lambda _: ""


def check_failure(cell: Cell, nodeid: str, rules: Rules) -> str:
    """Say why a failure without the product's change does not count; empty when it does."""
    record = cell.tests[nodeid]
    if record.outcome == "error":
        return f"breaks in {record.phase}, not in the test: {describe_failure(record.failure)}"
    failure = record.failure
    if failure is None:
        return "fails, and no exception was seen"
    kind = find_kind(failure, rules.new_names)
    if kind not in rules.accept:
        return f"fails by {describe_failure(failure)} (class {kind}; accepted: {', '.join(rules.accept)})"
    if nodeid.partition("::")[0] in rules.product:
        return "the test itself stands in a changed file of the product"
    if failure.kind == "assertion" and failure.origin in rules.product and not rules.declared:
        return f"the assertion that fails stands in {failure.origin}, which changed: name the product by --product"
    told = look_behind(failure, nodeid, rules)
    return f"{told}; --accept missing_symbol would let it count" if told else ""


def look_behind(failure: Failure, nodeid: str, rules: Rules) -> str:
    """Say what is missing behind a failure that looks like another; empty when nothing is, or when that is accepted."""
    if "missing_symbol" in rules.accept:
        return ""
    if failure.kind == "assertion" and MISSING.search(failure.message):
        return f"an import failed behind it ({describe_failure(failure)})"
    disguise = rules.find_disguise(nodeid)
    return f"asks whether {disguise} exists" if disguise else ""


def find_kind(failure: Failure, new_names: frozenset[str] = frozenset()) -> str:
    """Find the class of a failure; a name missing in the product is told from one that the product stumbles over."""
    with_tests = not failure.origin or lies_with_tests(failure.origin)
    if failure.type == "TypeError" and with_tests and SIGNATURE.search(failure.message):
        return "missing_symbol"
    is_import = "ImportError" in (failure.type, *failure.bases)
    if failure.kind != "missing_symbol" or with_tests or is_import:
        return failure.kind
    return "missing_symbol" if new_names & set(WORD.findall(failure.message)) else "exception"


def describe_failure(failure: Failure | None) -> str:
    """Describe a failure in one line."""
    if failure is None:
        return "no exception was seen"
    told = failure.message.strip().splitlines()[:1] or [""]
    where = f" ({failure.file}:{failure.line})" if failure.file else ""
    return f"{failure.type}: {told[0][:160]}{where}"
