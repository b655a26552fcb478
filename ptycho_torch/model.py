"""Door onto the LightningModule that the client imports."""

from ptycho_torch.api.lightning_module import PtychoPINN_Lightning as PtychoPINN_Lightning
