"""`train`: train a network on scans."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.shared import (
    add_resume,
    add_run_options,
    is_later_process,
    locate_model,
    prepare_run,
    print_results,
    read_input,
    require_data,
    show_progress,
)
from ptycho_torch.config import (
    DataSettings,
    Experiment,
    InferenceSettings,
    ModelSettings,
    RefineSettings,
    TrackingSettings,
    TrainerSettings,
    TrainingSettings,
)
from ptycho_torch.errors import require_torch
from ptycho_torch.runtime.logs import quiet_lightning
from ptycho_torch.runtime.trackers import require_trackers

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan
    from ptycho_torch.preflight import Plan

# the other settings of this section concern the polish, or have the name of a training setting
_REFINE = ("probe_modes",)
# the figure of the run record that compares runs
METRIC = "validation_loss"
# of a settings file
SECTIONS = ("data", "model", "training", "trainer", "inference", "refine", "tracking")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_training_options(parser)
    parser.add_argument(
        "--no_preflight", action="store_true", help="do not check a training on a GPU or a cluster before it starts"
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a training."""
    add_run_options(parser, "training_outputs")
    add_resume(parser)
    add_settings(parser, TrackingSettings)
    parser.add_argument(
        "--disable_mlflow", action="store_true", help="do not log to MLflow, even if MLFLOW_TRACKING_URI is set"
    )
    add_settings(parser, TrainingSettings)
    add_settings(parser, TrainerSettings)
    add_settings(parser, ModelSettings)
    add_settings(parser, RefineSettings, only=_REFINE)


def run(arguments: argparse.Namespace) -> None:
    """Read, train, write, and print where the files are."""
    from ptycho_torch.contracts.ptychodus.settings import find_settings, read_experiment

    settings_file = find_settings(arguments.data) if arguments.data else None
    asked = read_experiment(settings_file) if settings_file else None
    experiment = collect_experiment(arguments, asked.experiment if asked else Experiment())
    if arguments.print_config:
        print_experiment(experiment)
        return
    require_trackers(experiment.tracking, mlflow=not arguments.disable_mlflow)
    require_torch("lightning")
    scans = read_input(arguments, experiment.data, several=True)
    _check_run(arguments, experiment, scans)
    from ptycho_torch.contracts.legacy.workflows import train_network
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.models.archive import locate_bundle

    quiet_lightning()
    if asked:
        from ptycho_torch.contracts.ptychodus.scans import prepare

        # --warmup_steps replaces the file's epochs of warm-up
        epochs = asked.warmup_epochs if arguments.warmup_steps is None else 0
        scans, experiment = prepare(scans, replace(asked, experiment=experiment, warmup_epochs=epochs))
    _check_first(arguments, experiment, scans)
    result = train_network(
        scans,
        arguments.output_dir,
        experiment,
        device=arguments.device,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        track=not arguments.disable_mlflow,
        inputs=[*list_scan_files(arguments.data), *([settings_file] if settings_file else [])],
        options=arguments.asked,
        progress=None if arguments.quiet else show_progress,
    )
    from ptycho_torch.runtime.ranks import find_ranks

    if not find_ranks(experiment.trainer).is_first:
        return
    folder = arguments.output_dir
    paths = {"checkpoint": result.last, "best": result.best, "index": result.index, "bundle": locate_bundle(folder)}
    if scans[0].source is not None:
        from ptycho_torch.contracts.ptychodus.model import leave_model

        paths["model"] = leave_model(result, folder)
    files = {name: str(path.relative_to(folder)) for name, path in paths.items()}
    figures = {"steps": float(result.steps), "patterns_per_second": result.patterns_per_second}
    if result.validation_loss is not None:
        figures["validation_loss"] = result.validation_loss
    print_results(folder, files, {"training": figures})
    if "model" in paths:
        print(f"to reconstruct with it, copy {paths['model']} to {locate_model(arguments.data)}")


def collect_experiment(arguments: argparse.Namespace, base: Experiment) -> Experiment:
    """Collect the settings of a training from options and settings file, and those not given from `base`."""
    return Experiment(
        data=collect_settings(arguments, DataSettings),
        model=collect_settings(arguments, ModelSettings, base=base.model),
        training=collect_settings(arguments, TrainingSettings, base=base.training),
        trainer=collect_settings(arguments, TrainerSettings, base=base.trainer),
        inference=collect_settings(arguments, InferenceSettings, only=(), base=base.inference),
        refine=collect_settings(arguments, RefineSettings, only=_REFINE),
        tracking=collect_settings(arguments, TrackingSettings),
    )


def print_experiment(experiment: Experiment) -> None:
    """Print all settings of a training as a settings file."""
    print_config(**{section.name: getattr(experiment, section.name) for section in fields(experiment)})


def make_plan(arguments: argparse.Namespace, *, elsewhere: bool = False) -> Plan:
    """Describe the training of some options to the checks that are made before it starts.

    Args:
        arguments: the parsed options.
        elsewhere: whether it runs on another machine.

    Raises:
        ConfigError: no data were named.
    """
    require_data(arguments)
    return plan_training(arguments, collect_experiment(arguments, Experiment()), elsewhere=elsewhere)


def plan_training(arguments: argparse.Namespace, experiment: Experiment, *, elsewhere: bool = False) -> Plan:
    """Make the same description with settings that have been collected."""
    from ptycho_torch.preflight import Plan

    return Plan(
        experiment=experiment,
        data=arguments.data,
        probe=arguments.probe,
        output_dir=arguments.output_dir,
        device=arguments.device,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        mlflow=not arguments.disable_mlflow,
        elsewhere=elsewhere,
    )


def _check_first(arguments: argparse.Namespace, experiment: Experiment, scans: Sequence[Scan]) -> None:
    """Check a training on a GPU, or in a job, before it computes anything.

    Of several processes the first one does so: it may have begun to write when a later one gets here.

    Raises:
        ConfigError: it cannot work.
    """
    from ptycho_torch.preflight import check_all, require_passed
    from ptycho_torch.preflight.machine import is_job
    from ptycho_torch.runtime.device import find_device

    device = find_device(arguments.device, experiment.trainer.accelerator)
    if not arguments.no_preflight and not is_later_process() and (device.type == "cuda" or is_job()):
        require_passed(check_all([plan_training(arguments, experiment)], scans))


def _check_run(arguments: argparse.Namespace, experiment: Experiment, scans: Sequence[Scan]) -> None:
    """Check scans, output folder and checkpoint as far as possible before torch is loaded."""
    from ptycho_torch.models.record import check_any

    for scan in scans:
        scan.require_probe()
        if experiment.training.target == "object":
            scan.require_object()
    prepare_run(arguments)
    if arguments.resume:
        check_any(arguments.output_dir / "checkpoints")
