"""Every configuration composes, gives objects of the right kinds, and computes finite output of the right shape.

Nothing is listed here: stages, groups and their options are found.
"""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
from composed import Case, build_parts, compose_case, list_base_files, list_cases

from ptycho_torch.config.fields import Settings
from ptycho_torch.run.compose import CONFIGURATIONS, open_composer
from ptycho_torch.run.stages import STAGES

pytestmark = pytest.mark.config

CASES = list_cases()
BASE_CONFIGS = [case for case in CASES if case.override is None]


def check(case: Case, folder: Path, output: Path) -> None:
    configuration = compose_case(case, folder if folder != CONFIGURATIONS else None)
    assert all(isinstance(section, Settings) for section in configuration.sections.values())
    parts = build_parts(configuration, output)
    if "training" in configuration.sections:
        kinds = (lightning.LightningModule, lightning.LightningDataModule, lightning.Trainer)
        assert [isinstance(part, kind) for part, kind in zip(parts.objects, kinds, strict=True)] == [True] * 3
    assert np.isfinite(parts.output).all()
    assert parts.output.shape == parts.expected_shape
    assert not any(output.iterdir())


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_configuration_builds_what_it_describes(case: Case, tmp_path: Path) -> None:
    check(case, CONFIGURATIONS, tmp_path)


def test_every_file_of_the_groups_is_tried() -> None:
    files = {path.relative_to(CONFIGURATIONS) for path in CONFIGURATIONS.rglob("*.yaml")}
    tried = {Path(*case.override.split("=")).with_suffix(".yaml") for case in CASES if case.override}
    assert files - tried <= {path.relative_to(CONFIGURATIONS) for path in list_base_files()}
    assert len(BASE_CONFIGS) == len(STAGES)


@pytest.mark.integration
def test_a_new_option_is_tried_without_a_list(tmp_path: Path) -> None:
    (tmp_path / "groups" / "model").mkdir(parents=True)
    new = tmp_path / "groups" / "model" / "narrow.yaml"
    new.write_text("defaults: [default, _self_]\nwidth: 4\ndepth: 1\n")
    (case,) = set(list_cases(tmp_path / "groups")) - set(CASES)
    assert case.override == "model=narrow"
    (tmp_path / "output").mkdir()
    check(case, tmp_path / "groups", tmp_path / "output")
    new.write_text("defaults: [default, _self_]\nwidth: 4\ndepth: 6\n")
    with pytest.raises(Exception, match="depth is 6"):
        check(case, tmp_path / "groups", tmp_path / "output")


@pytest.mark.parametrize("stage", STAGES)
def test_defaults_are_those_of_the_schema(stage: str) -> None:
    with open_composer(STAGES[stage]) as composer:
        configuration = composer.resolve([])
    assert configuration.sections == STAGES[stage].defaults
    assert configuration.options == STAGES[stage].option_defaults


def test_interpolation_takes_a_value_from_another_section() -> None:
    with open_composer(STAGES["experiment"]) as composer:
        found = composer.resolve(["simulation.seed=7", "training.seed=${simulation.seed}"])
    assert found.sections["training"].to_dict()["seed"] == 7


def test_an_experiment_chooses_options_of_other_groups_and_overrides_win() -> None:
    with open_composer(STAGES["experiment"]) as composer:
        found = composer.resolve(["experiment=lines", "training.batch_size=3"]).values
    assert found["simulation"]["object"] == "lines"
    assert found["training"]["group_size"] == 4
    assert found["training"]["batch_size"] == 3


def test_a_configuration_of_the_users_own_folder_begins_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [train, _self_]\nmodel:\n  width: 12\n")
    with open_composer(STAGES["train"], "mine", tmp_path) as composer:
        assert composer.resolve([]).values["model"]["width"] == 12
