"""The history of checks: one line of JSON for each scan, and its picture."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ptycho_torch.drift.features import FEATURES
from ptycho_torch.drift.judgement import Judgement, Word
from ptycho_torch.errors import DataError, OutputError
from ptycho_torch.pictures.figure import Picture, make_figure
from ptycho_torch.storage.untrusted import explain_damage

_LARGEST_BYTES = 2**26
_COLOURS = {"as before": "#2e8b57", "harmless shift": "#d99000", "drift": "#c0392b"}


@dataclass(frozen=True)
class Check:
    """One scan that was checked.

    Attributes:
        time: when it was checked, in seconds since 1970.
        scan: name of the scan.
        word: the result.
        growth: estimated growth of the network's error, as a share.
        least_growth: lower limit of the growth.
        effects: difference of each feature, in standard deviations of the patterns of the reference.
    """

    time: float
    scan: str
    word: Word
    growth: float
    least_growth: float
    effects: dict[str, float]


def append_check(path: Path, judgement: Judgement, time: float) -> None:
    """Append a check to a history, in one write, so that checks at the same time do not mix.

    Raises:
        OutputError: the file cannot be written.
    """
    values = judgement.to_dict()
    line = {
        "time": datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds"),
        **{name: values[name] for name in ("scan", "result", "growth", "least_growth")},
        "effects": {shift.name: shift.effect for shift in judgement.shifts},
    }
    try:
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(line) + "\n").encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_history(path: Path) -> list[Check]:
    """Read a history, in the order of time.

    Raises:
        DataError: it is none, or contains no check.
    """
    with explain_damage(path, "history of drift", DataError), path.open("rb") as file:
        text = file.read(_LARGEST_BYTES + 1)
        if len(text) > _LARGEST_BYTES:
            raise ValueError(f"it is larger than {_LARGEST_BYTES // 2**20} MiB")
        checks = [_read_check(json.loads(line)) for line in text.splitlines() if line.strip()]
    if not checks:
        raise DataError(f"{path}: contains no check")
    return sorted(checks, key=lambda check: check.time)


def draw_history(checks: Sequence[Check], growth: float) -> Picture:
    """Draw how the network's error and the features have changed with time.

    Args:
        checks: the checks, in the order of time.
        growth: the growth that matters, as a share.
    """
    figure = make_figure(2.4, 2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    times = np.array([round(check.time) for check in checks], "datetime64[s]")
    for word, colour in _COLOURS.items():
        chosen = [number for number, check in enumerate(checks) if check.word == word]
        bars = [[100 * (checks[n].growth - checks[n].least_growth) for n in chosen], [0.0] * len(chosen)]
        upper.errorbar(
            [times[n] for n in chosen],
            [100 * checks[n].growth for n in chosen],
            bars,
            fmt="o",
            color=colour,
            label=word,
        )
    upper.axhline(100 * growth, color="0.4", linestyle="--", linewidth=1)
    upper.set_ylabel("growth of the error [%]")
    beside: dict[str, Any] = {"fontsize": "small", "loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    upper.legend(**beside)
    for name in FEATURES:
        lower.plot(times, [check.effects[name] for check in checks], "o-", markersize=3, linewidth=1, label=name)
    lower.set_yscale("symlog", linthresh=1.0)
    lower.axhline(0.0, color="0.4", linewidth=1)
    lower.set_ylabel("shift [standard deviations]")
    lower.legend(**beside)
    lower.tick_params("x", rotation=20)
    return figure


def _read_check(content: dict[str, Any]) -> Check:
    word, effects = content["result"], content["effects"]
    numbers = [content["growth"], content["least_growth"], *(effects[name] for name in FEATURES)]
    if word not in get_args(Word) or not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise ValueError("a line is no check")
    time = datetime.fromisoformat(content["time"]).timestamp()
    kept = {name: float(effects[name]) for name in FEATURES}
    return Check(time, str(content["scan"]), word, float(content["growth"]), float(content["least_growth"]), kept)
