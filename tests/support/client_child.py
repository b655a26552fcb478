"""The steps that Ptychodus 1.7.0 takes in its child processes, in its order, with names imported when it needs them."""

# ruff: noqa: PLC0415
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift

from ptycho_torch.config_params import DataConfig, DatagenConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.data.scan import Scan

# what the client calls the middle of an array is (N - 1) / 2, here it is N // 2
HALF_PIXEL = 0.5


@dataclass
class ClientConfigs:
    """The five configurations that the parent process sends."""

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    inference: InferenceConfig
    datagen: DatagenConfig


def client_configs(**changes: Any) -> ClientConfigs:
    """The client's defaults; each change goes to the configuration that has the field (mode, epochs, ...)."""
    configs = ClientConfigs(DataConfig(), ModelConfig(), TrainingConfig(), InferenceConfig(), DatagenConfig())
    for name, value in changes.items():
        section, _, field = name.partition("__")
        assert hasattr(getattr(configs, section), field), name
        setattr(getattr(configs, section), field, value)
    return configs


def export_scan(scan: Scan, path: Path, *, truth: bool = True) -> None:
    """Write a scan the way the client exports training data: integer counts, its own pixel convention."""
    probe = scan.probe
    assert probe is not None
    rows, columns = (scan.positions_px - HALF_PIXEL).T
    specimen = np.ones((96, 96), complex)
    if truth and scan.truth is not None:
        specimen = scan.truth.pixels.astype(complex)
    np.savez(
        path,
        xcoords=columns,
        ycoords=rows,
        xcoords_start=columns,
        ycoords_start=rows,
        diff3d=scan.counts.astype(np.uint32),
        bad_pixels=~scan.good_pixels,
        probeGuess=probe.astype(complex),
        objectGuess=specimen,
        scan_index=np.zeros(len(scan), int),
    )


@dataclass
class ClientTraining:
    """What the client gets from its training child."""

    training_loss: list[tuple[int, float]]
    validation_loss: list[tuple[int, float]]
    epochs: int
    checkpoint: Path
    run_folder: Path


def train_like_client(configs: ClientConfigs, data_dir: Path, output_dir: Path) -> ClientTraining:
    """Train as `run_train` of the client does."""
    import torch
    from lightning.pytorch.callbacks import Callback

    from ptycho_torch.api.base_api import ConfigManager, DataloaderFormats, PtychoDataLoader, PtychoModel, Trainer
    from ptycho_torch.lightning_utils import find_best_checkpoint
    from ptycho_torch.model import PtychoPINN_Lightning

    available = torch.cuda.device_count()
    configs.training.n_devices = 1 if available == 0 else min(configs.training.n_devices, available)
    manager = ConfigManager(
        data_config=configs.data,
        model_config=configs.model,
        training_config=configs.training,
        inference_config=configs.inference,
        datagen_config=configs.datagen,
    )

    class Collector(Callback):  # a class inside of a function, as the client's, cannot be pickled
        def __init__(self, train_name: str, val_name: str) -> None:
            self.names = (train_name, val_name)
            self.losses: tuple[list[tuple[int, float]], list[tuple[int, float]]] = ([], [])
            self.epochs = 0

        def _note(self, trainer: Any, which: int) -> None:
            value = trainer.callback_metrics.get(self.names[which])
            if value is not None:
                self.losses[which].append((trainer.current_epoch, float(value)))

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self._note(trainer, 0)
            self.epochs = trainer.current_epoch + 1

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                self._note(trainer, 1)

    loader = PtychoDataLoader(
        data_dir=data_dir,
        config_manager=manager,
        data_format=DataloaderFormats("lightning_only_module"),
        output_dir=output_dir,
    )
    model = PtychoModel._new_model(model=PtychoPINN_Lightning, config_manager=manager)
    trainer = Trainer._from_lightning(model=model, dataloader=loader, orchestration="lightning", config_manager=manager)
    collector = Collector(model.model.loss_name, model.model.val_loss_name)
    trainer._trainer.callbacks.append(collector)
    trainer.train(orchestration="lightning", experiment_name="")
    run_folder = Path(loader.output_dir)
    checkpoint = find_best_checkpoint(run_folder)
    assert checkpoint is not None, f"no checkpoint in {run_folder}"
    return ClientTraining(*collector.losses, collector.epochs, checkpoint, run_folder)


def reconstruct_like_client(
    checkpoint: Path,
    patterns: NDArray[Any],
    probe: NDArray[Any] | None,
    positions_px: NDArray[np.float64],
    **options: Any,
) -> NDArray[np.complexfloating]:
    """Reconstruct as `run_reconstruct` of the client does; options go to the engine, which the client never does."""
    from ptycho_torch.api.base_api import ConfigManager, InferenceEngine, PtychoDataLoader, PtychoModel
    from ptycho_torch.model import PtychoPINN_Lightning

    found = PtychoModel._extract_configs_from_checkpoint(str(checkpoint))
    assert all(config is not None for config in found)
    data_config, model_config, training_config, inference_config = found
    configs = {
        "model_config": model_config,
        "data_config": data_config,
        "training_config": training_config,
        "inference_config": inference_config,
    }
    model = PtychoModel(**configs)
    model.model = PtychoPINN_Lightning.load_from_checkpoint(checkpoint, **configs)
    manager = ConfigManager.from_loaded_model(model)
    manager.validate_arch_compatibility(model)
    assert isinstance(manager.model_config.mode, str)
    engine = InferenceEngine(config_manager=manager, ptycho_model=model)
    loader = PtychoDataLoader.from_np(
        diff_patterns=patterns, probe=probe, positions=positions_px, config_manager=manager
    )
    return np.asarray(engine.predict_and_stitch(loader, **options))


def drawn(image: NDArray[Any], middle_px: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.complex128]:
    """What the client shows on an array's pixels of an image whose middle it puts at a place; ones elsewhere."""
    wanted = middle_px - (np.array(image.shape) - 1) / 2
    start = np.floor(wanted).astype(int)
    rest = wanted - start
    moved = shift(image.real - 1, rest) + 1 + 1j * shift(image.imag, rest)
    result = np.ones(shape, complex)
    low, high = np.maximum(start, 0), np.minimum(start + image.shape, shape)
    inner = low - start
    extent = high - low
    result[low[0] : high[0], low[1] : high[1]] = moved[inner[0] : inner[0] + extent[0], inner[1] : inner[1] + extent[1]]
    return result
