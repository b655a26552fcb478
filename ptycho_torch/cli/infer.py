"""`infer`: a trained network and a scan to an object."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli.options import add_settings, settings_from
from ptycho_torch.cli.shared import add_input, add_machine, add_output, bars, default_checkpoint, print_results
from ptycho_torch.config import DataSettings, InferenceSettings, RefineSettings
from ptycho_torch.errors import ConfigError

if TYPE_CHECKING:
    from ptycho_torch.models.checkpoint import TrainedNetwork


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
    add_settings(parser, InferenceSettings)
    add_settings(parser, RefineSettings, prefix="polish_")


def run(arguments: argparse.Namespace) -> None:
    """Read, predict, polish, write."""
    reading = settings_from(arguments, DataSettings)
    from ptycho_torch.formats import read_one_scan, scan_files
    from ptycho_torch.runtime.device import find_device, limit_threads
    from ptycho_torch.runtime.run_record import RunRecord
    from ptycho_torch.storage.writing import claim_folder
    from ptycho_torch.workflows.reconstruction import check_size, reconstruct_scan, write_reconstruction

    limit_threads(arguments.threads)
    find_device(arguments.device)
    source, trained = _network(arguments)
    inference = settings_from(arguments, InferenceSettings, base=trained.experiment.inference)
    polish = settings_from(arguments, RefineSettings, prefix="polish_", base=trained.experiment.refine)
    scan = read_one_scan(arguments.data, reading, arguments.probe)
    check_size(trained, scan)
    claim_folder(arguments.output_dir, overwrite=arguments.overwrite)
    stored = {"data": reading.to_dict(), "inference": inference.to_dict(), "polish": polish.to_dict()}
    record = RunRecord(arguments.output_dir, "infer", stored, [source, *scan_files(arguments.data)])
    result = reconstruct_scan(
        trained,
        scan,
        inference=inference,
        polish=polish,
        probe=scan.probe if arguments.probe else None,
        device=arguments.device,
        progress=None if arguments.quiet else bars(),
    )
    files = write_reconstruction(result, arguments.output_dir)
    record.finish(results=result.metrics, outputs=files)
    print_results(arguments.output_dir, files, result.metrics)


def _network(arguments: argparse.Namespace) -> tuple[Path, TrainedNetwork]:
    """The network that the options name, or that lies beside the data, and the file it is from."""
    from ptycho_torch.models.archive import bundle_file
    from ptycho_torch.models.bundle import load_bundle
    from ptycho_torch.models.checkpoint import load_network

    if arguments.model_path:
        return bundle_file(arguments.model_path), load_bundle(arguments.model_path)
    checkpoint = arguments.checkpoint or default_checkpoint(arguments.data)
    if arguments.checkpoint is None and not checkpoint.is_file():
        raise ConfigError(f"there is no {checkpoint}; put one there, or name another with --checkpoint or --model_path")
    return checkpoint, load_network(checkpoint)
