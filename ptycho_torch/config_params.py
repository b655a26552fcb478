"""Door onto the client's configuration classes; free of torch, so that a parent process can send them to a child."""

from ptycho_torch.api.client_configs import DataConfig as DataConfig
from ptycho_torch.api.client_configs import DatagenConfig as DatagenConfig
from ptycho_torch.api.client_configs import InferenceConfig as InferenceConfig
from ptycho_torch.api.client_configs import ModelConfig as ModelConfig
from ptycho_torch.api.client_configs import TrainingConfig as TrainingConfig
