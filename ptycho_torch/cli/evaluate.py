"""`evaluate`: the figures of merit of a result on a scan, also on one that it was not made from."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import collect_settings
from ptycho_torch.cli.shared import add_run_options, prepare_run, print_results, read_input, start_record
from ptycho_torch.config import DataSettings
from ptycho_torch.errors import ConfigError

# the figure of the run record that compares runs
METRIC = "R"
# of a settings file
SECTIONS = ("data",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--result",
        type=Path,
        metavar="PATH",
        help="folder of a result with object.npz and probe.npy, or an object.npz, to which the scan's probe belongs",
    )
    add_run_options(parser, "evaluation_outputs")


def run(arguments: argparse.Namespace) -> int:
    """Read, compare, write; returns 3 if the reconstruction failed."""
    reading = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=reading)
        return 0
    if arguments.result is None:
        raise ConfigError("--result is missing; it must name the folder of a result, or its object.npz")
    (scan,) = read_input(arguments, reading)
    prepare_run(arguments)
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.workflows.evaluation import evaluate_result, find_result_files, read_result, write_evaluation

    result = read_result(arguments.result, scan)
    files = [*find_result_files(arguments.result), *list_scan_files(arguments.data)]
    record = start_record(arguments, {"data": reading.to_dict()}, files)
    found = evaluate_result(result, scan, device=arguments.device)
    written = write_evaluation(found, result, scan, arguments.output_dir)
    record.finish(results=found.figures, outputs=written)
    print_results(arguments.output_dir, written, {"result": found.figures})
    print(f"verdict: {found.verdict}")
    return 3 if found.verdict.word == "failed" else 0
