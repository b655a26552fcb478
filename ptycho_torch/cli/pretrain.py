"""`pretrain`: train a network on many simulated scans, with the probe that will be measured with."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from ptycho_torch.cli import train
from ptycho_torch.cli.command import Command
from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.record import TRAINED_BY, is_finished, train_step
from ptycho_torch.cli.shared import prepare_run, read_input, start_record
from ptycho_torch.config import Experiment, PretrainingSettings, SimulationSettings, TrainingSettings
from ptycho_torch.errors import ConfigError, require_torch
from ptycho_torch.runtime.run_record import read_results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ptycho_torch.preflight import Plan

METRIC = train.METRIC
# of a settings file
SECTIONS = ("simulation", "pretraining", *train.SECTIONS)
# the probes of simulated scans are exact
DEFAULTS = {"training": TrainingSettings(bootstrap_epochs=0)}
SCANS, NETWORK = "scans", "network"
_TRAIN = Command("train", train, "")
_OBJECTS = get_args(get_type_hints(SimulationSettings)["object"])
# what a given probe replaces
_OF_PROBE = ("probe", "probe_diameter_px")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: those of a training, whose data give the probe, and of the simulation."""
    train.add_arguments(parser)
    add_settings(parser, PretrainingSettings)
    add_settings(parser, SimulationSettings, prefix="simulation_")


def run(arguments: argparse.Namespace) -> None:
    """Simulate scans, train on them, write, and print where the files are."""
    pretraining = collect_settings(arguments, PretrainingSettings)
    simulation = collect_settings(arguments, SimulationSettings, prefix="simulation_")
    experiment = train.collect_experiment(arguments, Experiment(training=DEFAULTS["training"]))
    settings = {section.name: getattr(experiment, section.name) for section in fields(experiment)}
    if arguments.print_config:
        print_config(simulation=simulation, pretraining=pretraining, **settings)
        return
    require_torch("lightning")
    probe, inputs = _find_probe(arguments, experiment)
    if probe is not None:
        simulation = _fit(simulation, probe)
    from ptycho_torch.simulate.positions import find_extent

    find_extent(simulation)
    prepare_run(arguments)
    from ptycho_torch.formats.npz import write_scan
    from ptycho_torch.simulate.scan import simulate_scan
    from ptycho_torch.training.check import check_settings

    check_settings(experiment, simulation.patch_px, arguments.device)
    folder: Path = arguments.output_dir
    everything = {"simulation": simulation, "pretraining": pretraining, **settings}
    stored = {name: section.to_dict() for name, section in everything.items()}
    if is_finished(arguments, stored, inputs, fixed=("simulation", "pretraining", *TRAINED_BY)):
        return
    record = start_record(arguments, stored, inputs)
    for number, one in enumerate(plan_scans(simulation, pretraining)):
        write_scan(simulate_scan(one, probe), folder / SCANS / f"{number:05}.npz")
    options = {**_TRAIN.share_options(arguments), "data": str(folder / SCANS)}
    train_step(_TRAIN, {**options, "probe": None}, folder / NETWORK, settings)
    record.finish(results=read_results(folder / NETWORK), outputs={"scans": SCANS, "network": NETWORK})


def make_plan(arguments: argparse.Namespace, *, elsewhere: bool = False) -> Plan | None:
    """Describe the training to the checks that are made before it starts; None if its probe is not here."""
    given = arguments.probe or arguments.data
    if elsewhere and given is not None and not given.exists():
        return None
    experiment = train.collect_experiment(arguments, Experiment(training=DEFAULTS["training"]))
    simulation = collect_settings(arguments, SimulationSettings, prefix="simulation_")
    probe, _ = _find_probe(arguments, experiment)
    plan = train.plan_training(arguments, experiment, elsewhere=elsewhere)
    fitted = simulation if probe is None else _fit(simulation, probe)
    return replace(plan, data=None, probe=None, simulation=fitted, simulated_probe=probe)


def plan_scans(simulation: SimulationSettings, pretraining: PretrainingSettings) -> list[SimulationSettings]:
    """The settings of each simulated scan."""
    kinds = _OBJECTS if pretraining.objects == "mixed" else (simulation.object,)
    return [
        replace(simulation, object=kinds[number % len(kinds)], seed=simulation.seed + number)
        for number in range(pretraining.scans)
    ]


def _find_probe(
    arguments: argparse.Namespace, experiment: Experiment
) -> tuple[NDArray[np.complex64] | None, list[Path]]:
    """The probe that the options name, or that of the scan that they name, with its file; None without either."""
    import numpy as np

    from ptycho_torch.formats import list_scan_files, read_probe

    if arguments.data is not None:
        (scan,) = read_input(arguments, experiment.data)
        return scan.require_probe(), [*list_scan_files(arguments.data), *([arguments.probe] if arguments.probe else [])]
    if arguments.probe is None:
        return None, []
    probe = np.asarray(read_probe(arguments.probe))
    if probe.ndim not in (2, 3) or probe.shape[-1] != probe.shape[-2] or not np.isfinite(probe).all():
        raise ConfigError(f"{arguments.probe}: has shape {probe.shape}; a probe is finite, (h, w) or (mode, h, w)")
    return probe.reshape(-1, *probe.shape[-2:]).astype(np.complex64), [arguments.probe]


def _fit(simulation: SimulationSettings, probe: NDArray[np.complex64]) -> SimulationSettings:
    """Simulate patterns of the size of the probe; warn of settings that it replaces."""
    usual = SimulationSettings()
    same = {name: getattr(usual, name) for name in simulation.to_dict() if name not in _OF_PROBE}
    replace(simulation, **same).warn_unused(needs="there is neither a scan nor a probe")
    side = probe.shape[-1]
    if simulation.patch_px not in (usual.patch_px, side):
        raise ConfigError(f"SimulationSettings.patch_px is {simulation.patch_px}; the probe has {side} px")
    return replace(simulation, patch_px=side)
