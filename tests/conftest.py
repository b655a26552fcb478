"""Every test runs on the CPU and away from any tracking server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ptycho_torch.contracts.legacy import parameters as legacy

# modules of tests/torch that are collected without torch and pass what needs none; `nox -s torch_free` holds them to it
TORCH_OPTIONAL_MODULES = [
    "test_config_bridge",
    "test_data_pipeline",
    "test_workflows_components",
    "test_model_manager",
]


@pytest.fixture(scope="session", autouse=True)
def isolated_environment() -> Iterator[None]:
    """Force the CPU and keep MLflow silent; the caller's environment comes back afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CUDA_VISIBLE_DEVICES", "")
        environment.setenv("MLFLOW_TRACKING_URI", "memory")
        yield


@pytest.fixture(autouse=True)
def own_log_levels() -> None:
    """A command that was called in the tests' own process has set log levels; no test must find them."""
    logging.getLogger("ptycho_torch").setLevel(logging.NOTSET)


@pytest.fixture
def params_cfg_snapshot() -> Iterator[dict[str, Any]]:
    """The flat parameters of legacy code, empty for the test and given back after it (CONFIG-001).

    A reader that comes before the writer finds nothing here, instead of what an earlier test left.
    """
    saved = legacy.snapshot()
    legacy.restore({})
    yield legacy.cfg
    legacy.restore(saved)
