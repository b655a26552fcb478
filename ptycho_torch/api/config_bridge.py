"""Re-export of the translation of the client's configurations; specs/ptychodus_api_spec.md describes it."""

from ptycho_torch.contracts.legacy.translation import to_inference_config as to_inference_config
from ptycho_torch.contracts.legacy.translation import to_model_config as to_model_config
from ptycho_torch.contracts.legacy.translation import to_training_config as to_training_config
