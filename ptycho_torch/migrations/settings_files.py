"""Settings files, with one mapping for each section. The first ones state no version; it is 1 as well."""

from __future__ import annotations

from ptycho_torch.migrations.chain import Format

SETTINGS = Format("settings file", 1)
