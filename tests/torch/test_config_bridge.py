"""The client's configuration to the flat parameters, as specs/ptychodus_api_spec.md has it; torch is not needed."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from config_tables import table

from ptycho_torch.api.config_bridge import to_inference_config, to_model_config, to_training_config
from ptycho_torch.config.fields import Settings
from ptycho_torch.contracts.legacy import parameters as legacy
from ptycho_torch.contracts.legacy.parameters import (
    LegacyInference,
    LegacyModel,
    LegacyTraining,
    flatten,
    update_legacy_dict,
)
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import ConfigError

HERE = Path(__file__).parent
SPECIFICATION = HERE.parents[1] / "specs" / "ptychodus_api_spec.md"
SECTIONS = (LegacyModel, LegacyTraining, LegacyInference)
CORE = (
    "N",
    "gridsize",
    "model_type",
    "train_data_file",
    "test_data_file",
    "model_path",
    "n_groups",
    "neighbor_count",
    "nphotons",
)
NEEDED = {LegacyModel: {}, LegacyTraining: {"train_data_file": "train.npz"}, LegacyInference: {"model_path": "model"}}


def dose(**values: Any) -> DataConfig:
    """A data configuration whose photons are told."""
    return DataConfig(**{"nphotons": 1e6, **values})


def model_params(data: DataConfig | None = None, model: ModelConfig | None = None, **overrides: Any) -> dict[str, Any]:
    return flatten(to_model_config(data or dose(), model or ModelConfig(), overrides))


def training_params(
    data: DataConfig | None = None,
    model: ModelConfig | None = None,
    training: TrainingConfig | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    asked = {**NEEDED[LegacyTraining], **overrides}
    section = to_training_config(
        LegacyModel(), data or dose(), model or ModelConfig(), training or TrainingConfig(), asked
    )
    return flatten(section)


def inference_params(data: DataConfig | None = None, **overrides: Any) -> dict[str, Any]:
    asked = {**NEEDED[LegacyInference], **overrides}
    return flatten(to_inference_config(LegacyModel(), data or dose(), InferenceConfig(), asked))


def stored(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return values


def fill(cfg: dict[str, Any], snapshot: dict[str, Any]) -> None:
    """All three stages with a stored configuration of the client: training first, inference after it."""
    data, model = DataConfig(**snapshot["data"]), ModelConfig(**snapshot["model"])
    section = to_model_config(data, model, snapshot["model_overrides"])
    training = TrainingConfig(**snapshot["training"])
    update_legacy_dict(cfg, to_training_config(section, data, model, training, snapshot["training_overrides"]))
    inference = InferenceConfig(**snapshot["inference"])
    update_legacy_dict(cfg, to_inference_config(section, data, inference, snapshot["inference_overrides"]))


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


class TestConfigBridgeMVP:
    def test_mvp_config_bridge_populates_params_cfg(self, params_cfg_snapshot: dict[str, Any]) -> None:
        data = dose(N=128, grid_size=(3, 3), K=12)
        model = to_model_config(data, ModelConfig(mode="Supervised"))
        files = {"train_data_file": Path("a/train.npz"), "test_data_file": Path("a/test.npz"), "n_groups": 100}
        training = to_training_config(model, data, ModelConfig(), TrainingConfig(), files)
        inference = to_inference_config(
            model, data, InferenceConfig(), {"model_path": Path("b"), "test_data_file": "a/test.npz", "n_groups": 100}
        )
        update_legacy_dict(legacy.cfg, training)
        update_legacy_dict(legacy.cfg, inference)
        wanted = {
            "N": 128,
            "gridsize": 3,
            "model_type": "supervised",
            "train_data_file_path": "a/train.npz",
            "test_data_file_path": "a/test.npz",
            "model_path": "b",
            "n_groups": 100,
            "neighbor_count": 12,
            "nphotons": 1e6,
        }
        assert {key: params_cfg_snapshot.get(key) for key in wanted} == wanted

    def test_mvp_names_the_nine_fields(self) -> None:
        names = {field.name for section in SECTIONS for field in fields(section)}
        assert set(CORE) <= names
        assert len(CORE) == 9

    # this holds [API-4.51]
    def test_mvp_a_reader_before_the_entry_point_finds_nothing(self, params_cfg_snapshot: dict[str, Any]) -> None:
        section = to_training_config(
            to_model_config(dose(), ModelConfig()),
            dose(),
            ModelConfig(),
            TrainingConfig(),
            {"train_data_file": "train.npz"},
        )
        assert params_cfg_snapshot == {}, "translating alone must not write"
        update_legacy_dict(legacy.cfg, section)
        assert params_cfg_snapshot.get("N") == 128

    # this holds [API-4.52]
    def test_mvp_yesterdays_values_do_not_survive(self, params_cfg_snapshot: dict[str, Any]) -> None:
        old = LegacyTraining(
            train_data_file=Path("a.npz"), test_data_file=Path("old.npz"), n_groups=7, subsample_seed=3
        )
        for section in (old, LegacyTraining(train_data_file=Path("b.npz"))):
            update_legacy_dict(legacy.cfg, section)
        left = {key: params_cfg_snapshot.get(key, "-") for key in ("test_data_file_path", "n_groups", "subsample_seed")}
        assert left == {"test_data_file_path": None, "n_groups": None, "subsample_seed": None}

    # this holds [API-4.53]
    def test_mvp_any_dictionary_is_filled_and_keeps_what_is_not_ours(self) -> None:
        theirs: dict[str, Any] = {"N": 3, "size": 392}
        update_legacy_dict(theirs, LegacyModel(N=256))
        assert (theirs["N"], theirs["size"]) == (256, 392)
        assert set(theirs) == {"size", *flatten(LegacyModel())}
        assert legacy.cfg is not theirs

    # this holds [API-4.54]
    def test_mvp_what_was_saved_comes_back_in_the_same_dictionary(self, params_cfg_snapshot: dict[str, Any]) -> None:
        update_legacy_dict(legacy.cfg, LegacyModel(N=256))
        saved = legacy.snapshot()
        assert saved.get("N") == 256
        update_legacy_dict(legacy.cfg, LegacyTraining(train_data_file=Path("a.npz"), model=LegacyModel(N=128)))
        legacy.restore(saved)
        assert params_cfg_snapshot == saved == flatten(LegacyModel(N=256))
        assert params_cfg_snapshot is legacy.cfg


class TestConfigBridgeParity:
    # this holds [API-5.01]
    @pytest.mark.parametrize(
        ("data", "model", "key", "value"),
        [
            ({"N": 64}, {}, "N", 64),
            ({"N": 256}, {}, "N", 256),
            ({"probe_scale": 1.5}, {}, "probe_scale", 1.5),
            ({}, {"n_filters_scale": 1}, "n_filters_scale", 1),
            ({}, {"object_big": False}, "object.big", False),
            ({}, {"probe_big": False}, "probe.big", False),
        ],
    )
    def test_parity_direct_model(self, data: dict[str, Any], model: dict[str, Any], key: str, value: Any) -> None:
        assert model_params(dose(**data), ModelConfig(**model)).get(key) == value

    @pytest.mark.parametrize(
        ("configs", "key", "value"),
        [
            ({"training": TrainingConfig(batch_size=4)}, "batch_size", 4),
            ({"training": TrainingConfig(epochs=3)}, "nepochs", 3),
            ({"training": TrainingConfig(output_dir="out")}, "output_prefix", "out"),
            ({"data": dose(K=11)}, "neighbor_count", 11),
            ({"data": dose(subsample_seed=5)}, "subsample_seed", 5),
            ({"model": ModelConfig(intensity_scale_trainable=False)}, "intensity_scale.trainable", False),
        ],
    )
    def test_parity_direct_training(self, configs: dict[str, Any], key: str, value: Any) -> None:
        assert training_params(**configs).get(key) == value

    @pytest.mark.parametrize(
        ("data", "key", "value"),
        [(dose(K=11), "neighbor_count", 11), (dose(subsample_seed=5), "subsample_seed", 5)],
    )
    def test_parity_direct_inference(self, data: DataConfig, key: str, value: Any) -> None:
        assert inference_params(data).get(key) == value

    def test_parity_direct_the_model_goes_along(self) -> None:
        for params in (training_params(), inference_params()):
            assert {key: params.get(key) for key in flatten(LegacyModel())} == flatten(LegacyModel())
            assert "object.big" in params

    # this holds [API-5.12]
    @pytest.mark.parametrize("side", [1, 2, 3])
    def test_parity_transform_gridsize(self, side: int) -> None:
        assert model_params(dose(grid_size=(side, side))).get("gridsize") == side
        assert model_params(dose(grid_size=[side, side])).get("gridsize") == side

    @pytest.mark.parametrize(("mode", "wanted"), [("Unsupervised", "pinn"), ("Supervised", "supervised")])
    def test_parity_transform_model_type(self, mode: str, wanted: str) -> None:
        assert model_params(model=ModelConfig(mode=mode)).get("model_type") == wanted

    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("silu", "swish"),
            ("SiLU", "swish"),
            ("swish", "swish"),
            ("sigmoid", "sigmoid"),
            ("softplus", "softplus"),
            ("relu", "relu"),
        ],
    )
    def test_parity_transform_amp_activation(self, name: str, wanted: str) -> None:
        assert model_params(model=ModelConfig(amp_activation=name)).get("amp_activation") == wanted

    @pytest.mark.parametrize(("nll", "wanted"), [(True, 1.0), (False, 0.0)])
    def test_parity_transform_nll_weight(self, nll: bool, wanted: float) -> None:
        assert training_params(training=TrainingConfig(nll=nll)).get("nll_weight") == wanted

    # this holds [API-5.02]
    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (lambda: model_params(dose(grid_size=(2, 3))), r"DataConfig.grid_size is \(2, 3\); .* square"),
            (lambda: model_params(dose(grid_size=4)), "DataConfig.grid_size is 4; .* square"),
            (lambda: model_params(model=ModelConfig(mode="Semi")), "mode is 'Semi'; .*Unsupervised or Supervised"),
            (lambda: model_params(model=ModelConfig(amp_activation="gelu")), "amp_activation is 'gelu'; .*sigmoid or"),
            (lambda: training_params(training=TrainingConfig(nll=0.5)), "nll is 0.5; .*True or False"),  # type: ignore[arg-type]
            (lambda: model_params(dose(N=100)), "LegacyModel.N is 100; it must be one of 64, 128, 256"),
            (lambda: model_params(dose(N=64.0)), "LegacyModel.N is 64.0; it must be one of"),
            (lambda: training_params(training=TrainingConfig(epochs=0)), "nepochs is 0; it must be at least 1"),
            (lambda: training_params(output_dir=3), "output_dir is 3; it must be a path"),
        ],
        ids=["oblong", "number", "mode", "activation", "nll", "size", "float_size", "epochs", "path"],
    )
    def test_parity_transform_refuses_what_it_cannot_translate(self, make: Any, complaint: str) -> None:
        with pytest.raises(ConfigError, match=complaint):
            make()

    @pytest.mark.parametrize(
        ("name", "key", "value"),
        [("pad_object", "pad_object", False), ("gaussian_smoothing_sigma", "gaussian_smoothing_sigma", 0.5)],
    )
    def test_parity_override_model(self, name: str, key: str, value: Any) -> None:
        assert model_params(**{name: value}).get(key) == value

    @pytest.mark.parametrize(
        ("name", "key", "value"),
        [
            ("train_data_file", "train_data_file_path", "x/train.npz"),
            ("test_data_file", "test_data_file_path", "x/test.npz"),
            ("mae_weight", "mae_weight", 0.25),
            ("realspace_mae_weight", "realspace_mae_weight", 0.1),
            ("realspace_weight", "realspace_weight", 0.2),
            ("n_groups", "n_groups", 64),
            ("positions_provided", "positions.provided", False),
            ("probe_trainable", "probe.trainable", True),
            ("sequential_sampling", "sequential_sampling", True),
            ("output_dir", "output_prefix", "x/out"),
        ],
    )
    def test_parity_override_training(self, name: str, key: str, value: Any) -> None:
        assert training_params(**{name: value}).get(key) == value

    @pytest.mark.parametrize(
        ("name", "key", "value"),
        [
            ("model_path", "model_path", "x/model"),
            ("test_data_file", "test_data_file_path", "x/test.npz"),
            ("n_groups", "n_groups", 64),
            ("output_dir", "output_prefix", "x/out"),
            ("debug", "debug", True),
        ],
    )
    def test_parity_override_inference(self, name: str, key: str, value: Any) -> None:
        assert inference_params(**{name: value}).get(key) == value

    # this holds [API-5.03]
    def test_parity_override_wins_over_what_cannot_be_translated(self) -> None:
        data = DataConfig(grid_size=(2, 3))
        params = model_params(
            data, ModelConfig(mode="?", amp_activation="?"), gridsize=2, model_type="pinn", amp_activation="relu", N=256
        )
        assert [params.get(key) for key in ("gridsize", "model_type", "amp_activation", "N")] == [
            2,
            "pinn",
            "relu",
            256,
        ]

    def test_parity_override_paths_become_strings(self) -> None:
        params = training_params(train_data_file=Path("a") / "b.npz", output_dir=Path("c"))
        assert params.get("train_data_file_path") == str(Path("a") / "b.npz")
        assert params.get("output_prefix") == "c"

    # this holds [API-5.04]
    @pytest.mark.parametrize("overrides", [None, {}, {"n_groups": 3}])
    @pytest.mark.parametrize(
        ("name", "make"),
        [
            (
                "train_data_file",
                lambda asked: to_training_config(LegacyModel(), dose(), ModelConfig(), TrainingConfig(), asked),
            ),
            ("model_path", lambda asked: to_inference_config(LegacyModel(), dose(), InferenceConfig(), asked)),
        ],
        ids=["training", "inference"],
    )
    def test_parity_override_is_required(self, name: str, make: Any, overrides: dict[str, Any] | None) -> None:
        with pytest.raises(ConfigError, match=rf"{name} .* pass overrides=\{{'{name}': ...\}}"):
            make(overrides)

    # this holds [API-5.05]
    @pytest.mark.parametrize("params", [model_params, training_params, inference_params])
    def test_parity_override_that_is_unknown_is_told_with_those_there_are(self, params: Any) -> None:
        with pytest.raises(ConfigError, match=r"override 'griddsize'; .* \w+, \w+"):
            params(griddsize=2)

    def test_parity_override_of_the_model_belongs_to_the_model(self) -> None:
        with pytest.raises(ConfigError, match=r"LegacyTraining .*override 'model'; .* test_data_file"):
            to_training_config(
                LegacyModel(), dose(), ModelConfig(), TrainingConfig(), {"train_data_file": "a", "model": LegacyModel()}
            )

    # this holds [API-5.06]
    def test_parity_override_n_images_is_the_older_name_of_n_groups(self, caplog: pytest.LogCaptureFixture) -> None:
        assert training_params(n_images=5).get("n_groups") == 5
        assert inference_params(n_images=6).get("n_groups") == 6
        assert warnings(caplog).count("n_images is deprecated; pass n_groups") == 2
        with pytest.raises(ConfigError, match="n_images is the older name of n_groups; pass only n_groups"):
            training_params(n_images=5, n_groups=5)

    # this holds [API-5.07]
    @pytest.mark.parametrize(
        ("name", "value", "complaint"),
        [
            ("test_data_file", "test.npz", "test_data_file is missing"),
            ("n_groups", 3, "n_groups is missing"),
        ],
    )
    def test_parity_override_that_is_missing_in_training_is_warned_about(
        self, name: str, value: Any, complaint: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        training_params()
        assert complaint in warnings(caplog)
        caplog.clear()
        training_params(**{name: value})
        assert complaint not in warnings(caplog)

    def test_parity_override_that_is_missing_in_inference_is_warned_about(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        inference_params()
        assert "n_groups is missing" in warnings(caplog)
        assert "test_data_file" not in warnings(caplog)
        caplog.clear()
        inference_params(n_groups=3)
        assert not warnings(caplog)

    # this holds [API-5.08]
    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (lambda: to_model_config(ModelConfig(), dose()), "ModelConfig was passed; .* DataConfig"),  # type: ignore[arg-type]
            (
                lambda: to_inference_config(LegacyModel(), dose(), TrainingConfig(), {"model_path": "a"}),  # type: ignore[arg-type]
                "TrainingConfig was passed; .* InferenceConfig",
            ),
            (
                lambda: to_training_config(
                    ModelConfig(),  # type: ignore[arg-type]
                    dose(),
                    ModelConfig(),
                    TrainingConfig(),
                    {"train_data_file": "a"},
                ),
                "LegacyTraining.model is .*; it must be of type LegacyModel",
            ),
        ],
        ids=["order", "inference", "model_section"],
    )
    def test_parity_configurations_in_another_order_are_noticed(self, make: Any, complaint: str) -> None:
        with pytest.raises(ConfigError, match=complaint):
            make()

    # this holds [API-5.11]
    @pytest.mark.parametrize(
        ("mask", "wanted"),
        [(None, False), (np.ones((4, 4), bool), True), (np.zeros((4, 4)), True), (True, True), (False, False)],
        ids=["none", "array", "empty_array", "on", "off"],
    )
    def test_probe_mask_is_there_or_not(self, mask: Any, wanted: bool) -> None:
        assert model_params(model=ModelConfig(probe_mask=mask)).get("probe.mask") is wanted

    def test_probe_mask_override_wins(self) -> None:
        assert model_params(model=ModelConfig(probe_mask=np.ones((4, 4))), probe_mask=False).get("probe.mask") is False
        assert model_params(probe_mask=True).get("probe.mask") is True

    def test_probe_mask_of_another_kind_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"ModelConfig.probe_mask is 'circle'; .*an array or None"):
            model_params(model=ModelConfig(probe_mask="circle"))

    # this holds [API-5.21]
    def test_nphotons_default_that_diverges_is_refused_with_the_way_out(self) -> None:
        complaint = r"DataConfig.nphotons is 100000.0; .* 1e\+09.* set DataConfig.nphotons .* overrides=\{'nphotons'"
        with pytest.raises(ConfigError, match=complaint):
            training_params(DataConfig())

    @pytest.mark.parametrize("photons", [1e5, 1e9, 123.0])
    def test_nphotons_override_resolves_it(self, photons: float) -> None:
        assert training_params(DataConfig(), nphotons=photons).get("nphotons") == photons

    @pytest.mark.parametrize("photons", [1e9, 2e6])
    def test_nphotons_that_the_client_chose_is_carried_over(self, photons: float) -> None:
        assert training_params(DataConfig(nphotons=photons)).get("nphotons") == photons

    def test_nphotons_must_be_positive(self) -> None:
        with pytest.raises(ConfigError, match=r"nphotons is -1\.0; it must be above 0"):
            training_params(dose(nphotons=-1.0))

    # this holds [API-5.22]
    def test_n_subsample_of_the_client_never_leaks(self) -> None:
        for params in (training_params(dose(n_subsample=7)), inference_params(dose(n_subsample=7))):
            assert params.get("n_subsample", "missing") is None

    def test_n_subsample_comes_from_the_caller_alone(self) -> None:
        for params in (training_params, inference_params):
            assert params(dose(n_subsample=7), n_subsample=300).get("n_subsample") == 300

    # this holds [API-5.09]
    def test_params_cfg_matches_baseline(self, params_cfg_snapshot: dict[str, Any]) -> None:
        fill(legacy.cfg, stored("pytorch_config_snapshot.json"))
        assert params_cfg_snapshot == stored("baseline_params.json")

    def test_baseline_differs_from_every_default(self) -> None:
        defaults = [flatten(LegacyTraining(train_data_file=Path("-"))), flatten(LegacyInference(model_path=Path("-")))]
        baseline = stored("baseline_params.json")
        assert set(baseline) == {key for params in defaults for key in params}
        assert len(baseline) == 31
        assert not [key for key, value in baseline.items() for params in defaults if params.get(key, "-") == value]

    # this holds [API-5.10]
    @pytest.mark.parametrize("section", SECTIONS)
    def test_parity_tables_of_the_specification_are_those_of_the_code(self, section: type[Settings]) -> None:
        text = SPECIFICATION.read_text(encoding="utf-8")
        written = re.findall(
            rf"^### 5\.\d .*`{section.__name__}`\n.*?(^\|.*?\n)(?:\n|\Z)", text, re.MULTILINE | re.DOTALL
        )
        assert written == [table(section, CORE)], table(section, CORE)
