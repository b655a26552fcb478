"""Re-export of the client's configuration classes; torch is not imported, since a parent process only sends them."""

from ptycho_torch.contracts.ptychodus.configs import DataConfig as DataConfig
from ptycho_torch.contracts.ptychodus.configs import DatagenConfig as DatagenConfig
from ptycho_torch.contracts.ptychodus.configs import InferenceConfig as InferenceConfig
from ptycho_torch.contracts.ptychodus.configs import ModelConfig as ModelConfig
from ptycho_torch.contracts.ptychodus.configs import TrainingConfig as TrainingConfig
