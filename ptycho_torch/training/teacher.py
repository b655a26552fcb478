"""The network that another one learns from."""

from __future__ import annotations

from ptycho_torch.config import TrainingSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.models.bundle import open_network
from ptycho_torch.networks.build import Generator


def load_teacher(training: TrainingSettings, patch_px: int) -> Generator | None:
    """Load the teacher that the settings name, which does not learn; None if the target needs none.

    Raises:
        ConfigError: the target needs one and none is named, or it takes patterns of another size.
        ModelFileError: it cannot be read.
    """
    if training.target != "hybrid":
        return None
    if training.teacher is None:
        raise ConfigError("TrainingSettings.teacher is not set; it must name a trained network if target is hybrid")
    trained = open_network(training.teacher)
    if trained.patch_px != patch_px:
        raise ConfigError(
            f"TrainingSettings.teacher is {training.teacher}, a network for patterns of {trained.patch_px} px; "
            f"the scans have {patch_px} px"
        )
    return trained.generator.requires_grad_(requires_grad=False)
