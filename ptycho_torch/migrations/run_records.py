"""Records of runs, `run.json`.

Version 1 states neither the options nor the folder of the process: `repeat` recovers both from its arguments. Version 2
states them, and the versions of the formats of all files in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping

from ptycho_torch.migrations.chain import Format, Values

# what a record lacks that was written before these values were kept
_UNKNOWN: Values = {"git": None, "environment": {}, "threads": None, "options": None, "folder": None, "formats": {}}


def state_what_is_unknown(record: Values) -> Values:
    """Add what version 1 does not state, as unknown, and the status that a finished run had in its result."""
    return {**_UNKNOWN, **record}


def find_folder(record: Mapping[str, object], folder: str) -> str | None:
    """Find the folder that the paths in a record are relative to, if it is known or follows from its arguments.

    Args:
        record: the record, upgraded.
        folder: the folder in which it lies, absolute.
    """
    stated, arguments = record.get("folder"), record.get("arguments")
    if isinstance(stated, str):
        return stated
    if not isinstance(arguments, list):
        return None
    words = [part for word in map(str, arguments) for part in word.split("=", 1)]
    named = next((words[place + 1] for place, word in enumerate(words[:-1]) if word == "--output_dir"), "")
    return folder.removesuffix(f"/{named.rstrip('/')}") if named and folder.endswith(f"/{named.rstrip('/')}") else None


RUN_RECORD = Format("record of a run", 2, {1: state_what_is_unknown})
