"""These tests need the released client; without it they say so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

MISSING = "Ptychodus is not installed here; `nox -s ptychodus` brings it"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("ptychodus") is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=MISSING))
