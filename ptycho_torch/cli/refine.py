"""`refine`: reconstruct a scan with the solver alone."""

from __future__ import annotations

import argparse

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.shared import (
    add_run_options,
    prepare_run,
    read_input,
    record_result,
    show_progress,
)
from ptycho_torch.config import DataSettings, RefineSettings

# of a settings file
SECTIONS = ("data", "refine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_options(parser, "refine_outputs")
    parser.add_argument(
        "--halves", action="store_true", help="also reconstruct two halves of the scan and estimate the resolution"
    )
    add_settings(parser, RefineSettings)


def run(arguments: argparse.Namespace) -> int:
    """Read, reconstruct, write; returns 3 if the reconstruction failed."""
    settings = collect_settings(arguments, RefineSettings)
    reading = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=reading, refine=settings)
        return 0
    (scan,) = read_input(arguments, reading)
    prepare_run(arguments)
    from ptycho_torch.workflows.refinement import Refinement, refine_scan

    def reconstruct() -> Refinement:
        progress = None if arguments.quiet else show_progress("refine", settings.epochs, "epoch")
        return refine_scan(scan, settings, device=arguments.device, halves=arguments.halves, progress=progress)

    return record_result(arguments, {"data": reading, "refine": settings}, [], reconstruct)
