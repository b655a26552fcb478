"""redgreen: evidence that a test failed for its reason, and then passed.

The command line is `python -m redgreen`; the names below are what other programs may use.
"""

from __future__ import annotations

from redgreen.codes import EXIT_CODES, GREEN, GUARD, RED, Mode, Verdict
from redgreen.errors import RedgreenError
from redgreen.evidence.sealed import SealedRun
from redgreen.evidence.verify import verify_folder
from redgreen.judge.conclusion import Conclusion
from redgreen.judge.events import Evidence, read_evidence
from redgreen.judge.pairing import conclude
from redgreen.judge.verdict import Judgement
from redgreen.project import Project, find_project
from redgreen.registry.load import find_selector, load_registry
from redgreen.registry.model import Registry, Selector
from redgreen.run.launch import Session
from redgreen.runner import run_selector
from redgreen.version import find_version

__all__ = [
    "EXIT_CODES",
    "GREEN",
    "GUARD",
    "RED",
    "Conclusion",
    "Evidence",
    "Judgement",
    "Mode",
    "Project",
    "RedgreenError",
    "Registry",
    "SealedRun",
    "Selector",
    "Session",
    "Verdict",
    "conclude",
    "find_project",
    "find_selector",
    "load_registry",
    "read_evidence",
    "run_selector",
    "verify_folder",
]

__version__ = find_version()
