"""The libraries that this package needs, and their versions here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ptycho_torch.errors import ConfigError

DISTRIBUTION = "ptycho-torch"


def find_requirements(*extras: str) -> list[Requirement]:
    """Find the libraries that this package needs, and those of some of its extras; none if it is not installed."""
    try:
        found = [Requirement(text) for text in requires(DISTRIBUTION) or []]
    except PackageNotFoundError:  # run from a folder that is not installed
        return []
    return [
        wanted
        for wanted in found
        if wanted.name != DISTRIBUTION
        and (wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)))
    ]


def check_versions() -> dict[str, str]:
    """Compare the installed libraries with those that this package needs; returns their versions and Python's.

    Raises:
        ConfigError: one is missing or has another version.
    """
    versions = {"python": platform.python_version()}
    for wanted in find_requirements():
        try:
            versions[wanted.name] = version(wanted.name)
        except PackageNotFoundError as error:
            raise ConfigError(f"{wanted} is not installed; `python -m pip install '{wanted}'` installs it") from error
        if not wanted.specifier.contains(versions[wanted.name], prereleases=True):
            raise ConfigError(
                f"{wanted.name} {versions[wanted.name]} is installed, but {wanted} is needed; "
                f"`python -m pip install '{wanted}'` replaces it"
            )
    return versions
