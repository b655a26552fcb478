"""`train`: train a network on scans."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.shared import (
    add_run_options,
    locate_model,
    prepare_run,
    print_results,
    read_input,
    show_progress,
)
from ptycho_torch.config import (
    DataSettings,
    Experiment,
    InferenceSettings,
    ModelSettings,
    RefineSettings,
    TrainerSettings,
    TrainingSettings,
)
from ptycho_torch.errors import ConfigError, require_torch
from ptycho_torch.runtime.logs import quiet_lightning
from ptycho_torch.runtime.threads import set_threads

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan

# the other settings of this section concern the polish, or have the name of a training setting
_REFINE = ("probe_modes",)
# of a settings file
SECTIONS = ("data", "model", "training", "trainer", "inference", "refine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_options(parser, "training_outputs")
    parser.add_argument("--resume", action="store_true", help="continue the run in the output folder")
    parser.add_argument(
        "--disable_mlflow", action="store_true", help="do not log to MLflow, even if MLFLOW_TRACKING_URI is set"
    )
    add_settings(parser, TrainingSettings)
    add_settings(parser, TrainerSettings)
    add_settings(parser, ModelSettings)
    add_settings(parser, RefineSettings, only=_REFINE)


def run(arguments: argparse.Namespace) -> None:
    """Read, train, write, and print where the files are."""
    if arguments.resume and arguments.overwrite:
        raise ConfigError("--resume and --overwrite exclude each other; go on with the run, or replace it")
    from ptycho_torch.contracts.ptychodus.settings import find_settings, leave_model, read_experiment

    settings_file = find_settings(arguments.data) if arguments.data else None
    asked = read_experiment(settings_file) if settings_file else None
    base = asked.experiment if asked else Experiment()
    experiment = Experiment(
        data=collect_settings(arguments, DataSettings),
        model=collect_settings(arguments, ModelSettings, base=base.model),
        training=collect_settings(arguments, TrainingSettings, base=base.training),
        trainer=collect_settings(arguments, TrainerSettings, base=base.trainer),
        inference=collect_settings(arguments, InferenceSettings, only=(), base=base.inference),
        refine=collect_settings(arguments, RefineSettings, only=_REFINE),
    )
    if arguments.print_config:
        print_config(**{section.name: getattr(experiment, section.name) for section in fields(experiment)})
        return
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
    result = train_network(
        scans,
        arguments.output_dir,
        experiment,
        device=arguments.device,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        track=not arguments.disable_mlflow,
        inputs=[*list_scan_files(arguments.data), *([settings_file] if settings_file else [])],
        progress=None if arguments.quiet else show_progress,
    )
    folder = arguments.output_dir
    paths = {"checkpoint": result.last, "best": result.best, "index": result.index, "bundle": locate_bundle(folder)}
    if scans[0].source is not None:
        paths["model"] = leave_model(result, folder)
    files = {name: str(path.relative_to(folder)) for name, path in paths.items()}
    figures = {"steps": float(result.steps), "patterns_per_second": result.patterns_per_second}
    if result.validation_loss is not None:
        figures["validation_loss"] = result.validation_loss
    print_results(folder, files, {"training": figures})
    if "model" in paths:
        print(f"to reconstruct with it, copy {paths['model']} to {locate_model(arguments.data)}")


def _check_run(arguments: argparse.Namespace, experiment: Experiment, scans: Sequence[Scan]) -> None:
    """Check scans, output folder and checkpoint as far as possible before torch is loaded."""
    from ptycho_torch.models.record import check_checkpoint
    from ptycho_torch.runtime.run_record import check_run

    for scan in scans:
        scan.require_probe()
        if experiment.training.target == "object":
            scan.require_object()
    if arguments.resume:
        check_run(arguments.output_dir)
        check_checkpoint(arguments.output_dir / "checkpoints" / "last.ckpt")
        set_threads(arguments.threads)
    else:
        prepare_run(arguments)
