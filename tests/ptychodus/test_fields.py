"""The table of the client's fields against what the released client really sends."""

# ruff: noqa: PLC0415 - the client is installed in an environment of its own; these tests are collected without it
from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from ptycho_torch.contracts.ptychodus.configs import FIELDS, SECTIONS
from ptycho_torch.contracts.ptychodus.field import Row

pytestmark = pytest.mark.ptychodus
OWNERS = {owner.__name__: owner for owner in SECTIONS.values()}


def sent_fields() -> dict[str, set[str]]:
    """Keyword arguments of each configuration that the client makes, read from its source."""
    from ptychodus.model.ptychopinn_torch import reconstructor

    tree = ast.parse(inspect.getsource(reconstructor._build_configs))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return {
        node.func.id: {str(word.arg) for word in node.keywords}
        for node in calls
        if isinstance(node.func, ast.Name) and node.func.id in OWNERS
    }


def sent_defaults() -> dict[str, Any]:
    """The configurations that the client makes with untouched settings."""
    from ptychodus.api.settings import SettingsRegistry
    from ptychodus.model.ptychopinn_torch.core import PtychoPINNTorchReconstructorLibrary
    from ptychodus.model.ptychopinn_torch.reconstructor import _build_configs

    made = PtychoPINNTorchReconstructorLibrary(SettingsRegistry(), is_developer_mode_enabled=False)
    parts = (made.data_settings, made.model_settings, made.training_settings, made.inference_settings)
    data, model, training, inference, _ = _build_configs("Unsupervised", *parts)
    return {"data": data, "model": model, "training": training, "inference": inference}


def test_the_table_names_exactly_what_the_client_sends() -> None:
    sent = sent_fields()
    assert sum(map(len, sent.values())) == 91
    for name, owner in OWNERS.items():
        assert {row.name for row in FIELDS if row.owner is owner} == sent[name]


def test_our_defaults_are_what_the_client_sends() -> None:
    sent = sent_defaults()
    for section, owner in SECTIONS.items():
        for row in FIELDS:
            if row.owner is owner:
                assert getattr(sent[section], row.name) == row.default, row.label


@pytest.mark.parametrize(
    ("section", "row"),
    [(section, row) for section, owner in SECTIONS.items() for row in FIELDS if row.owner is owner],
    ids=[f"{section}-{row.name}" for section, owner in SECTIONS.items() for row in FIELDS if row.owner is owner],
)
def test_the_settings_of_the_table_exist_in_the_client(section: str, row: Row) -> None:
    from ptychodus.api.settings import SettingsRegistry
    from ptychodus.model.ptychopinn_torch.core import PtychoPINNTorchReconstructorLibrary

    registry = SettingsRegistry()
    PtychoPINNTorchReconstructorLibrary(registry, is_developer_mode_enabled=False)
    known = set(registry[f"PtychoPINNTorch{section.capitalize()}"].parameters())
    assert set(row.setting_names) <= known
