"""When a job is to be run: times, durations, and the next time of a repeated job."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from ptycho_torch.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
_CLOCK = re.compile(r"\d{1,2}:\d{2}")
_LONGEST_S = 10 * 366 * 86_400


def parse_duration(text: str) -> float:
    """Parse a duration such as 90s, 30m, 12h, 1d or 2w; returns seconds.

    Raises:
        ConfigError: it is none, is zero, or exceeds ten years.
    """
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ConfigError(f"{text[:40]!r} is not a duration; it must be a number with s, m, h, d or w, such as 12h")
    return seconds


def parse_time(text: str, now: float) -> float:
    """Parse a time: ISO 8601 (local unless it states a zone), a time of day, or `+` and a duration.

    Args:
        text: such as 2027-01-31T22:00, 22:00 (the next time that it is so late) or +2h.
        now: seconds since 1970.

    Returns:
        Seconds since 1970.

    Raises:
        ConfigError: it is none.
    """
    if text.startswith("+"):
        return now + parse_duration(text[1:])
    try:
        if _CLOCK.fullmatch(text):
            clock = datetime.strptime(text, "%H:%M")
            today = datetime.fromtimestamp(now).replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
            return (today if today.timestamp() > now else today + timedelta(days=1)).timestamp()
        seconds = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f"{text[:40]!r} is not a time; it must be such as 2027-01-31T22:00, 22:00 or +2h") from error
    if not 0 <= seconds <= now + _LONGEST_S:
        raise ConfigError(f"{text[:40]!r} is too far from now")
    return seconds


def find_next(planned: float, every_s: float, now: float) -> float:
    """The next time of a repeated job after now; times that have passed meanwhile are left out."""
    return planned + every_s * max(1, math.floor((now - planned) / every_s) + 1)
