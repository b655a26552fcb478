"""Every field that the client sends has a meaning here, is refused, or is warned about; nothing vanishes."""

# ruff: noqa: PLC0415 - the package promises these modules without torch
from __future__ import annotations

import logging
from typing import Any

import pytest
from client_child import ClientConfigs, client_configs

from ptycho_torch.contracts.ptychodus.configs import FIELDS, SECTIONS
from ptycho_torch.errors import ConfigError

SENT = {"data": 18, "model": 33, "training": 34, "inference": 6}
# a value away from the default
OTHER: dict[type, Any] = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value + 0.5}
EXAMPLES: dict[str, Any] = {
    "grid_size": (3, 3),
    "neighbor_function": "4_quadrant",
    "scan_pattern": "Rectangular",
    "normalize": "Group",
    "data_scaling": "Max",
    "x_bounds": (0.0, 1.0),
    "y_bounds": (0.0, 1.0),
    "loss_function": "MAE",
    "amp_activation": "sigmoid",
    "decoder_spatial_kernel": 9,
    "probe_mask": ((True, False), (False, True)),
    "amp_loss": "Total_Variation",
    "phase_loss": "Mean_Deviation",
    "gradient_clip_val": 2.0,
    "strategy": "auto",
    "framework": "Default",
    "orchestrator": "Mlflow",
    "scheduler": "Cosine",
    "min_lr_ratio": 0.2,
    "finetune_val_split": 0.2,
    "patch_weighting": "uniform",
}
# other fields that must be set for one to act
BESIDE: dict[str, dict[str, Any]] = {
    "K_quadrant": {"data__neighbor_function": "4_quadrant"},
    "scan_pattern": {"data__neighbor_function": "4_quadrant"},
    "min_neighbor_distance": {"data__neighbor_function": "Min_dist"},
    "max_neighbor_distance": {"data__neighbor_function": "Min_dist"},
    "phase_subtraction": {"model__mode": "Supervised"},
    "eca_encoder": {"model__cbam_encoder": False},
    "decoder_spatial_kernel": {"model__spatial_decoder": True},
    "amp_loss_coeff": {"model__amp_loss": "Total_Variation"},
    "phase_loss_coeff": {"model__phase_loss": "Total_Variation"},
    "amplitude_variance_coeff": {"model__amplitude_variance_loss": True},
    "fine_tune_gamma": {"training__epochs_fine_tune": 2},
    "min_lr_ratio": {"training__scheduler": "Cosine"},
}


def translate(configs: ClientConfigs) -> Any:
    from ptycho_torch.contracts.ptychodus.settings import translate as under_test

    return under_test(configs.data, configs.model, configs.training, configs.inference)


def test_the_table_has_all_91_fields_once() -> None:
    assert len({row.label for row in FIELDS}) == len(FIELDS) == 91
    for section, owner in SECTIONS.items():
        assert sum(row.owner is owner for row in FIELDS) == SENT[section]


def test_every_entry_says_what_becomes_of_the_field() -> None:
    for row in FIELDS:
        assert row.meaning.verdict in {"used", "refused", "no effect"}
        assert len(row.meaning.effect) > 10
        assert row.meaning.verdict == "used" or not row.meaning.to


def test_the_clients_defaults_are_accepted_without_a_word_about_inert_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        translate(client_configs())
    assert caplog.text == ""


# these need data, a device or a file name to show; the tests of the life cycle hold them
ELSEWHERE = {"N", "mode", "n_devices", "device", "notes", "model_name", "num_datasets"}
SHOWN = [
    (section, row.name)
    for section, owner in SECTIONS.items()
    for row in FIELDS
    if row.owner is owner and row.name not in ELSEWHERE
]


@pytest.mark.parametrize(("section", "name"), SHOWN, ids=[f"{section}-{name}" for section, name in SHOWN])
def test_no_field_vanishes(section: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Away from its default each field changes what is done, is refused, or is warned about. [API-6.12]"""
    row = next(row for row in FIELDS if row.owner is SECTIONS[section] and row.name == name)
    other = EXAMPLES[name] if name in EXAMPLES else OTHER[type(row.default)](row.default)
    beside = BESIDE.get(name, {})
    plain, changed = client_configs(**beside), client_configs(**beside, **{f"{section}__{name}": other})
    with caplog.at_level(logging.WARNING):
        before = translate(plain)
        caplog.clear()
        if row.meaning.verdict == "refused":
            with pytest.raises(ConfigError, match=name):
                translate(changed)
            return
        after = translate(changed)
    if row.meaning.verdict == "used":
        assert after != before
    else:
        assert after == before
        assert caplog.text.count(name) == 1
