from __future__ import annotations

import subprocess
import sys

import pytest
import torch


def test_importing_the_package_does_not_import_torch() -> None:
    heavy = "{'torch', 'lightning', 'numpy', 'scipy', 'matplotlib'}"
    code = f"import sys, ptycho_torch; print(sorted({heavy} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["config_params", "api.config_bridge", "api.data_bridge"])
def test_what_a_client_configures_does_not_import_torch(module: str) -> None:
    code = f"import sys, ptycho_torch.{module}; print(sorted({{'torch', 'lightning'}} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_the_folder_of_tests_does_not_hide_torch() -> None:
    assert torch.tensor([1.0]).item() == 1


@pytest.mark.parametrize(
    "module",
    ["solve.solve", "workflows.refinement", "doctor.examine", "training.check", "networks.build", "models.predict"],
)
def test_only_training_loads_lightning(module: str) -> None:
    """Lightning takes longer to load than everything else together."""
    code = f"import sys, ptycho_torch.{module}; print('lightning' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False"
