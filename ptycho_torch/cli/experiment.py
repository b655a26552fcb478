"""`experiment`: simulate a scan or read one, train a network on it, and reconstruct it with the network."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli import infer, train
from ptycho_torch.cli.command import Command
from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.record import TRAINED_BY, find_recorded_code, is_finished, train_step
from ptycho_torch.cli.shared import prepare_run, read_input, start_record
from ptycho_torch.config import Experiment, InferenceSettings, RefineSettings, SimulationSettings
from ptycho_torch.errors import require_torch
from ptycho_torch.runtime.run_record import read_results
from ptycho_torch.storage.writing import RECORD_NAME

if TYPE_CHECKING:
    from ptycho_torch.preflight import Plan

METRIC = infer.METRIC
# of a settings file
SECTIONS = ("simulation", *train.SECTIONS)
SCAN, NETWORK, RECONSTRUCTION = "scan.npz", "network", "reconstruction"
# probe_modes is an option of the training too
_POLISH = tuple(name for name in RefineSettings.find_types() if name != "probe_modes")
_TRAIN, _INFER = Command("train", train, ""), Command("infer", infer, "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: those of a training, of the simulation, and of the polish."""
    train.add_arguments(parser)
    add_settings(parser, InferenceSettings, prefix="inference_")
    add_settings(parser, RefineSettings, prefix="polish_", only=_POLISH)
    add_settings(parser, SimulationSettings, prefix="simulation_")


def run(arguments: argparse.Namespace) -> int:
    """Simulate or read, train, reconstruct, write; returns 3 if the reconstruction failed."""
    simulation = collect_settings(arguments, SimulationSettings, prefix="simulation_")
    experiment = _collect(arguments)
    settings = {section.name: getattr(experiment, section.name) for section in fields(experiment)}
    if arguments.print_config:
        print_config(simulation=simulation, **settings)
        return 0
    require_torch("lightning")
    scan = read_input(arguments, experiment.data)[0] if arguments.data else None
    from ptycho_torch.simulate.positions import find_extent

    if scan is None:
        find_extent(simulation)
    prepare_run(arguments)
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.formats.npz import write_scan
    from ptycho_torch.training.check import check_settings

    check_settings(experiment, scan.patch_px if scan else simulation.patch_px, arguments.device)
    from ptycho_torch.simulate.scan import simulate_scan

    if scan is None:
        scan, inputs = simulate_scan(simulation), []
    else:
        simulation.warn_unused(needs="no scan is given")
        scan.require_probe()
        inputs = list_scan_files(arguments.data)
    folder: Path = arguments.output_dir
    everything = {"simulation": simulation, **settings}
    stored = {name: section.to_dict() for name, section in everything.items()}
    if is_finished(arguments, stored, inputs, fixed=("simulation", *TRAINED_BY)):
        return find_recorded_code(folder / RECONSTRUCTION)
    record = start_record(arguments, stored, inputs)
    if arguments.data is None:
        write_scan(scan, folder / SCAN)
    data, network, result = str(arguments.data or folder / SCAN), folder / NETWORK, folder / RECONSTRUCTION
    train_step(_TRAIN, {**_TRAIN.share_options(arguments), "data": data}, network, settings)
    checkpoint = {"checkpoint": str(network / "checkpoints" / "last.ckpt"), "output_dir": str(result)}
    again = {"resume": (result / RECORD_NAME).exists()}
    code = _INFER.call({**_INFER.share_options(arguments), "data": data, **checkpoint, **again}, settings)
    if code > 3:
        record.finish(status="interrupted")
        return code
    results = {"training": read_results(network), **read_results(result)}
    record.finish(results=results, outputs={"network": NETWORK, "reconstruction": RECONSTRUCTION})
    return code


def make_plan(arguments: argparse.Namespace, *, elsewhere: bool = False) -> Plan:
    """Describe the training of an experiment to the checks that are made before it starts."""
    plan = train.plan_training(arguments, _collect(arguments), elsewhere=elsewhere)
    return replace(plan, simulation=collect_settings(arguments, SimulationSettings, prefix="simulation_"))


def _collect(arguments: argparse.Namespace) -> Experiment:
    """Collect the settings of training, inference and polish."""
    training = train.collect_experiment(arguments, Experiment())
    polish = collect_settings(arguments, RefineSettings, prefix="polish_", only=_POLISH)
    return replace(
        training,
        inference=collect_settings(arguments, InferenceSettings, prefix="inference_"),
        refine=replace(polish, probe_modes=training.refine.probe_modes),
    )
