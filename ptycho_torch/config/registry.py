"""The settings of the registry of models."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(Settings):
    """Where models are registered, and how they are judged."""

    registry: str | None = setting(
        None,
        help="server or SQLite file of MLflow in which models are registered; "
        "by default MLFLOW_TRACKING_URI, or mlflow.db in the current folder",
    )
    wait_s: float = setting(
        10.0,
        above=0,
        at_most=3600,
        unit="s",
        help="longest wait for the server, or for others that write to the registry",
    )
    tolerance: float = setting(
        1e-3,
        at_least=0,
        at_most=1,
        help="largest difference of a model's outputs from the stored ones, relative to their largest value, that a "
        "health check accepts",
    )
    chance: float = setting(
        0.05,
        above=0,
        at_most=0.5,
        help="two models differ only if equal ones would differ as much with a probability below this",
    )
    least_gain: float = setting(
        0.01,
        at_least=0,
        at_most=1,
        help="share by which the error of one model must be lower than that of another for it to be called better",
    )
