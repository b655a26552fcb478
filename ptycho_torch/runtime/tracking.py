"""The trackers that a run can be logged to: TensorBoard, MLflow and W&B."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from ptycho_torch.config import TrackingSettings
from ptycho_torch.runtime.background_logger import BackgroundLogger, Picture, Tracker
from ptycho_torch.runtime.mlflow_place import MlflowPlace
from ptycho_torch.runtime.trackers import TRACKING_VARIABLE, find_mlflow_place

_PICTURE = "reconstruction"
_SQLITE = "sqlite:///"


@contextlib.contextmanager
def _keep_variable(name: str) -> Iterator[None]:
    """Give a variable of the environment its value back after the block."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@dataclass(frozen=True)
class TensorBoardTracker:
    """Event files in `tensorboard/` in the folder of the run."""

    folder: Path
    name: str = "tensorboard"

    def open(self) -> TensorBoardLogger:
        """Start a run."""
        return TensorBoardLogger(self.folder, name="", version="tensorboard", default_hp_metric=False)

    def log_picture(self, logger: TensorBoardLogger, picture: Picture) -> None:
        """Log a picture."""
        logger.experiment.add_image(_PICTURE, picture.pixels, picture.step, dataformats="HWC")

    def close(self, logger: TensorBoardLogger, status: str) -> None:
        """End the run."""
        logger.finalize(status)


@dataclass(frozen=True)
class MlflowTracker:
    """A run of MLflow, on a server or in a database file.

    Attributes:
        folder: folder of the run, after which the run is named; pictures of a new experiment in a database file are
            stored beside it.
        project: name of the experiment.
        uri: server or database.
    """

    folder: Path
    project: str
    uri: str
    name: str = "mlflow"

    def open(self) -> MLFlowLogger:
        """Start a run."""
        # no reports to others about the use of the library
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # noqa: PLC0415 - belongs to an extra

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logger = MLFlowLogger(self.project, self.folder.absolute().name, self.uri)
        # starting a run sets the variable, which would make the next training of the process log there too
        with _keep_variable(TRACKING_VARIABLE):
            if self.uri.startswith(_SQLITE):
                self._prepare(Path(self.uri.removeprefix(_SQLITE)).absolute(), mlflow.MlflowClient)
            logger.run_id  # noqa: B018 - starts the run
        return logger

    def _prepare(self, database: Path, connect: Callable[[str], Any]) -> None:
        """Create the tables and the experiment; two runs that do so at the same time would both fail."""
        with FileLock(f"{database}.lock"):
            MlflowPlace.find(self.uri).create_database()
            client = connect(self.uri)
            if client.get_experiment_by_name(self.project) is None:
                client.create_experiment(self.project, (database.parent / "mlartifacts").as_uri())

    def log_picture(self, logger: MLFlowLogger, picture: Picture) -> None:
        """Log a picture."""
        logger.experiment.log_image(logger.run_id, picture.pixels, key=_PICTURE, step=picture.step)

    def close(self, logger: MLFlowLogger, status: str) -> None:
        """End the run."""
        logger.finalize(status)


@dataclass(frozen=True)
class WandbTracker:
    """A run of W&B, in files below the folder of the run unless `online`."""

    folder: Path
    project: str
    online: bool
    name: str = "wandb"

    def open(self) -> WandbLogger:
        """Start a run."""
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb  # noqa: PLC0415 - belongs to an extra

        logger = WandbLogger(
            name=self.folder.absolute().name,
            project=self.project,
            save_dir=self.folder,
            mode="online" if self.online else "offline",
            # the output of the program is not part of the run
            settings=wandb.Settings(console="off"),
        )
        logger.experiment  # noqa: B018 - starts the run
        return logger

    def log_picture(self, logger: WandbLogger, picture: Picture) -> None:
        """Log a picture."""
        logger.log_image(_PICTURE, [str(picture.path)], picture.step)

    def close(self, logger: WandbLogger, status: str) -> None:
        """End the run."""
        logger.experiment.finish(exit_code=0 if status == "success" else 1)


Factory = Callable[[Path, TrackingSettings], Tracker]
_FACTORIES: dict[str, Factory] = {
    "tensorboard": lambda folder, settings: TensorBoardTracker(folder),
    "mlflow": lambda folder, settings: MlflowTracker(folder, settings.project, _find_uri(folder, settings)),
    "wandb": lambda folder, settings: WandbTracker(folder, settings.project, settings.wandb_online),
}


def make_trackers(names: Iterable[str], folder: Path, settings: TrackingSettings) -> list[BackgroundLogger]:
    """Make the loggers of trackers for the run in a folder; no library is loaded before something is logged."""
    return [BackgroundLogger(_FACTORIES[name](folder, settings)) for name in names]


def _find_uri(folder: Path, settings: TrackingSettings) -> str:
    """The place for MLflow: that of the settings, of the environment, or a database that runs side by side share."""
    return settings.mlflow_uri or find_mlflow_place() or f"{_SQLITE}{folder.absolute().parent / 'mlflow.db'}"
