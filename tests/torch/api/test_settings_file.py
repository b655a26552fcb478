"""The client's settings file; the layout here is written down independently of the table of fields."""

from __future__ import annotations

import configparser
import logging
from pathlib import Path

import pytest

from ptycho_torch.config_params import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.settings import ClientSettings, read_settings, write_settings
from ptycho_torch.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_says_reaches_the_configurations_under_their_own_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "settings.ini",
        """
[Processing]
algorithm = ptychopinn-torch_supervised
[Detector]
Width = 7
[PtychoPINNTorchData]
model_size = 64
num_channels = 9
grid_size_x = 3
grid_size_y = 3
x_lower_bound = 0.25
neighbor_lookup_method = 4_quadrant
subtract_mean_phase = no
[PtychoPINNTorchModel]
auxiliary_amplitude_loss = Total_Variation
auxiliary_phase_loss = None
cbam_encoder = FALSE
[PtychoPINNTorchTraining]
epochs = 7
gradient_clip_val = 0.5
num_dataloader_workers = 0
distributed_strategy = auto
visible_gpu_indices = 0,1
[PtychoPINNTorchInference]
patch_weighting_method = uniform
""",
    )
    found = read_settings(path)
    assert (found.data.N, found.data.C, found.data.grid_size) == (64, 9, (3, 3))
    assert found.data.x_bounds == (0.25, 0.9)
    assert found.data.neighbor_function == "4_quadrant"
    assert found.data.phase_subtraction is False
    assert (found.model.mode, found.model.C_model, found.model.C_forward) == ("Supervised", 9, 9)
    assert (found.model.amp_loss, found.model.phase_loss, found.model.cbam_encoder) == ("Total_Variation", None, False)
    assert (found.training.epochs, found.training.gradient_clip_val) == (7, 0.5)
    assert (found.training.num_workers, found.training.strategy) == (0, "auto")
    assert found.inference.patch_weighting == "uniform"


def test_what_a_file_leaves_out_is_the_clients_default(tmp_path: Path) -> None:
    found = read_settings(write(tmp_path / "settings.ini", "[Scan]\n"))
    assert (found.data, found.model) == (DataConfig(), ModelConfig())
    assert (found.training, found.inference) == (TrainingConfig(), InferenceConfig())


def test_a_file_that_was_written_says_the_same_when_read(tmp_path: Path) -> None:
    """[API-6.16]"""
    settings = ClientSettings()
    settings.model.mode = "Supervised"
    settings.model.phase_loss = "Mean_Deviation"
    settings.data.y_bounds = (0.0, 0.5)
    settings.training.gradient_clip_val = 2.5
    write_settings(settings, tmp_path / "settings.ini")
    assert read_settings(tmp_path / "settings.ini") == settings
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(tmp_path / "settings.ini")
    assert parser["Processing"]["Algorithm"] == "ptychopinn-torch_supervised"
    assert parser["PtychoPINNTorchTraining"]["learning_rate_scheduler"] == "Default"


def test_names_that_nobody_knows_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_settings(write(tmp_path / "settings.ini", "[PtychoPINNTorchTraining]\nepoch = 3\n"))
    assert "[PtychoPINNTorchTraining] epoch is unknown" in caplog.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[PtychoPINNTorchTraining]\nepochs = many\n", "[PtychoPINNTorchTraining] epochs is 'many'"),
        ("[PtychoPINNTorchTraining]\nlearning_rate = fast\n", "learning_rate is 'fast'"),
        ("no section\n", "settings.ini"),
        ("[A]\n[A]\n", "settings.ini"),
    ],
)
def test_files_that_cannot_be_used(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(write(tmp_path / "settings.ini", text))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
