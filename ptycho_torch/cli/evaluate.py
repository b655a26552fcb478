"""`evaluate`: the final report of a result of any program on a scan, also on one that it was not made from."""

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
    group = parser.add_argument_group("Result")
    group.add_argument(
        "--result",
        type=Path,
        metavar="PATH",
        help="folder of a run, or the result of any program: NPZ, NPY, product of Ptychodus, .ptyr, HDF5 of PtyRAD, "
        ".mat of PtychoShelves; without a probe in it, that of the scan is taken",
    )
    group.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="true object, or a better result, to compare with (default: that of the scan, if it has one)",
    )
    group.add_argument(
        "--half",
        type=Path,
        metavar="PATH",
        help="result of the other half of the data, if --result is of one half: gives the resolution",
    )
    add_run_options(parser, "evaluation_outputs")


def run(arguments: argparse.Namespace) -> int:
    """Read, compare, write; returns 3 if the reconstruction failed."""
    reading = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=reading)
        return 0
    if arguments.result is None:
        raise ConfigError("--result is missing; it must name the folder or the file of a result")
    (scan,) = read_input(arguments, reading)
    prepare_run(arguments)
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.formats.results import list_result_files, read_halves, read_result, read_truth
    from ptycho_torch.workflows.evaluation import evaluate_result, write_evaluation

    result = read_result(arguments.result)
    truth = read_truth(arguments.truth) if arguments.truth else None
    half = read_result(arguments.half) if arguments.half else None
    halves = read_halves(arguments.result)
    # before a folder is made
    found = evaluate_result(result, scan, truth=truth, half=half, halves=halves, device=arguments.device)
    named = [place for place in (arguments.result, arguments.truth, arguments.half) if place]
    files = [file for place in named for file in list_result_files(place)]
    record = start_record(arguments, {"data": reading.to_dict()}, [*files, *list_scan_files(arguments.data)])
    written = write_evaluation(found, arguments.output_dir)
    record.finish(results=found.figures, outputs=written)
    print_results(arguments.output_dir, written, {"result": found.figures})
    print(f"verdict: {found.verdict}")
    return 3 if found.verdict.word == "failed" else 0
