"""Sessions of the project; all of them run in the environment that `make` builds, unless one says otherwise."""

from __future__ import annotations

import sys

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy in strict mode."""
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the default test suite; arguments go to pytest."""
    session.run("python", "-m", "pytest", "-m", "not slow", *session.posargs)


def redgreen(session: nox.Session, *words: str) -> None:
    """Call the evidence harness; it gets more time than nox's default to end its tests and seal the report."""
    session.run(sys.executable, "-m", "redgreen", *words, external=True, interrupt_timeout=30, terminate_timeout=15)


@nox.session
def red(session: nox.Session) -> None:
    """Record a RED: `nox -s red -- SELECTOR`; without a selector, every waiting target of the active phases."""
    redgreen(session, "run", "red", *session.posargs)


@nox.session
def green(session: nox.Session) -> None:
    """Record a GREEN: `nox -s green -- SELECTOR`; without a selector, what is red, and the guards."""
    redgreen(session, "run", "green", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Train, save, load and infer through the harness, with the artifacts audited."""
    redgreen(session, "run", "green", "integration.torch", *session.posargs)


@nox.session
def evidence(session: nox.Session) -> None:
    """Hold the registry, the sealed reports, the ledger and the generated documents against each other."""
    redgreen(session, "lint")
    redgreen(session, "verify")
    redgreen(session, "ledger", "--check")
    redgreen(session, "docs", "--check")
