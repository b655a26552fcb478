"""Pictures of the reconstruction while a network is trained."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
from lightning.fabric.utilities import rank_zero_only
from lightning.pytorch.callbacks import Callback

from ptycho_torch.config import TrackingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.figures import draw_object, save_drawing
from ptycho_torch.evaluate.scores import find_illuminated_area
from ptycho_torch.models.predict import Predictor
from ptycho_torch.runtime.background_logger import BackgroundLogger, Picture
from ptycho_torch.training.module import ReconstructionModule

PICTURE_FOLDER = "pictures"
# patterns of a picture, which takes a fraction of a second however large the scan is
_MOST_PATTERNS = 256
_BATCH = 64
# pictures in a training whose settings do not specify how often
_USUAL_NUMBER = 10


def choose_interval(settings: TrackingSettings, epochs: float) -> int:
    """Choose the number of epochs between pictures, 0 for none.

    Args:
        settings: where and how often to log.
        epochs: length of the training.
    """
    if settings.picture_every_epochs is not None:
        return settings.picture_every_epochs
    return 0 if settings.tracker == "csv" else max(1, round(epochs / _USUAL_NUMBER))


class PictureWriter(Callback):
    """Draws the network's object of the middle of a scan after every few epochs, and at the end of the training.

    Each picture is written to `pictures/` as a PNG file, named after the optimiser steps taken, and handed to the
    trackers.

    Args:
        scan: the scan to reconstruct, the first one of the training.
        every_epochs: epochs between pictures.
        folder: folder of the run.
    """

    def __init__(self, scan: Scan, every_epochs: int, folder: Path) -> None:
        middle = np.median(scan.positions_px, axis=0)
        nearest = np.argsort(((scan.positions_px - middle) ** 2).sum(axis=1), kind="stable")[:_MOST_PATTERNS]
        self._scan = scan.take(np.sort(nearest))
        self.every_epochs = every_epochs
        self._folder = folder / PICTURE_FOLDER
        self._last_step = -1

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw if the epoch is one of those."""
        if (trainer.current_epoch + 1) % self.every_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw the last state."""
        self._draw(trainer, pl_module)

    @rank_zero_only
    def _draw(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        step = trainer.global_step
        if step == self._last_step or not isinstance(module, ReconstructionModule):
            return
        self._last_step, was_training = step, module.generator.training
        probe = module.probes[0].detach().cpu().numpy()
        predictor = Predictor(module.generator, probe, float(module.photons[0]), module.device)
        prediction = predictor.predict(self._scan, _BATCH)
        module.generator.train(was_training)
        image = prediction.canvas.pixels
        if not np.isfinite(image).all():
            return
        pixels = draw_object(image, find_illuminated_area(prediction.illumination))
        picture = Picture(pixels, self._folder / f"step-{step:08d}.png", step)
        save_drawing(pixels, picture.path)
        for logger in trainer.loggers:
            if isinstance(logger, BackgroundLogger):
                logger.log_picture(picture)
