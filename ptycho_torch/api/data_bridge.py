"""Re-export of the data pipeline; specs/data_pipeline.md describes it."""

from ptycho_torch.contracts.legacy.container import PtychoDataContainerTorch as PtychoDataContainerTorch
from ptycho_torch.contracts.legacy.raw_data import MemmapDatasetBridge as MemmapDatasetBridge
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch as RawDataTorch
