"""Errors that a user can act on; the command line turns each into one line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

_TORCH = ("torch", "lightning", "jaxtyping")


class PtychoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(PtychoError, ValueError):
    """A setting or an option has an unusable value."""


class NewerFormatError(ConfigError):
    """A file was written in a newer version of its format than this package reads."""


class DataError(PtychoError, ValueError):
    """Arrays or files do not form a usable scan."""


class ScanFileError(DataError):
    """A file of measured data cannot be read as a scan."""


class GroupingError(DataError):
    """Positions cannot be grouped as the settings specify."""


class ModelFileError(PtychoError):
    """A file does not contain a usable trained network."""


class CheckpointError(ModelFileError):
    """A Lightning checkpoint is damaged, from another program, or inconsistent."""


class BundleError(ModelFileError):
    """A bundle is damaged, from another program, unsafe or inconsistent."""


class ExportError(ModelFileError):
    """A folder is no export of a trained network, or is damaged or inconsistent."""


class RegistryError(PtychoError):
    """The registry of models cannot be reached, or does not contain or accept what was asked for."""


class MissingTorchError(PtychoError, ImportError):
    """Torch, or what is built on it, is not installed."""


class MissingExtraError(PtychoError, ImportError):
    """The library that a setting needs belongs to an extra that is not installed."""


class OutputError(PtychoError, OSError):
    """A result cannot be written to its file or folder."""


class DivergenceError(PtychoError):
    """A solver or a training run reached a non-finite value."""


class RankError(PtychoError):
    """Processes that work together do not fit together, or one of them was lost."""


def require_torch(*others: str) -> None:
    """Raise MissingTorchError if torch or one of the other packages is not installed; nothing is imported."""
    with explain_missing_torch():
        for name in ("torch", *others):
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)


def require_extra(what: str, library: str, extra: str) -> None:
    """Check without importing it that the library which `what` needs is installed.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec(library) is None:
        raise MissingExtraError(
            f"{what} needs {library}, which is not installed; "
            f"`python -m pip install 'ptycho-torch[{extra}]'` installs it"
        )


@contextmanager
def explain_missing_torch() -> Iterator[None]:
    """Explain how to install torch if an import inside the block needs it; other failures stay as they are.

    Raises:
        MissingTorchError: torch, lightning or jaxtyping is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _TORCH:
            raise
        missing = [name for name in _TORCH if name == error.name or find_spec(name) is None]
        raise MissingTorchError(
            f"{missing[0]} is not installed; only settings, file formats and archives work without it; "
            f"`python -m pip install {' '.join(missing)}` installs what is missing",
            name=missing[0],
        ) from error
