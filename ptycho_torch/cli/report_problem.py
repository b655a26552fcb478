"""`report-problem`: pack what helps to answer a question about a run into one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho_torch.cli.shared import add_quiet
from ptycho_torch.errors import ConfigError, OutputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", nargs="?", help="folder of a run, with its run.json")
    parser.add_argument(
        "--output", type=Path, default=Path("problem.zip"), metavar="FILE", help="file to write (default: problem.zip)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Collect, write, and print what is in the file."""
    if arguments.folder is None:
        raise ConfigError("the folder of a run must be named")
    from ptycho_torch.storage.writing import check_writable
    from ptycho_torch.workflows.problem import collect_problem, write_problem

    output: Path = arguments.output
    if output.suffix != ".zip":
        raise OutputError(f"{output}: the name must end in .zip")
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; name a file")
    if output.exists() and not arguments.overwrite:
        raise OutputError(f"{output}: already exists; name another file or add --overwrite")
    check_writable(output)
    members = collect_problem(arguments.folder)
    write_problem(members, output)
    for member in members:
        print(f"{member.name}: {member.meaning}")
    print(f"no data, paths, or names of users, computers and files; look into it before you send it: {output}")
