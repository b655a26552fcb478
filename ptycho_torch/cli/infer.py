"""`infer`: a trained network and a scan to an object."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli.options import add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import (
    add_input,
    add_machine,
    add_output,
    bars,
    locate_model,
    prepare_run,
    print_config,
    print_results,
    read_input,
)
from ptycho_torch.config import DataSettings, Experiment, InferenceSettings, RefineSettings
from ptycho_torch.errors import ConfigError

if TYPE_CHECKING:
    from ptycho_torch.models.checkpoint import TrainedNetwork


# of a settings file
SECTIONS = ("data", "inference", "refine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
        help="bundle of a trained network, or the folder that holds wts.h5.zip",
    )
    add_input(parser)
    add_output(parser, "inference_outputs")
    add_machine(parser)
    add_config(parser)
    add_settings(parser, InferenceSettings)
    add_settings(parser, RefineSettings, prefix="polish_")


def run(arguments: argparse.Namespace) -> int:
    """Read, predict, polish, write; returns 3 where the result is not worth keeping."""
    reading = collect_settings(arguments, DataSettings)
    _chosen(arguments, Experiment())  # what is unusable whatever the network is told before anything is read
    scan = None if arguments.print_config else read_input(arguments, reading)[0]
    source = _source(arguments)
    if scan:
        prepare_run(arguments)
    trained = _load(source)
    inference, polish = _chosen(arguments, trained.experiment)
    if scan is None:
        print_config(data=reading, inference=inference, refine=polish)
        return 0
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.runtime.device import find_device
    from ptycho_torch.runtime.run_record import RunRecord
    from ptycho_torch.storage.writing import prepare_folder
    from ptycho_torch.workflows.outputs import write_result
    from ptycho_torch.workflows.reconstruction import check_size, reconstruct_scan

    find_device(arguments.device)
    check_size(trained, scan)
    prepare_folder(arguments.output_dir, overwrite=arguments.overwrite)
    stored = {"data": reading.to_dict(), "inference": inference.to_dict(), "polish": polish.to_dict()}
    record = RunRecord(arguments.output_dir, "infer", stored, [source, *list_scan_files(arguments.data)])
    result = reconstruct_scan(
        trained,
        scan,
        inference=inference,
        polish=polish,
        probe=scan.probe if arguments.probe else None,
        device=arguments.device,
        progress=None if arguments.quiet else bars(),
    )
    files = write_result(result, arguments.output_dir)
    record.finish(results=result.metrics, outputs=files)
    print_results(arguments.output_dir, files, result.metrics)
    print(f"verdict: {result.verdict}")
    return 3 if result.verdict.word == "failed" else 0


def _chosen(arguments: argparse.Namespace, trained: Experiment) -> tuple[InferenceSettings, RefineSettings]:
    """Options, and what a network was trained with where they are silent."""
    return (
        collect_settings(arguments, InferenceSettings, base=trained.inference),
        collect_settings(arguments, RefineSettings, prefix="polish_", base=trained.refine),
    )


def _source(arguments: argparse.Namespace) -> Path:
    """The file of the network that the options name, or that lies beside the data, checked without torch."""
    from ptycho_torch.models.archive import bundle_file, open_bundle
    from ptycho_torch.models.record import check_checkpoint

    if arguments.model_path:
        open_bundle(arguments.model_path)
        return bundle_file(arguments.model_path)
    checkpoint: Path | None = arguments.checkpoint or (arguments.data and locate_model(arguments.data))
    if checkpoint is None:
        raise ConfigError("there is no network; name one with --checkpoint or --model_path")
    if arguments.checkpoint is None and not checkpoint.is_file():
        raise ConfigError(f"there is no {checkpoint}; put one there, or name another with --checkpoint or --model_path")
    check_checkpoint(checkpoint)
    return checkpoint


def _load(source: Path) -> TrainedNetwork:
    from ptycho_torch.models.bundle import load_bundle
    from ptycho_torch.models.checkpoint import load_network

    return load_bundle(source) if source.suffix == ".zip" else load_network(source)
