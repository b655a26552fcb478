"""`infer`: reconstruct a scan with a trained network."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.record import record_result
from ptycho_torch.cli.shared import (
    HARDWARE,
    MODELS,
    PLACE,
    add_run_options,
    add_saving,
    locate_model,
    prepare_run,
    read_input,
    show_progress,
)
from ptycho_torch.config import (
    DataSettings,
    Experiment,
    InferenceSettings,
    RefineSettings,
    RegistrySettings,
    TrainerSettings,
)
from ptycho_torch.errors import ConfigError

# the figure of the run record that compares runs
METRIC = "network.R"
# of a settings file
SECTIONS = ("data", "inference", "refine", "trainer", "registry")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_network(parser)
    add_run_options(parser, "inference_outputs")
    add_saving(parser)
    add_settings(parser, InferenceSettings)
    add_settings(parser, RefineSettings, prefix="polish_")
    add_settings(parser, TrainerSettings, only=HARDWARE)
    add_settings(parser, RegistrySettings, only=PLACE)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a trained network."""
    source = parser.add_argument_group("Network").add_mutually_exclusive_group()
    source.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="checkpoint of a trained network (default: model.ckpt in the folder of --data)",
    )
    source.add_argument(
        "--model_path",
        type=Path,
        metavar="PATH",
        help="bundle of a trained network, folder with wts.h5.zip, or registered model, models:/NAME@ALIAS or "
        "models:/NAME/VERSION",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, predict, polish, write; returns 3 if the reconstruction failed."""
    reading = collect_settings(arguments, DataSettings)
    trainer = collect_settings(arguments, TrainerSettings, only=HARDWARE)
    _collect(arguments, Experiment())  # unusable options are reported before any file is read
    scan = None if arguments.print_config else read_input(arguments, reading)[0]
    source = find_network(arguments)
    if scan:
        prepare_run(arguments)
    from ptycho_torch.models.bundle import open_network

    trained = open_network(source)
    inference, polish = _collect(arguments, trained.experiment)
    if scan is None:
        print_config(data=reading, inference=inference, refine=polish, trainer=trainer)
        return 0
    from ptycho_torch.workflows.reconstruction import check_size, describe_inference, reconstruct_scan

    check_size(trained, scan)
    probe = scan.probe if arguments.probe else None
    return record_result(
        arguments,
        {"data": reading, "inference": inference, "refine": polish},
        trainer,
        [source],
        describe_inference(trained, scan, probe, inference, polish),
        lambda saving: reconstruct_scan(
            trained,
            scan,
            inference=inference,
            polish=polish,
            probe=probe,
            device=arguments.device,
            trainer=trainer,
            progress=None if arguments.quiet else show_progress,
            saving=saving,
        ),
    )


def _collect(arguments: argparse.Namespace, trained: Experiment) -> tuple[InferenceSettings, RefineSettings]:
    """Collect settings from the options, and those not given from the training of the network."""
    return (
        collect_settings(arguments, InferenceSettings, base=trained.inference),
        collect_settings(arguments, RefineSettings, prefix="polish_", base=trained.refine),
    )


def find_network(arguments: argparse.Namespace) -> Path:
    """Find the file of the network that the options name, or that lies beside the data, and check it without torch."""
    from ptycho_torch.models.archive import locate_bundle, open_bundle
    from ptycho_torch.models.record import check_checkpoint

    registry = collect_settings(arguments, RegistrySettings, only=PLACE)
    if arguments.model_path and str(arguments.model_path).startswith(MODELS):
        from ptycho_torch.registry import locate_network

        return locate_network(str(arguments.model_path), registry)
    if arguments.model_path:
        open_bundle(arguments.model_path)
        return locate_bundle(arguments.model_path)
    checkpoint: Path | None = arguments.checkpoint or (arguments.data and locate_model(arguments.data))
    if checkpoint is None:
        raise ConfigError("no network was given; name one with --checkpoint or --model_path")
    if arguments.checkpoint is None and not checkpoint.is_file():
        raise ConfigError(
            f"{checkpoint}: does not exist; copy a model there, or name one with --checkpoint or --model_path"
        )
    check_checkpoint(checkpoint)
    return checkpoint
