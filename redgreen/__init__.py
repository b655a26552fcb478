"""redgreen: evidence that a test failed for its reason, and then passed.

The command line is `python -m redgreen`; the names below are what other programs may use.
"""

from __future__ import annotations

from redgreen.codes import EXIT_CODES, Verdict
from redgreen.errors import RedgreenError
from redgreen.events import Evidence, read_evidence
from redgreen.model import Registry, Selector
from redgreen.pairing import Conclusion, conclude
from redgreen.project import Project, find_project
from redgreen.registry import find_selector, load_registry
from redgreen.runner import Outcome, Session, run_selector
from redgreen.verdict import Judgement, judge
from redgreen.verify import verify_folder

__all__ = [
    "EXIT_CODES",
    "Conclusion",
    "Evidence",
    "Judgement",
    "Outcome",
    "Project",
    "RedgreenError",
    "Registry",
    "Selector",
    "Session",
    "Verdict",
    "conclude",
    "find_project",
    "find_selector",
    "judge",
    "load_registry",
    "read_evidence",
    "run_selector",
    "verify_folder",
]

__version__ = "0.1.0"
