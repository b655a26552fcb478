"""The data pipeline under the names of the contract; specs/data_pipeline.md says what they do."""

from ptycho_torch.contracts.legacy.container import PtychoDataContainerTorch as PtychoDataContainerTorch
from ptycho_torch.contracts.legacy.memmap import MemmapDatasetBridge as MemmapDatasetBridge
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch as RawDataTorch
