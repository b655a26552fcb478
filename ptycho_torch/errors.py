"""Errors that a user can act on; the command line turns each into one line and exit code 2.

PtychoError
├── ConfigError (ValueError)   a setting or an option has no usable value
├── DataError (ValueError)     a scan does not make sense
│   ├── ScanFileError          a file of measured data cannot be read as a scan
│   └── GroupingError          positions cannot be grouped as asked
├── ModelFileError             a file that should hold a trained model does not
│   ├── CheckpointError        a Lightning checkpoint is damaged, foreign or does not fit
│   └── BundleError            a bundle is damaged, foreign, unsafe or contradicts itself
├── OutputError (OSError)      a result cannot be written where it should go
└── DivergenceError            a solver or a training run met a value that is not finite
"""

from __future__ import annotations


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


class OutputError(PtychoError, OSError):
    """A result cannot be written where it should go."""


class DivergenceError(PtychoError):
    """A solver or a training run met a value that is not finite."""
