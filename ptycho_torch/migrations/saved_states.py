"""States of runs that were ended, `state.ckpt`."""

from __future__ import annotations

from ptycho_torch.migrations.chain import Format

SAVED_STATE = Format("state of a run", 1)
