"""Every setting is traced to an effect: everything that depends on its section is computed with two of its values.

A setting that is not read, or is read without an effect, fails here; one with an effect only if others have certain
values must declare this condition in the schema.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptycho_torch import config
from ptycho_torch.cli.pretrain import plan_scans
from ptycho_torch.config import (
    DataSettings,
    DriftSettings,
    Experiment,
    InferenceSettings,
    ModelSettings,
    PretrainingSettings,
    RefineSettings,
    RegistrySettings,
    SimulationSettings,
    TrackingSettings,
    TrainerSettings,
    TrainingSettings,
)
from ptycho_torch.config.fields import Settings
from ptycho_torch.data.scan import Scan
from ptycho_torch.drift.features import FEATURES, ScanFeatures
from ptycho_torch.drift.judgement import judge as judge_drift
from ptycho_torch.drift.reference import Reference
from ptycho_torch.errors import PtychoError
from ptycho_torch.export.example import Example
from ptycho_torch.formats import read_one_scan
from ptycho_torch.models.checkpoint import TrainedNetwork, write_inference_checkpoint
from ptycho_torch.networks.build import Generator, build_network
from ptycho_torch.registry.chance import Errors, compare_errors
from ptycho_torch.registry.health import compare_outputs
from ptycho_torch.runtime.background_logger import BackgroundLogger
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.mlflow_place import MlflowPlace
from ptycho_torch.runtime.ranks import find_ranks
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.build import build_module, build_objective
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import build_trainer, prepare
from ptycho_torch.training.hardware import check_hardware
from ptycho_torch.training.module import ReconstructionModule, scale_rate
from ptycho_torch.training.pictures import PictureWriter
from ptycho_torch.workflows.reconstruction import reconstruct_scan

Values = dict[str, Any]
SECTIONS: list[type[Settings]] = [
    value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Settings)
]
# values with which every unconditional setting has an effect, in little time
USUAL: dict[type[Settings], Values] = {
    SimulationSettings: {"object_px": 64, "patch_px": 32, "step_px": 6, "probe_diameter_px": 12},
    # not auto, which resolves to another choice
    DataSettings: {"units": "amplitude", "zero_frequency": "corner", "position_unit": "mm", "pixel_m": 2e-3},
    RefineSettings: {"method": "poisson", "epochs": 6, "batches": 4},
    TrainingSettings: {"group_size": 4, "bootstrap_epochs": 1, "warmup_steps": 3},
    # likewise not auto
    ModelSettings: {"width": 8, "depth": 2, "input": "update"},
}
# values to try if none can be derived from the default
TRIED: dict[str, Any] = {
    "patch_px": 48,
    "batches": 2,
    "batch_size": 7,
    "photons": 2e5,
    "pixel_m": 1e-3,
    "patterns": "others",
    "positions": "places",
    "mask": "gaps",
    "dark": "low",
    "flat": "low",
    "background": "low",
    "fluorescence": "emitted",
    "saturation": 3000.0,
    "leave_out": "3,5-6",
    "raster_columns": 4,
    "step_m": 4e-3,
    "step_px": 2.5,
    "energy_ev": 8000.0,
    "electron_energy_ev": 80000.0,
    "wavelength_m": 2e-10,
    "distance_m": 3.0,
    "detector_pixel_m": 2e-4,
    "detector_pixel_mrad": 0.3,
    "centre_row_px": 15.0,
    "centre_column_px": 15.0,
    "crop_px": 24,
    "pad_px": 40,
    "regularisation": 0.7,
    "total_variation": 7.0,
    "neighbours": 20,
    "groups_per_epoch": 3,
    "steps": 3,
    "greatest_distance_px": 9.0,
    "least_distance_px": 5.0,
    "probe_start": 0.9,
    "max_minutes": 1.0,
    "patience": 1,
    "teacher": "teacher.ckpt",
    "validation_share": 0.4,
    "width": 12,
    "depth": 1,
    "heads": 2,
    "stages": 3,
    "fold_px": 2,
    "spectral_modes": 2,
    "tracker": "wandb+tensorboard",
    "picture_every_epochs": 2,
    "project": "siemens",
    "mlflow_uri": "sqlite:///other.db",
    "devices": 2,
    "checkpoint_steps": 5,
    "checkpoint_minutes": 0.5,
    "registry": "other.db",
    "tolerance": 1e-4,
    "chance": 1e-3,
    "least_gain": 0.5,
}
# the values of the file here are too large to be logarithms; tests/torch/doctor reads smaller ones
LOGARITHMS = ("log", "log10")
_OF_UNET = ("depth", "decoders", "encoder_attention", "bottleneck_attention", "decoder_attention")
# other settings with which a conditional setting has an effect, and with which it has none
FAR: Values = {"pixel_m": None, "position_unit": "px", "distance_m": 1.0, "detector_pixel_m": 1e-4}
BESIDE: dict[tuple[type[Settings], str], tuple[Values, Values]] = {
    (DriftSettings, "least_effect"): ({"level": 0.3}, {}),
    (DriftSettings, "level"): ({"least_effect": 0.0}, {}),
    (RefineSettings, "probe_guess"): ({}, {"held_out": 0}),
    (RefineSettings, "refine_background"): ({}, {"held_out": 0}),
    (RefineSettings, "detector_centre"): ({}, {"held_out": 0}),
    (RefineSettings, "refine_positions"): ({}, {"held_out": 0}),
    (RefineSettings, "position_limit_px"): (
        {"method": "least_squares", "refine_positions": "each", "position_limit_px": 0.02},
        {"refine_positions": "affine", "held_out": 0},
    ),
    # steps so long that held-out pixels are predicted worse from time to time
    (RefineSettings, "patience"): (
        {"learning_rate": 0.5, "total_variation": 0.0, "epochs": 30, "held_out": 0.5},
        {"held_out": 0},
    ),
    (DataSettings, "raster_columns"): ({"step_px": 3.0}, {}),
    (DataSettings, "step_m"): ({"position_unit": "step", "step_m": 1e-3}, {}),
    (DataSettings, "step_px"): ({"position_unit": "step", "step_px": 1.5}, {}),
    (DataSettings, "energy_ev"): (FAR | {"energy_ev": 5000.0}, {}),
    (DataSettings, "electron_energy_ev"): (FAR | {"electron_energy_ev": 3e5}, {}),
    (DataSettings, "wavelength_m"): (FAR | {"wavelength_m": 1e-10}, {}),
    (DataSettings, "distance_m"): (FAR | {"energy_ev": 5000.0}, {}),
    (DataSettings, "detector_pixel_m"): (FAR | {"energy_ev": 5000.0}, {}),
    (DataSettings, "detector_pixel_mrad"): (
        {"pixel_m": None, "position_unit": "px", "energy_ev": 5000.0, "detector_pixel_mrad": 0.1},
        {},
    ),
    (RefineSettings, "probe_rate"): ({"method": "least_squares"}, {"probe_start": 1}),
    (RefineSettings, "learning_rate"): ({}, {"method": "least_squares"}),
    (RefineSettings, "total_variation"): ({}, {"method": "least_squares"}),
    (ModelSettings, "amplitude"): ({}, {"output": "real_imag"}),
    (ModelSettings, "phase"): ({}, {"output": "real_imag"}),
    **{(ModelSettings, name): ({}, {"network": "spectral"}) for name in _OF_UNET},
    (ModelSettings, "normalisation"): ({}, {"network": "transformer"}),
    (ModelSettings, "blocks"): ({"network": "spectral"}, {}),
    (ModelSettings, "fold_px"): ({"network": "transformer"}, {}),
    (ModelSettings, "spectral_modes"): ({"network": "spectral"}, {"network": "transformer"}),
    (ModelSettings, "heads"): ({"network": "transformer"}, {"network": "spectral"}),
    (ModelSettings, "attention_kernel_px"): ({"decoder_attention": "spatial"}, {"encoder_attention": "cbam"}),
    (TrainingSettings, "epochs"): ({}, {"steps": 5}),
    (TrainingSettings, "neighbour_choice"): ({}, {"group_size": 1}),
    (TrainingSettings, "neighbours"): ({}, {"neighbour_choice": "within"}),
    (TrainingSettings, "least_distance_px"): ({"neighbour_choice": "within"}, {}),
    (TrainingSettings, "greatest_distance_px"): ({"neighbour_choice": "quadrants"}, {}),
    (TrainingSettings, "by_axis"): ({}, {"group_size": 1}),
    (TrainingSettings, "last_rate"): ({}, {"schedule": "constant"}),
    (TrainingSettings, "fine_tune_rate"): ({"fine_tune_epochs": 1}, {}),
    (TrainingSettings, "teacher"): ({"target": "hybrid"}, {"target": "object"}),
    (TrainingSettings, "teacher_weight"): ({"target": "hybrid"}, {}),
    (TrainingSettings, "patience"): ({}, {"target": "object"}),
    (TrainingSettings, "level_labels"): ({"target": "object"}, {}),
    (TrainingSettings, "loss"): ({}, {"target": "object"}),
    (TrainingSettings, "amplitude_penalty_weight"): ({"amplitude_penalty": "total_variation"}, {}),
    (TrainingSettings, "phase_penalty_weight"): ({"phase_penalty": "mean_deviation"}, {}),
    (InferenceSettings, "control"): ({}, {"polish": False}),
    (TrackingSettings, "project"): ({"tracker": "wandb"}, {"tracker": "tensorboard"}),
    (TrackingSettings, "mlflow_uri"): ({"tracker": "csv+mlflow"}, {}),
    (TrackingSettings, "wandb_online"): ({"tracker": "wandb"}, {"tracker": "mlflow"}),
}


FIELDS = [(section, field) for section in SECTIONS for field in dataclasses.fields(section)]
CASES, CONDITIONAL = (
    [
        pytest.param(section, field.name, id=f"{section.__name__}.{field.name}")
        for section, field in FIELDS
        if field.metadata["acts_when"] is not None or not conditional
    ]
    for conditional in (False, True)
)


def other_values(section: type[Settings], name: str) -> list[Any]:
    """Values beside the one that is usual: every other choice, or a number near it."""
    kind = section.find_types()[name]
    usual = USUAL.get(section, {}).get(name, section.__dataclass_fields__[name].default)
    if kind.base is bool:
        return [not usual]
    if kind.choices:
        return [choice for choice in kind.choices if choice != usual and choice not in LOGARITHMS][:3]
    if name in TRIED:
        return [TRIED[name]]
    return [usual + 1 if kind.base is int else usual * 0.7 or 0.4]


def awake(generator: Generator) -> Generator:
    """A network that does something: no weight is zero, as those of its last layer are before training."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        for weight in generator.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return generator.eval()


@pytest.fixture(scope="session")
def uneven_scan(small_scan: Scan) -> Scan:
    """The small scan with rows twice as far apart as columns, among which the nearest neighbours are others."""
    rows = np.round(small_scan.positions_px[:, 0])
    patterns = np.flatnonzero((rows - rows.min()) % 8 < 3)
    return small_scan.take(patterns)


Trace = Callable[[Any, Scan, Path], list[Any]]


def simulated(settings: SimulationSettings, scan: Scan, folder: Path) -> list[Any]:
    made = simulate_scan(settings)
    assert made.truth is not None
    return [made.counts, made.positions_px, made.probe, made.truth.pixels]


def planned(settings: PretrainingSettings, scan: Scan, folder: Path) -> list[Any]:
    return [dataclasses.asdict(one) for one in plan_scans(SimulationSettings(), settings)]


def refined(settings: RefineSettings, scan: Scan, folder: Path) -> list[Any]:
    found = refine(scan, settings)
    figures = [value for correction in found.corrections for value in correction.figures.values()]
    return [found.canvas.pixels, found.probe, figures]


def answered(settings: ModelSettings, scan: Scan, folder: Path) -> list[Any]:
    network = awake(build_network(Experiment(model=settings), 32))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        return [network(torch.rand(2, 32, 32), torch.rand(1, 1, 32, 32) + 0j).numpy()]


def make_network(experiment: Experiment, scan: Scan) -> TrainedNetwork:
    """A network that was never trained, and does something."""
    generator = awake(build_network(experiment, 32))
    return TrainedNetwork(
        generator, experiment, 32, scan.require_probe()[None], (1e6,), scan.good_pixels[None], steps=0
    )


def write_teacher(path: Path, width: int, scan: Scan) -> Path:
    write_inference_checkpoint(make_network(Experiment(model=ModelSettings(width=width, depth=1)), scan), path)
    return path


def trained(settings: TrainingSettings, scan: Scan, folder: Path) -> list[Any]:
    """Groups, loss and its gradient, learning rates, and settings of the trainer; no step is taken."""
    if settings.target == "hybrid":
        # without a name, the teacher is another network
        teacher = write_teacher(folder / (settings.teacher or "other.ckpt"), 8 if settings.teacher else 4, scan)
        settings = dataclasses.replace(settings, teacher=str(teacher))
    experiment = Experiment(training=settings, model=ModelSettings(width=4, depth=1))
    data = ScanDataModule([scan], settings)
    (probe,) = bootstrap_probes([scan], experiment, torch.device("cpu"))
    module: ReconstructionModule = build_module(experiment, [probe], [1e6], [scan.good_pixels], data.main_steps)
    batch = next(iter(data.train_dataloader()))
    random = np.random.default_rng(3)
    shape = (batch.counts.flatten(0, 1).shape, 2)
    values = 1 + 0.3 * random.standard_normal((*shape[0], 2)).astype(np.float32)
    patches = torch.view_as_complex(torch.from_numpy(values))
    loss = build_objective(settings)(module.add_labels(batch), patches, module.probes, module.good)
    optimiser = module.configure_optimizers()
    rates = []
    for _ in range(min(data.total_steps, 60)):
        rates.append(optimiser["optimizer"].param_groups[0]["lr"])
        optimiser["optimizer"].step()
        optimiser["lr_scheduler"]["scheduler"].step()
    rates.append(scale_rate(data.total_steps - 1, settings, data.main_steps))
    trainer = build_trainer(data, experiment, folder, device=torch.device("cpu"), track=False, bar=False)
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    kinds = sorted(type(callback).__name__ for callback in callbacks)
    patience = [vars(callback)["_patience"] for callback in callbacks if type(callback).__name__ == "OverfittingWatch"]
    return [
        *(part for split in data.splits for part in (split.training, split.validation)),
        *(weight.detach().numpy() for weight in build_network(experiment, 32).parameters()),
        *batch[:4],
        probe,
        loss.numpy(),
        np.array(rates),
        [trainer.max_steps, trainer.val_check_interval, trainer.accumulate_grad_batches, trainer.gradient_clip_val],
        kinds,
        patience,
        len(data.train_dataloader()),
    ]


def equipped(settings: TrainerSettings, scan: Scan, folder: Path) -> list[Any]:
    """What prepares a training: device, trainer, loader, layers kept for the gradient, batch size, compiled or not."""
    experiment = Experiment(
        trainer=settings,
        training=TrainingSettings(group_size=4, steps=2, bootstrap_epochs=0),
        model=ModelSettings(width=4, depth=1),
    )
    try:
        find_device("cuda", settings.accelerator)
    except PtychoError as error:
        conflict = str(error)
    try:
        ranks = find_ranks(settings)
        device = find_device("auto", settings.accelerator)
        check_hardware(experiment, device, ranks)
        data, module = prepare([scan], [scan.require_probe()], experiment, device)
        trainer = build_trainer(data, experiment, folder, device=device, track=False, bar=False)
    except PtychoError as error:
        return [str(error)]
    layer: Any = module.generator.body
    return [
        conflict,
        [ranks.size, ranks.devices, ranks.started],
        str(device),
        [trainer.num_devices, trainer.num_nodes, trainer.precision, type(trainer.strategy).__name__],
        [vars(call) for call in trainer.callbacks if type(call).__name__ == "IntervalCheckpoint"],  # type: ignore[attr-defined]
        [data.train_dataloader().num_workers, data.batch_size],
        "partial" in type(layer.body[1].forward).__name__,
        layer._compiled_call_impl is not None,
    ]


def inferred(settings: InferenceSettings, scan: Scan, folder: Path) -> list[Any]:
    network = make_network(Experiment(model=ModelSettings(width=4, depth=2)), scan)
    reported: list[tuple[str, int]] = []

    def stage(name: str, length: int, unit: str) -> Callable[[int, float | None], None]:
        return lambda done, error: reported.append((name, done))

    polish = RefineSettings(epochs=1)
    result = reconstruct_scan(network, scan, inference=settings, polish=polish, device="cpu", progress=stage)
    return [result.canvas.pixels, result.prediction.canvas.pixels, reported]


def read(settings: DataSettings, scan: Scan, folder: Path) -> list[Any]:
    random = np.random.default_rng(2)
    counts = random.poisson(80 * np.abs(random.standard_normal((12, 32, 32)))).astype(np.float64)
    counts[:, 16, 16] += 5000
    rows, columns = random.uniform(0, 9, (2, 12))
    arrays = {
        "diff3d": counts,
        "xcoords": columns,
        "ycoords": rows,
        "bad_pixels": np.arange(1024).reshape(32, 32) == 3,
        "others": counts[::-1],
        "places": random.uniform(0, 9, (12, 2)),
        "gaps": np.arange(1024).reshape(32, 32) == 9,
        "low": random.uniform(0.5, 1, (32, 32)),
        "emitted": random.uniform(0, 9, (12, 2)),
    }
    np.savez(folder / "scan.npz", **arrays)
    made = read_one_scan(folder / "scan.npz", settings)
    return [made.counts, made.positions_px, made.good_pixels, made.pixel_m, made.background, made.fluorescence]


def tracked(settings: TrackingSettings, scan: Scan, folder: Path) -> list[Any]:
    """Where a training would be logged, and how often it would be drawn; nothing is logged."""
    experiment = Experiment(tracking=settings, training=TrainingSettings(group_size=4, epochs=30))
    data = ScanDataModule([scan], experiment.training)
    trainer = build_trainer(data, experiment, folder, device=torch.device("cpu"), track=True, bar=False)
    pictures = [callback.every_epochs for callback in trainer.callbacks if isinstance(callback, PictureWriter)]  # type: ignore[attr-defined]
    return [*(str(logger.tracker) for logger in trainer.loggers if isinstance(logger, BackgroundLogger)), *pictures]


def registered(settings: RegistrySettings, scan: Scan, folder: Path) -> list[Any]:
    """Where models are, and what is said of changed outputs, of a small gain and of a gain that chance may give."""
    place = MlflowPlace.find(settings.registry, settings.wait_s)
    patches = torch.ones((1, 8, 8), dtype=torch.complex64)
    example = Example(torch.ones(1, 8, 8), patches[None], torch.ones(1, 8, 8), patches)
    outputs = compare_outputs(example, patches * 1.0005, settings.tolerance)
    errors = np.repeat(np.linspace(1, 2, 8)[:, None], 2, axis=1) * np.array([1.0, 0.8])
    compared = compare_errors([Errors(errors, 0.0)], settings)
    return [place.uri, place.wait_s, outputs.passed, compared.word, compared.reason]


def drifted(settings: DriftSettings, scan: Scan, folder: Path) -> list[Any]:
    """What is said of scans of which one feature, and the error, differ more and more from the reference."""

    def make(number: int) -> ScanFeatures:
        draw = np.random.default_rng(number)
        values = {name: draw.normal(0.02 * number, 1, 500) for name in FEATURES}
        return ScanFeatures(f"scan {number}", values, 0.2 + 0.01 * number, 0.1)

    reference = Reference.of("network", 100 * [make(0)])
    judged = [judge_drift(reference, make(number), settings) for number in range(40)]
    return [*(found.word for found in judged), *(shift.is_shifted for found in judged for shift in found.shifts)]


TRACES: dict[type[Settings], Trace] = {
    SimulationSettings: simulated,
    PretrainingSettings: planned,
    RefineSettings: refined,
    ModelSettings: answered,
    TrainingSettings: trained,
    TrainerSettings: equipped,
    InferenceSettings: inferred,
    DataSettings: read,
    TrackingSettings: tracked,
    RegistrySettings: registered,
    DriftSettings: drifted,
}


def same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(np.asarray(one), np.asarray(other)) for one, other in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def trace(uneven_scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], list[Any]]:
    """What comes out with some settings; the same settings are traced once."""
    known: dict[Settings, list[Any]] = {}
    folder = tmp_path_factory.mktemp("trace")

    def traced(settings: Settings) -> list[Any]:
        if settings not in known:
            known[settings] = TRACES[type(settings)](settings, uneven_scan, folder)
        return known[settings]

    return traced


def made(section: type[Settings], *values: Values) -> Settings:
    merged = dict(USUAL.get(section, {}))
    for more in values:
        merged |= more
    return section.from_dict(merged)


@pytest.mark.parametrize(("section", "name"), CASES)
def test_every_setting_changes_what_comes_out(
    section: type[Settings], name: str, trace: Callable[[Settings], list[Any]]
) -> None:
    beside = BESIDE.get((section, name), ({}, {}))[0]
    for value in other_values(section, name):
        changed = made(section, beside, {name: value})
        assert name not in changed.find_unused()
        assert not same(trace(made(section, beside)), trace(changed)), value


@pytest.mark.parametrize(("section", "name"), CONDITIONAL)
def test_a_setting_whose_condition_is_not_met_has_no_effect(
    section: type[Settings], name: str, trace: Callable[[Settings], list[Any]]
) -> None:
    beside = BESIDE[section, name][1]
    for value in other_values(section, name):
        changed = made(section, beside, {name: value})
        assert changed.find_unused().get(name, "").startswith(f"{section.__name__}.")
        assert same(trace(made(section, beside)), trace(changed)), value
