from __future__ import annotations

import re
from typing import Any

import pytest

from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.build import build_network

SIDE = 32


def complaint_about(settings: dict[str, Any]) -> str:
    try:
        build_network(Experiment(model=ModelSettings.from_dict(settings)), SIDE)
    except ConfigError as error:
        return str(error)
    return ""


def idle_among(settings: dict[str, Any]) -> dict[str, str]:
    """Settings without effect with the reason, or what is wrong with them."""
    try:
        return ModelSettings.from_dict(settings).find_unused()
    except ConfigError as error:
        return {"": str(error)}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"network": "unet", "depth": 3, "field": "centre", "input": "update"}, r"depth is 3; patterns of 16 px"),
        ({"network": "spectral", "fold_px": 5}, r"fold_px is 5; .* 32 px, which squares of 1, 2, 4, 8 px cover"),
        ({"network": "transformer", "fold_px": 16}, r"fold_px is 16; .* 32 px, which squares of 1, 2, 4, 8 px cover"),
        ({"network": "transformer", "field": "centre"}, r"fold_px is 8 by default; .* 16 px, which squares of 1, 2, 4"),
        ({"network": "spectral", "spectral_modes": 4}, r"spectral_modes is 4; 8 × 8 features have at most 3"),
        ({"network": "transformer", "width": 10}, r"ModelSettings\.heads is 4; it must divide the width, 10"),
    ],
    ids=["unet", "spectral_fold", "transformer_fold", "transformer_default", "modes", "heads"],
)
def test_settings_that_do_not_fit_the_patterns_are_refused(settings: dict[str, Any], wanted: str) -> None:
    found = complaint_about(settings)
    assert re.search(wanted, found), f"no such refusal: {found}"


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"network": "spectral", "depth": 2}, {"depth": "ModelSettings.network is unet"}),
        ({"network": "unet", "fold_px": 4}, {"fold_px": "ModelSettings.network is spectral or transformer"}),
        ({"network": "transformer", "spectral_modes": 4}, {"spectral_modes": "ModelSettings.network is spectral"}),
        ({"network": "spectral", "heads": 2}, {"heads": "ModelSettings.network is transformer"}),
        ({"network": "transformer", "decoders": "separate"}, {"decoders": "ModelSettings.network is unet"}),
        ({"network": "spectral", "input": "both", "stages": 3, "blocks": 1, "width": 8}, {}),
    ],
    ids=["depth", "fold", "modes", "heads", "decoders", "none"],
)
def test_settings_of_another_network_are_named(settings: dict[str, Any], idle: dict[str, str]) -> None:
    found = idle_among(settings)
    assert found == idle, f"other settings are named: {found}"
