"""Re-export of the LightningModule that the client imports."""

from ptycho_torch.errors import explain_missing_torch

with explain_missing_torch():
    from ptycho_torch.contracts.ptychodus.model import PtychoPINN_Lightning as PtychoPINN_Lightning
