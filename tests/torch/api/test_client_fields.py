"""Every field that the client sends has a meaning here, is refused, or is warned about; nothing vanishes."""

# ruff: noqa: PLC0415 - the package promises these modules without torch
from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
from client_child import ClientConfigs, client_configs

from ptycho_torch.config_params import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import ConfigError

CLASSES = {"data": DataConfig, "model": ModelConfig, "training": TrainingConfig, "inference": InferenceConfig}
SENT = {"data": 18, "model": 33, "training": 34, "inference": 6}
# a value away from the default for every field that has no influence and says so
OTHER: dict[type, Any] = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value + 0.5}


def translate(configs: ClientConfigs) -> Any:
    from ptycho_torch.contracts.ptychodus.translate import translate as under_test

    return under_test(configs.data, configs.model, configs.training, configs.inference)


def table() -> Any:
    from ptycho_torch.contracts.ptychodus.fields import FIELDS

    return FIELDS


def test_the_table_has_all_91_fields_once() -> None:
    fields = table()
    assert len(fields) == 91
    names = [(field.section, field.name) for field in fields]
    assert len(set(names)) == 91
    for section, number in SENT.items():
        assert sum(field.section == section for field in fields) == number
        known = {field.name for field in dataclasses.fields(CLASSES[section])}
        assert {field.name for field in fields if field.section == section} <= known


def test_every_entry_says_what_becomes_of_the_field() -> None:
    for field in table():
        assert field.verdict in {"honoured", "refused", "warned"}
        assert len(field.effect) > 10
        assert field.setting


def test_the_clients_defaults_are_accepted_without_a_word_about_inert_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        translate(client_configs())
    assert caplog.text == ""


# these need data, a device or a file name to show; the tests of the life cycle hold them
ELSEWHERE = {"N", "mode", "n_devices", "device", "notes", "model_name", "num_datasets"}
# the bridge's own fields, which the client does not send
UNSENT = {"nphotons", "subsample_seed", "output_dir"}
SHOWN = [
    (section, field.name)
    for section, kind in CLASSES.items()
    for field in dataclasses.fields(kind)
    if field.name not in ELSEWHERE | UNSENT
]


@pytest.mark.parametrize(("section", "name"), SHOWN, ids=[f"{section}-{name}" for section, name in SHOWN])
def test_no_field_vanishes(section: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Away from its default each field changes what is done, is refused, or is warned about. [API-6.12]"""
    field = next(field for field in table() if (field.section, field.name) == (section, name))
    value = getattr(getattr(client_configs(), section), name)
    other = OTHER[type(value)](value) if field.example is None else field.example
    beside = dict(field.beside)
    plain, changed = client_configs(**beside), client_configs(**beside, **{f"{section}__{name}": other})
    with caplog.at_level(logging.WARNING):
        before = translate(plain)
        caplog.clear()
        if field.verdict == "refused":
            with pytest.raises(ConfigError, match=name):
                translate(changed)
            return
        after = translate(changed)
    if field.verdict == "honoured":
        assert after != before
    else:
        assert after == before
        assert caplog.text.count(name) == 1
