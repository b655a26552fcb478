"""The files that the library of W&B writes offline."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_records(content: bytes) -> Iterator[bytes]:
    """The records of a run file of W&B, which has the format of LevelDB's log after a header of 7 bytes."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def read_history(path: Path, name: str) -> tuple[list[float], list[int], dict[str, Any]]:
    """The logged values of a name, the exit codes, and the configuration as JSON texts by key."""
    proto: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    logged: list[float] = []
    exits: list[int] = []
    config: dict[str, Any] = {}
    for data in read_records(path.read_bytes()):
        record = proto.Record.FromString(data)
        values = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
        logged += [float(values[name])] if name in values else []
        exits += [record.exit.exit_code] if record.HasField("exit") else []
        for update in (record.config.update, record.run.config.update):
            config |= {item.key or ".".join(item.nested_key): item.value_json for item in update}
    return logged, exits, config
