"""`simulate`: simulate a scan."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import add_quiet
from ptycho_torch.config import SimulationSettings
from ptycho_torch.errors import OutputError, require_torch
from ptycho_torch.runtime.threads import set_threads

# of a settings file
SECTIONS = ("simulation",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("scan.npz"),
        metavar="PATH",
        help="NPZ file, or, if the name does not end in .npz, folder for diffraction.h5, product.h5 (with the true "
        "object) and settings.ini in the formats of Ptychodus (default: scan.npz)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_quiet(parser)
    add_config(parser)
    add_settings(parser, SimulationSettings)


def run(arguments: argparse.Namespace) -> None:
    """Simulate and write."""
    settings = collect_settings(arguments, SimulationSettings)
    if arguments.print_config:
        print_config(simulation=settings)
        return
    require_torch()
    from ptycho_torch.contracts.ptychodus.settings import folder_files, write_folder
    from ptycho_torch.formats.npz import write_scan
    from ptycho_torch.runtime.run_record import RunRecord
    from ptycho_torch.storage.writing import check_writable

    output: Path = arguments.output
    is_file = output.suffix == ".npz"
    if not is_file and output.is_file():
        raise OutputError(f"{output}: is a file; the name must end in .npz, or be that of a folder")
    place = output.with_suffix(".run.json") if is_file else output / "simulation.run.json"
    for path in [*([output] if is_file else folder_files(output)), place]:
        if path.exists() and not arguments.overwrite:
            raise OutputError(f"{path}: already exists; name another file or folder, or add --overwrite")
    check_writable(output)
    set_threads()
    from ptycho_torch.simulate.scan import simulate_scan

    scan = simulate_scan(settings)
    stored = {"simulation": settings.to_dict()}
    record = RunRecord(place.parent, "simulate", stored, [], options=arguments.asked, name=place.name)
    (write_scan if is_file else write_folder)(scan, output)
    record.finish(results={"patterns": len(scan), "photons_per_pattern": scan.photons_per_pattern})
    print(
        f"{len(scan)} patterns of {scan.patch_px} px, {scan.photons_per_pattern:.4g} photons each: {arguments.output}"
    )
