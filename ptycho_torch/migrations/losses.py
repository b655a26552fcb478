"""Tables of losses, `metrics.csv`: a row for each step or epoch, with empty cells where there is no value.

A table states no version: the record of its run does, and its columns tell.
"""

from __future__ import annotations

import csv
from pathlib import Path

from ptycho_torch.errors import OutputError
from ptycho_torch.migrations.chain import Format
from ptycho_torch.storage.untrusted import explain_damage

LOSSES = Format("table of losses", 1)
_PLACES = ("epoch", "step")
_LOSSES = ("train_loss_epoch", "train_loss_step", "val_loss")


def read_losses(path: Path) -> dict[str, list[float]]:
    """Read a table of losses: of each column, the values that it has, in order.

    Raises:
        OutputError: the file is missing or damaged, or has other columns, as one of a newer version has.
    """
    with explain_damage(path, LOSSES.name, OutputError), path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
        found = set(rows[0]) if rows else set()
        if rows and not (found.issuperset(_PLACES) and found.intersection(_LOSSES)):
            raise OutputError(
                f"{path}: is no {LOSSES.name} of this version, whose columns are {', '.join(_PLACES + _LOSSES)}"
            )
        return {name: [float(row[name]) for row in rows if row.get(name)] for name in (*_PLACES, *_LOSSES)}
