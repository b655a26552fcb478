"""The settings of what a training is logged to."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho_torch.config.conditions import includes
from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.config.limits import MOST_EPOCHS

TRACKERS = ("csv", "tensorboard", "mlflow", "wandb")


@dataclass(frozen=True, kw_only=True)
class TrackingSettings(Settings):
    """Where the losses and pictures of a training are logged."""

    tracker: str = setting(
        "csv",
        words=TRACKERS,
        help="where losses are logged: csv, tensorboard, mlflow, wandb, or several joined by +; "
        "the CSV file is always written",
    )
    picture_every_epochs: int | None = setting(
        None,
        at_least=0,
        at_most=MOST_EPOCHS,
        help="epochs between pictures of the reconstruction, 0 for none; "
        "by default about ten pictures, or none if the tracker is csv",
    )
    project: str = setting(
        "ptycho_torch", acts_when=includes("tracker", "mlflow", "wandb"), help="experiment of MLflow, project of W&B"
    )
    mlflow_uri: str | None = setting(
        None,
        acts_when=includes("tracker", "mlflow"),
        help="server or database of MLflow; by default MLFLOW_TRACKING_URI, or mlflow.db beside the output folder",
    )
    wandb_online: bool = setting(
        False,
        acts_when=includes("tracker", "wandb"),
        help="send the run to the server of W&B; otherwise it is written to files for `wandb sync`",
    )
