"""Translation of the client's configurations under the import path of the legacy contract."""

from ptycho_torch.contracts.legacy.from_client import to_inference_config as to_inference_config
from ptycho_torch.contracts.legacy.from_client import to_model_config as to_model_config
from ptycho_torch.contracts.legacy.from_client import to_training_config as to_training_config
