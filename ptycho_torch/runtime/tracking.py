"""Optional logging of runs to MLflow, if the environment specifies a server or a file."""

from __future__ import annotations

import importlib.util
import logging
import os

from lightning.pytorch.loggers import Logger, MLFlowLogger

_log = logging.getLogger(__name__)

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
_NOWHERE = ("", "memory")


def make_mlflow_logger(name: str) -> Logger | None:
    """A logger to the place in MLFLOW_TRACKING_URI; None if that is unset, empty or `memory`, or MLflow is missing."""
    uri = os.environ.get(TRACKING_VARIABLE, "")
    if uri in _NOWHERE:
        return None
    if importlib.util.find_spec("mlflow") is None:
        _log.warning("%s is set but MLflow is not installed: pip install 'ptycho-torch[track]'", TRACKING_VARIABLE)
        return None
    return MLFlowLogger(experiment_name=name, tracking_uri=uri)
