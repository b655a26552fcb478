"""Errors that a user can act on; the command line turns each into one line and exit code 2.

PtychoError
├── ConfigError (ValueError)         a setting or an option has no usable value
├── DataError (ValueError)           a scan does not make sense
│   ├── ScanFileError                a file of measured data cannot be read as a scan
│   └── GroupingError                positions cannot be grouped as asked
├── ModelFileError                   a file that should hold a trained model does not
│   ├── CheckpointError              a Lightning checkpoint is damaged, foreign or does not fit
│   └── BundleError                  a bundle is damaged, foreign, unsafe or contradicts itself
├── MissingTorchError (ImportError)  torch, or what is built on it, is not installed
├── OutputError (OSError)            a result cannot be written where it should go
└── DivergenceError                  a solver or a training run met a value that is not finite
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

_TORCH = ("torch", "lightning", "jaxtyping")


class PtychoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(PtychoError, ValueError):
    """A setting or an option has no usable value."""


class DataError(PtychoError, ValueError):
    """A scan does not make sense."""


class ScanFileError(DataError):
    """A file of measured data cannot be read as a scan."""


class GroupingError(DataError):
    """Positions cannot be grouped as asked."""


class ModelFileError(PtychoError):
    """A file that should hold a trained model does not."""


class CheckpointError(ModelFileError):
    """A Lightning checkpoint is damaged, foreign or does not fit."""


class BundleError(ModelFileError):
    """A bundle is damaged, foreign, unsafe or contradicts itself."""


class MissingTorchError(PtychoError, ImportError):
    """Torch, or what is built on it, is not installed."""


class OutputError(PtychoError, OSError):
    """A result cannot be written where it should go."""


class DivergenceError(PtychoError):
    """A solver or a training run met a value that is not finite."""


def require_torch(*others: str) -> None:
    """Raise MissingTorchError where torch, or one of the others, is not installed; nothing is imported."""
    with explain_missing_torch():
        for name in ("torch", *others):
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)


@contextmanager
def explain_missing_torch() -> Iterator[None]:
    """Let imports that need torch fail with the way to install it; other imports fail as ever.

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
            f"{missing[0]} is not installed, and only settings, readers and archives work without it; "
            f"`python -m pip install {' '.join(missing)}` installs what is missing",
            name=missing[0],
        ) from error
