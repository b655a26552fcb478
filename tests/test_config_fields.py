from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from ptycho_torch import config
from ptycho_torch.config import Experiment, ModelSettings, RefineSettings, SimulationSettings, TrainingSettings
from ptycho_torch.config.fields import FieldType, Settings
from ptycho_torch.errors import ConfigError

SECTIONS: list[type[Settings]] = [
    value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Settings)
]


@pytest.mark.parametrize(
    ("section", "name", "value", "complaint"),
    [
        (SimulationSettings, "patch_px", 8, "must be at least 16"),
        (SimulationSettings, "patch_px", 2048, "must be at most 1024"),
        (SimulationSettings, "patch_px", 64.0, "must be of type int"),
        (SimulationSettings, "patch_px", True, "must be of type int"),
        (SimulationSettings, "patch_px", "64", "must be of type int"),
        (SimulationSettings, "patch_px", None, "must not be empty"),
        (SimulationSettings, "step_px", 0, "must be above 0"),
        (SimulationSettings, "photons", float("nan"), "must be a finite number"),
        (SimulationSettings, "photons", float("inf"), "must be a finite number"),
        (SimulationSettings, "photons", "many", "must be a finite number"),
        (SimulationSettings, "seed", -1, "must be at least 0"),
        (SimulationSettings, "object", "cat", "must be one of siemens, lines, dead_leaves"),
        (RefineSettings, "method", "epie", "must be one of auto, least_squares, poisson"),
        (RefineSettings, "regularisation", 0.0, "must be above 0"),
        (RefineSettings, "probe_start", 1.5, "must be at most 1"),
        (ModelSettings, "network", 3, "must be one of"),
        (ModelSettings, "attention_kernel_px", 4, "must be one of 3, 5, 7"),
        (ModelSettings, "attention_kernel_px", 7.0, "must be one of 3, 5, 7"),
        (TrainingSettings, "steps", 0, "must be at least 1"),
        (config.DataSettings, "transpose", 1, "must be of type bool"),
    ],
)
def test_an_unusable_value_names_the_setting_and_what_works(
    section: type[Settings], name: str, value: Any, complaint: str
) -> None:
    wanted = re.escape(f"{section.__name__}.{name} is {value!r}; it {complaint}")
    with pytest.raises(ConfigError, match=wanted):
        section.from_dict({name: value})


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["positive", "negative"])
@pytest.mark.parametrize("section", [SimulationSettings, config.DataSettings])
def test_a_number_beyond_all_floats_is_not_finite(section: type[Settings], value: int) -> None:
    with pytest.raises(ConfigError, match=rf"{section.__name__}\.photons is -?10+; it must be a finite number"):
        section.from_dict({"photons": value})


def test_an_unknown_setting_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="ModelSettings has no setting 'widht'; it has network, width"):
        ModelSettings.from_dict({"widht": 8})


@pytest.mark.parametrize(
    ("section", "name", "limit"),
    [(SimulationSettings, "patch_px", 16), (SimulationSettings, "patch_px", 1024), (RefineSettings, "probe_start", 1)],
)
def test_limits_themselves_are_allowed(section: type[Settings], name: str, limit: int) -> None:
    assert getattr(section.from_dict({name: limit}), name) == limit


def test_whole_numbers_serve_as_floats() -> None:
    found = SimulationSettings(photons=1000)
    assert isinstance(found.photons, float)


@pytest.mark.parametrize("name", ["steps", "max_minutes"])
def test_optional_settings_may_be_empty(name: str) -> None:
    assert getattr(TrainingSettings.from_dict({name: None}), name) is None


@pytest.mark.parametrize("section", SECTIONS)
def test_settings_survive_the_way_through_plain_values(section: type[Settings]) -> None:
    assert section.from_dict(section().to_dict()) == section()


@pytest.mark.parametrize("section", SECTIONS)
def test_settings_cannot_be_changed(section: type[Settings]) -> None:
    name = dataclasses.fields(section)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(section(), name, None)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_explains_itself(section: type[Settings]) -> None:
    for field in dataclasses.fields(section):
        assert field.metadata["help"], field.name
        assert not field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        (int, FieldType(int)),
        (float | None, FieldType(float, optional=True)),
        (bool, FieldType(bool)),
        (str, FieldType(str)),
    ],
)
def test_annotations_are_read(annotation: Any, wanted: FieldType) -> None:
    assert FieldType.of(annotation) == wanted


def test_an_experiment_survives_the_way_through_plain_values() -> None:
    experiment = Experiment(model=ModelSettings(width=8), training=TrainingSettings(steps=3))
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert Experiment.from_dict({"model": {"width": 8}}).model.width == 8
    assert Experiment.from_dict({}) == Experiment()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"modle": {}}, "'modle'.* data, model"),
        ({"model": 3}, "'model' is 3; .*mapping"),
        ({"model": {"width": 1}}, r"ModelSettings\.width is 1"),
        ({"training": {"epoch": 1}}, "TrainingSettings has no setting 'epoch'"),
    ],
)
def test_an_unusable_experiment_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Experiment.from_dict(values)
