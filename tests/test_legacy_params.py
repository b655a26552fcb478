from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.legacy.translation import to_legacy_parameters


def flat(**sections: dict[str, Any]) -> dict[str, Any]:
    trained: Any = SimpleNamespace(experiment=Experiment.from_dict(sections), patch_px=64, photons=(5e5, 1.5e6))
    return to_legacy_parameters(trained)


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        (
            {},
            {
                "N": 64,
                "nphotons": 1e6,
                "train_data_file_path": None,
                "model_type": "pinn",
                "amp_activation": "softplus",
            },
        ),
        ({}, {"gridsize": 4, "neighbor_count": 15, "n_filters_scale": 2, "object.big": True, "probe.big": True}),
        (
            {},
            {"nll_weight": 1.0, "mae_weight": 0.0, "batch_size": 2, "nepochs": 10, "output_prefix": "training_outputs"},
        ),
        ({"training": {"group_size": 1}}, {"gridsize": 1, "neighbor_count": 1}),
        ({"training": {"group_size": 24}}, {"gridsize": 1, "neighbor_count": 23}),
        (
            {"training": {"neighbours": 30, "groups_per_epoch": 9, "bootstrap_epochs": 0}},
            {"neighbor_count": 30, "n_groups": 9, "probe.trainable": False},
        ),
        ({}, {"n_groups": None, "probe.trainable": True}),
        ({"training": {"loss": "amplitude_mae"}}, {"nll_weight": 0.0, "mae_weight": 1.0}),
        ({"training": {"loss": "poisson"}}, {"nll_weight": 1.0, "mae_weight": 0.0}),
        ({"training": {"target": "object"}}, {"model_type": "supervised", "nll_weight": 0.0, "mae_weight": 1.0}),
        ({"training": {"unmerged_weight": 1.0}}, {"object.big": False}),
        ({"training": {"epochs": 3, "batch_size": 7}}, {"nepochs": 3, "batch_size": 7}),
        ({"model": {"field": "centre"}}, {"probe.big": False}),
        ({"model": {"amplitude": "silu", "width": 36}}, {"amp_activation": "swish", "n_filters_scale": 3}),
        ({"model": {"amplitude": "sigmoid", "width": 4}}, {"amp_activation": "sigmoid", "n_filters_scale": 1}),
    ],
)
def test_flat_parameters_say_what_the_settings_say(sections: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = flat(**sections)
    assert {name: found[name] for name in wanted} == wanted
