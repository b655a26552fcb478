"""Re-export of what Ptychodus imports in its child processes."""

from ptycho_torch.errors import explain_missing_torch

with explain_missing_torch():
    from ptycho_torch.contracts.ptychodus.child import DataloaderFormats as DataloaderFormats
    from ptycho_torch.contracts.ptychodus.child import InferenceEngine as InferenceEngine
    from ptycho_torch.contracts.ptychodus.child import PtychoDataLoader as PtychoDataLoader
    from ptycho_torch.contracts.ptychodus.child import Trainer as Trainer
    from ptycho_torch.contracts.ptychodus.model import ConfigManager as ConfigManager
    from ptycho_torch.contracts.ptychodus.model import PtychoModel as PtychoModel
