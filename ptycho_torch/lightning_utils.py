"""Re-export of the choice of a run's checkpoint."""

from ptycho_torch.errors import explain_missing_torch

with explain_missing_torch():
    from ptycho_torch.contracts.ptychodus.model import find_best_checkpoint as find_best_checkpoint
