"""The table of the client's fields: what each of the 91 is called in its settings and what it does here."""

from __future__ import annotations

from ptycho_torch.contracts.ptychodus.data_fields import DATA_FIELDS
from ptycho_torch.contracts.ptychodus.field import CONFIG_CLASSES as CONFIG_CLASSES
from ptycho_torch.contracts.ptychodus.field import ClientField as ClientField
from ptycho_torch.contracts.ptychodus.inference_fields import INFERENCE_FIELDS
from ptycho_torch.contracts.ptychodus.model_fields import MODEL_FIELDS
from ptycho_torch.contracts.ptychodus.training_fields import TRAINING_FIELDS

FIELDS: tuple[ClientField, ...] = (*DATA_FIELDS, *MODEL_FIELDS, *TRAINING_FIELDS, *INFERENCE_FIELDS)
