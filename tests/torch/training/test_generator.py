from __future__ import annotations

from typing import Any

import pytest
import torch

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.models.checkpoint import restore_network
from ptycho_torch.models.record import make_record, read_record
from ptycho_torch.networks.build import build_network

CHOICES: list[dict[str, Any]] = [
    {"depth": 1},
    {"width": 8},
    {"normalisation": "batch"},
    {"decoders": "separate"},
    {"encoder_attention": "cbam"},
    {"bottleneck_attention": "eca"},
    {"decoder_attention": "spatial"},
    {"bottleneck_attention": "cbam", "attention_kernel_px": 3},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_network_comes_back_from_its_record_and_weights(choice: dict[str, Any]) -> None:
    model = ModelSettings.from_dict({"width": 4, "depth": 2} | choice)
    experiment = Experiment(model=model, training=TrainingSettings(seed=3))
    network = build_network(experiment, 32)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    plain = build_network(Experiment(model=ModelSettings(width=4, depth=2)), 32)
    shapes = ({name: value.shape for name, value in each.state_dict().items()} for each in (network, plain))
    assert next(shapes) != next(shapes)
    again = restore_network(*read_record(make_record(experiment, 32)), network.state_dict())
    patterns, probe = torch.rand(3, 32, 32), torch.rand(1, 1, 32, 32) + 0j
    with torch.inference_mode():
        assert torch.equal(again(patterns, probe), network.eval()(patterns, probe))


def test_the_field_is_that_of_the_settings() -> None:
    rims = []
    for field in ("whole", "centre"):
        experiment = Experiment(model=ModelSettings.from_dict({"width": 4, "depth": 2, "field": field}))
        network = build_network(experiment, 32)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        patch = network(torch.rand(1, 32, 32), torch.ones(1, 1, 32, 32) + 0j)[0]
        rims.append(float((patch[0] - 1).abs().max().detach()))
    assert rims[0] > 0.01
    assert rims[1] == 0


def test_records_from_before_a_setting_existed_are_read_with_its_default() -> None:
    record = make_record(Experiment(), 32)
    record["experiment"] = {
        "model": {"network": "unet", "width": 24, "depth": 3, "output": "amplitude_phase"},
        "training": {"epochs": 10, "loss": "anscombe", "gradient_clip": 1.0},
    }
    assert read_record(record) == (Experiment(model=ModelSettings(width=24)), 32)


def test_nothing_is_drawn_from_outside_of_the_seed() -> None:
    torch.manual_seed(8)
    before = torch.random.get_rng_state()
    networks = [build_network(Experiment(training=TrainingSettings(seed=seed)), 32).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    assert any((networks[0][name] != networks[2][name]).any() for name in networks[0])
