"""All formats that are versioned, by the word that the record of a run has for them."""

from __future__ import annotations

from ptycho_torch.migrations.chain import Format
from ptycho_torch.migrations.checkpoints import BUNDLE, CHECKPOINT
from ptycho_torch.migrations.losses import LOSSES
from ptycho_torch.migrations.results import RESULT
from ptycho_torch.migrations.run_records import RUN_RECORD
from ptycho_torch.migrations.saved_states import SAVED_STATE
from ptycho_torch.migrations.settings_files import SETTINGS

FORMATS: dict[str, Format] = {
    "bundle": BUNDLE,
    "checkpoint": CHECKPOINT,
    "losses": LOSSES,
    "result": RESULT,
    "run": RUN_RECORD,
    "settings": SETTINGS,
    "state": SAVED_STATE,
}


def list_versions() -> dict[str, int]:
    """The version of each format that is written."""
    return {name: each.version for name, each in FORMATS.items()}
