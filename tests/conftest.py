"""Every test runs on the CPU and without a tracking server."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ptycho_torch.contracts.legacy import parameters as legacy

# modules of tests/torch that are collected without torch and then skip what needs it; `nox -s torch_free` checks this
TORCH_OPTIONAL_MODULES = [
    "test_config_bridge",
    "test_data_pipeline",
    "test_workflows_components",
    "test_model_manager",
]


@pytest.fixture(scope="session", autouse=True)
def isolated_environment() -> Iterator[None]:
    """Force the CPU and keep MLflow in memory; the caller's environment is restored afterwards.

    `nox -s gpu` sets PTYCHO_TORCH_GPU, so that its tests find the GPUs.
    """
    with pytest.MonkeyPatch.context() as environment:
        if "PTYCHO_TORCH_GPU" not in os.environ:
            environment.setenv("CUDA_VISIBLE_DEVICES", "")
        environment.setenv("MLFLOW_TRACKING_URI", "memory")
        yield


@pytest.fixture(autouse=True)
def reset_log_levels() -> None:
    """Reset the log levels that a command sets when a test calls it in its own process."""
    logging.getLogger("ptycho_torch").setLevel(logging.NOTSET)


@pytest.fixture
def params_cfg_snapshot() -> Iterator[dict[str, Any]]:
    """The flat parameters of legacy code, empty for the test and restored after it (CONFIG-001).

    Code that reads them before they are written finds nothing here, instead of the values of an earlier test.
    """
    saved = legacy.snapshot()
    legacy.restore({})
    yield legacy.cfg
    legacy.restore(saved)
