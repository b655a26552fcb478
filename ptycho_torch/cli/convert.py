"""`convert`: read a scan in any format and write it in a canonical one."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import add_quiet
from ptycho_torch.config import DataSettings
from ptycho_torch.errors import ConfigError, OutputError

# of a settings file
SECTIONS = ("data",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="FILE", nargs="?", help="file or folder of a scan, in any format that is read"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file to write: .npz (canonical), .cxi (CXI 1.6), or .nxs (NXcxi_ptycho)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--probe", type=Path, metavar="PATH", help="file of a probe, or its name in the file")
    add_quiet(parser)
    add_config(parser)
    add_settings(parser, DataSettings)


def run(arguments: argparse.Namespace) -> None:
    """Read, write, and print what was written."""
    settings = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=settings)
        return
    if arguments.data is None or arguments.output is None:
        raise ConfigError("a file to read and --output, the file to write, must be named")
    from ptycho_torch.formats import read_one_scan
    from ptycho_torch.formats.find import WRITERS
    from ptycho_torch.storage.writing import check_writable

    output: Path = arguments.output
    write = WRITERS.get(output.suffix)
    if write is None:
        raise OutputError(f"{output}: the name must end in {', '.join(WRITERS)}")
    if output.exists() and not arguments.overwrite:
        raise OutputError(f"{output}: already exists; name another file or add --overwrite")
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; name a file")
    check_writable(output)
    scan = read_one_scan(arguments.data, settings, arguments.probe)
    write(scan, output)
    modes = 0 if scan.probe is None else len(scan.probe)
    print(
        f"{len(scan)} patterns of {scan.patch_px} px, {scan.photons_per_pattern:.4g} photons each, "
        f"{modes or 'no'} probe mode{'' if modes == 1 else 's'}: {output}"
    )
