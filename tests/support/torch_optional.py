import importlib.util

import pytest

TORCH = importlib.util.find_spec("torch") is not None
requires_torch = pytest.mark.skipif(not TORCH, reason="torch is not installed")
