"""What the client imports in its child processes."""

from ptycho_torch.errors import explain_missing_torch

with explain_missing_torch():
    from ptycho_torch.api.client_loader import DataloaderFormats as DataloaderFormats
    from ptycho_torch.api.client_loader import PtychoDataLoader as PtychoDataLoader
    from ptycho_torch.api.client_model import PtychoModel as PtychoModel
    from ptycho_torch.api.client_trainer import InferenceEngine as InferenceEngine
    from ptycho_torch.api.client_trainer import Trainer as Trainer
    from ptycho_torch.api.config_manager import ConfigManager as ConfigManager
