"""`refine`: a scan to an object by the physics solver alone."""

from __future__ import annotations

import argparse

from ptycho_torch.cli.options import add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import (
    add_input,
    add_machine,
    add_output,
    bars,
    prepare_run,
    print_config,
    print_results,
    read_input,
)
from ptycho_torch.config import DataSettings, RefineSettings

# of a settings file
SECTIONS = ("data", "refine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_input(parser)
    add_output(parser, "refine_outputs")
    parser.add_argument(
        "--halves", action="store_true", help="also solve two halves of the scan and tell the resolution from them"
    )
    add_machine(parser)
    add_config(parser)
    add_settings(parser, RefineSettings)


def run(arguments: argparse.Namespace) -> int:
    """Read, solve, write; returns 3 where the result is not worth keeping."""
    settings = collect_settings(arguments, RefineSettings)
    reading = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=reading, refine=settings)
        return 0
    (scan,) = read_input(arguments, reading)
    scan.require_probe()
    prepare_run(arguments)
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.runtime.device import find_device
    from ptycho_torch.runtime.run_record import RunRecord
    from ptycho_torch.storage.writing import prepare_folder
    from ptycho_torch.workflows.outputs import write_result
    from ptycho_torch.workflows.refinement import refine_scan

    find_device(arguments.device)
    prepare_folder(arguments.output_dir, overwrite=arguments.overwrite)
    stored = {"data": reading.to_dict(), "refine": settings.to_dict()}
    record = RunRecord(arguments.output_dir, "refine", stored, list_scan_files(arguments.data))
    progress = None if arguments.quiet else bars()("refine", settings.epochs, "epoch")
    result = refine_scan(scan, settings, device=arguments.device, halves=arguments.halves, progress=progress)
    files = write_result(result, arguments.output_dir)
    record.finish(results=result.metrics, outputs=files)
    print_results(arguments.output_dir, files, {"refined": result.metrics})
    print(f"verdict: {result.verdict}")
    return 3 if result.verdict.word == "failed" else 0
