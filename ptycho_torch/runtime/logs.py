"""What other packages log that users of this one need not read."""

from __future__ import annotations

import logging


def quiet_lightning() -> None:
    """Keep Lightning's notes on devices and products to itself; it sets its levels when it is imported."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
