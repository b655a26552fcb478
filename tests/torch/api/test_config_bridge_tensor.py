"""The one thing that the configuration bridge does with a tensor; its own module runs without torch."""

from __future__ import annotations

import torch

from ptycho_torch.api.config_bridge import to_model_config
from ptycho_torch.config_params import DataConfig, ModelConfig


def test_a_probe_mask_may_be_a_tensor() -> None:
    """[API-5.11]"""
    section = to_model_config(DataConfig(N=64), ModelConfig(probe_mask=torch.ones(4, 4)))
    assert section.probe_mask is True
