"""`refine`: reconstruct a scan with the solver alone."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_settings, collect_settings
from ptycho_torch.cli.record import record_result
from ptycho_torch.cli.shared import (
    HARDWARE,
    add_run_options,
    add_saving,
    prepare_run,
    read_input,
    show_progress,
)
from ptycho_torch.config import DataSettings, RefineSettings, TrainerSettings

if TYPE_CHECKING:
    from ptycho_torch.runtime.saved_state import Saving

# the figure of the run record that compares runs
METRIC = "R"
# of a settings file
SECTIONS = ("data", "refine", "trainer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_options(parser, "refine_outputs")
    add_saving(parser)
    parser.add_argument(
        "--halves", action="store_true", help="also reconstruct two halves of the scan and estimate the resolution"
    )
    add_settings(parser, RefineSettings)
    add_settings(parser, TrainerSettings, only=HARDWARE)


def run(arguments: argparse.Namespace) -> int:
    """Read, reconstruct, write; returns 3 if the reconstruction failed."""
    settings = collect_settings(arguments, RefineSettings)
    reading = collect_settings(arguments, DataSettings)
    trainer = collect_settings(arguments, TrainerSettings, only=HARDWARE)
    if arguments.print_config:
        print_config(data=reading, refine=settings, trainer=trainer)
        return 0
    (scan,) = read_input(arguments, reading)
    prepare_run(arguments)
    from ptycho_torch.workflows.refinement import Refinement, describe_refinement, refine_scan

    def reconstruct(saving: Saving) -> Refinement:
        progress = None if arguments.quiet else show_progress("refine", settings.epochs, "epoch")
        options = {"halves": arguments.halves, "trainer": trainer, "progress": progress, "saving": saving}
        return refine_scan(scan, settings, device=arguments.device, **options)

    description = describe_refinement(scan, settings)
    return record_result(arguments, {"data": reading, "refine": settings}, trainer, [], description, reconstruct)
