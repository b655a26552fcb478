"""Which trackers a run is logged to; known, and checked, before torch is loaded."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec

from ptycho_torch.config import TrackingSettings
from ptycho_torch.errors import ConfigError, require_extra

_log = logging.getLogger(__name__)

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
_NOWHERE = ("", "memory")
# the extra that installs the libraries of all trackers
_EXTRA = "track"


def require_trackers(settings: TrackingSettings, *, mlflow: bool = True) -> tuple[str, ...]:
    """Check that the trackers of the settings are installed; returns their names without that of the CSV file.

    Args:
        settings: where to log.
        mlflow: whether MLflow may be used.

    Raises:
        MissingExtraError: the library of a tracker is not installed.
        ConfigError: the settings name MLflow, which may not be used.
    """
    names = tuple(name for name in dict.fromkeys(settings.tracker.split("+")) if name != "csv")
    if "mlflow" in names and not mlflow:
        raise ConfigError(f"TrackingSettings.tracker is {settings.tracker}, but MLflow is disabled; choose one")
    for name in names:
        require_extra(f"TrackingSettings.tracker {name}", name, _EXTRA)
    return names


def choose_trackers(settings: TrackingSettings, *, mlflow: bool = True) -> tuple[str, ...]:
    """Choose the trackers beside the CSV file: those of the settings, and MLflow if MLFLOW_TRACKING_URI names a place.

    Arguments and errors are those of `require_trackers`. If the variable is set and MLflow is not installed, a warning
    is logged.
    """
    names = require_trackers(settings, mlflow=mlflow)
    if not mlflow or "mlflow" in names or not find_mlflow_place():
        return names
    if find_spec("mlflow") is None:
        _log.warning("%s is set but MLflow is not installed: pip install 'ptycho-torch[track]'", TRACKING_VARIABLE)
        return names
    return (*names, "mlflow")


def find_mlflow_place() -> str | None:
    """Find the place in MLFLOW_TRACKING_URI; None if it is unset, empty or `memory`."""
    uri = os.environ.get(TRACKING_VARIABLE, "")
    return None if uri in _NOWHERE else uri
