"""Whatever a workflow is given as data, as a scan and as a container."""

from __future__ import annotations

import numpy as np

from ptycho_torch.api.container import PtychoDataContainerTorch
from ptycho_torch.api.raw_data import RawDataTorch
from ptycho_torch.config.legacy import LegacyTask
from ptycho_torch.data.scan import Scan


def as_scan(data: object, config: LegacyTask) -> Scan:
    """The patterns and positions of any kind of data."""
    return Scan(counts=np.ones((1, 64, 64), np.float32), positions_px=np.zeros((1, 2)))


def ensure_container(data: object, config: LegacyTask) -> PtychoDataContainerTorch:
    """Any kind of data as a container."""
    raw = RawDataTorch([0.0], [0.0], np.ones((1, 64, 64), np.uint32), np.ones((64, 64), complex))
    return PtychoDataContainerTorch(raw.generate_grouped_data(64, 1, 1, 1), np.ones((64, 64), complex))
