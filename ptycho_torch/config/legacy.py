"""Re-export of the legacy parameters; specs/ptychodus_api_spec.md describes them."""

from ptycho_torch.contracts.legacy.parameters import LegacyInference as LegacyInference
from ptycho_torch.contracts.legacy.parameters import LegacyModel as LegacyModel
from ptycho_torch.contracts.legacy.parameters import LegacyTraining as LegacyTraining
from ptycho_torch.contracts.legacy.parameters import cfg as cfg
from ptycho_torch.contracts.legacy.parameters import update_legacy_dict as update_legacy_dict
