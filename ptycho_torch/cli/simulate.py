"""`simulate`: a scan to try things with."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.options import add_settings, settings_from
from ptycho_torch.config.schema import SimulationSettings
from ptycho_torch.errors import OutputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--output", type=Path, default=Path("scan.npz"), metavar="FILE", help="NPZ file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.add_argument("--quiet", action="store_true", help="only warnings")
    add_settings(parser, SimulationSettings)


def run(arguments: argparse.Namespace) -> None:
    """Simulate and write."""
    settings = settings_from(arguments, SimulationSettings)
    if arguments.output.exists() and not arguments.overwrite:
        raise OutputError(f"{arguments.output}: is there already; name another file or add --overwrite")
    from ptycho_torch.data.writer import write_scan
    from ptycho_torch.simulate.scan import simulate_scan

    scan = simulate_scan(settings)
    write_scan(scan, arguments.output)
    print(
        f"{len(scan)} patterns of {scan.patch_px} px, {scan.photons_per_pattern:.4g} photons each: {arguments.output}"
    )
