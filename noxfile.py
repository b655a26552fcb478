"""Sessions of the project; all of them run in the environment that `make` builds, unless one says otherwise."""

from __future__ import annotations

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
