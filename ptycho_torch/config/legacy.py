"""The flat parameters that legacy code reads from a module-wide dictionary (CONFIG-001): written here, never read."""

from __future__ import annotations

from typing import Any

cfg: dict[str, Any] = {}
