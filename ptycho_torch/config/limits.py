"""Limits that several settings share."""

from typing import Final

# the largest that torch accepts
LARGEST_SEED: Final = 2**63 - 1
MOST_EPOCHS: Final = 1_000_000
