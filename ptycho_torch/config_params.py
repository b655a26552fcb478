"""Door onto the client's configuration classes; free of torch, so that a parent process can send them to a child."""

from ptycho_torch.contracts.ptychodus.configs import DataConfig as DataConfig
from ptycho_torch.contracts.ptychodus.configs import DatagenConfig as DatagenConfig
from ptycho_torch.contracts.ptychodus.configs import InferenceConfig as InferenceConfig
from ptycho_torch.contracts.ptychodus.configs import ModelConfig as ModelConfig
from ptycho_torch.contracts.ptychodus.configs import TrainingConfig as TrainingConfig
