"""Records of networks, in checkpoints and bundles.

Version 1 states neither what wrote it nor the settings that were added since. Version 2 states both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho_torch.migrations.chain import Format, Values

# what version 1 did where a later setting does something else by default: the solver fitted all pixels
_BEFORE = {"refine": {"held_out": 0.0}}


def state_older_behaviour(record: Values) -> Values:
    """Add the settings that a record of version 1 may lack, with the values that describe what was done then."""
    experiment = record.get("experiment")
    if isinstance(experiment, Mapping):
        record = {**record, "experiment": {**experiment, **_complete(experiment)}}
    return record


def _complete(experiment: Mapping[str, Any]) -> dict[str, Any]:
    sections = {name: experiment.get(name, {}) for name in _BEFORE}
    return {name: {**_BEFORE[name], **values} for name, values in sections.items() if isinstance(values, Mapping)}


CHECKPOINT = Format("checkpoint", 2, {1: state_older_behaviour})
BUNDLE = Format("bundle", 2, {1: state_older_behaviour})
