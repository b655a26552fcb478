"""Log messages of other packages that users of this one need not read."""

from __future__ import annotations

import logging


def quiet_lightning() -> None:
    """Turn off Lightning's notes on devices and products, after it was imported: importing it sets the levels."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
