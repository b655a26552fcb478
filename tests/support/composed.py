"""Every configuration that can be composed, found from the stages and the groups, and its parts built on the CPU."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from ptycho_torch.config import Experiment, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.predict import Predictor
from ptycho_torch.networks.build import build_network
from ptycho_torch.run.compose import CONFIGURATIONS, Composer, Configuration, open_composer
from ptycho_torch.run.launch import make_launcher
from ptycho_torch.run.nodes import DEFAULT, list_groups
from ptycho_torch.run.stages import STAGES
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine
from ptycho_torch.training.build import build_module
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import build_trainer

# eight patterns, in one process on the processor
BRIEF = {
    "simulation": ("object_px=96", "path=spiral", "step_px=9.2", "probe_diameter_px=20"),
    "pretraining": ("scans=1",),
    "training": ("steps=2", "epochs=1", "batch_size=2", "bootstrap_epochs=1", "max_minutes=null"),
    "trainer": ("accelerator=cpu", "devices=1", "nodes=1", "workers=0", "compile=false", "find_batch_size=false"),
    "refine": ("epochs=1",),
}


@dataclass(frozen=True)
class Case:
    """One configuration: a stage with an option of one of its groups, or its base configuration."""

    stage: str
    override: str | None = None

    def __str__(self) -> str:
        return f"{self.stage}-{self.override or 'base'}"


def shorten(stage: str) -> list[str]:
    """Overrides that make a run of a stage as short as it can be."""
    sections = STAGES[stage].sections
    return [f"{name}.{text}" for name, texts in BRIEF.items() if name in sections for text in texts]


def list_options(composer: Composer) -> Iterator[tuple[str, str]]:
    """Every option of every group of a stage; `run` has one for each stage and is no choice."""
    for entry in list_groups(composer.stage):
        for group in entry if isinstance(entry, dict) else ():
            if group != "run":
                yield from ((group, option) for option in composer.list_options(group))


def list_cases(folder: Path | None = None) -> list[Case]:
    """The base configuration of every stage, and every option of every group once, in a stage that has the group."""
    cases, seen = [Case(stage) for stage in STAGES], set()
    for stage in sorted(STAGES, key=lambda name: len(STAGES[name].sections)):
        with open_composer(STAGES[stage], folder=folder) as composer:
            for group, option in list_options(composer):
                # the defaults are those of the base configurations
                if (group, option) not in seen and option != DEFAULT:
                    seen.add((group, option))
                    cases.append(Case(stage, f"{group}={option}"))
    return cases


def list_base_files(folder: Path = CONFIGURATIONS) -> list[Path]:
    """Files that are whole configurations: those beside the folders of the groups."""
    return sorted(folder.glob("*.yaml"))


def compose_case(case: Case, folder: Path | None = None) -> Configuration:
    """Compose a case, made short."""
    with open_composer(STAGES[case.stage], folder=folder) as composer:
        return composer.resolve([*([case.override] if case.override else []), *shorten(case.stage)])


@functools.cache
def simulate(settings: SimulationSettings) -> Scan:
    return simulate_scan(settings)


@dataclass(frozen=True)
class Parts:
    """What a configuration builds.

    Attributes:
        objects: module, data and trainer of Lightning, if the stage trains; otherwise what it computes with.
        output: object patches or an object, complex.
        expected_shape: the shape that the output must have.
    """

    objects: tuple[Any, ...]
    output: np.ndarray[Any, Any]
    expected_shape: tuple[int, ...]


def build_parts(configuration: Configuration, folder: Path) -> Parts:
    """Build the parts of a configuration and compute once with them."""
    make_launcher(configuration)
    sections = configuration.sections
    simulation = sections.get("simulation") or SimulationSettings(object_px=96, path="spiral", step_px=9.2)
    assert isinstance(simulation, SimulationSettings)
    scan = simulate(simulation)
    assert 4 <= len(scan) <= 8
    names = ("data", "model", "training", "trainer", "inference", "refine")
    experiment = Experiment(**{name: sections[name] for name in names if name in sections})  # type: ignore[arg-type]
    if "training" in sections:
        return _train(scan, experiment, folder)
    if "inference" in sections:
        generator = build_network(experiment, scan.patch_px)
        predictor = Predictor(generator, scan.require_probe(), scan.photons_per_pattern, torch.device("cpu"))
        patches = predictor.predict_patches(scan, slice(0, 4)).numpy()
        return Parts((generator,), patches, scan.counts[:4].shape)
    if "refine" in sections:
        solution = refine(scan, replace(experiment.refine, epochs=1), device=torch.device("cpu"))
        return Parts((solution,), solution.probe, (experiment.refine.probe_modes, *scan.counts.shape[1:]))
    return Parts((scan,), scan.counts.astype(np.complex64), (len(scan), scan.patch_px, scan.patch_px))


def _train(scan: Scan, experiment: Experiment, folder: Path) -> Parts:
    with warnings.catch_warnings(action="ignore"):  # of Lightning, about devices
        data = ScanDataModule([scan], experiment.training)
        module: lightning.LightningModule = build_module(
            experiment, [scan.require_probe()], [scan.photons_per_pattern], [scan.good_pixels], data.main_steps
        )
        trainer = build_trainer(data, experiment, folder, device=torch.device("cpu"), track=False, bar=False)
    counts = torch.from_numpy(scan.counts[:4].copy())[None]
    with torch.inference_mode():
        patches = module(counts, torch.zeros(1, dtype=torch.int64))[0]
    return Parts((module, data, trainer), patches.numpy(), scan.counts[:4].shape)
