"""From the canonical parameters to an experiment of this package."""

from __future__ import annotations

from ptycho_torch.config import Experiment
from ptycho_torch.config.legacy import LegacyTraining


def experiment_of(config: LegacyTraining, patterns: int) -> Experiment:
    """Settings that do what the canonical parameters say, for a scan of so many patterns."""
    return Experiment()
