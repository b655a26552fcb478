"""What the commands have in common: input and output options, logging, progress bars."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli.options import add_settings
from ptycho_torch.config.schema import DataSettings

if TYPE_CHECKING:
    from ptycho_torch.runtime.progress import Progress, Stages


def add_input(parser: argparse.ArgumentParser) -> None:
    """Options that name a scan and say how to read it."""
    group = parser.add_argument_group("Input")
    group.add_argument(
        "--data",
        "--data_dir",
        "--ptycho_dir",
        dest="data",
        type=Path,
        required=True,
        metavar="PATH",
        help="NPZ file of a scan, a folder of them, or a folder with diffraction.h5 and product.h5",
    )
    group.add_argument(
        "--probe",
        "--probe_dir",
        dest="probe",
        type=Path,
        metavar="PATH",
        help="NPZ or NPY file of a probe, or a folder of them, to use instead of the scans' own",
    )
    add_settings(parser, DataSettings)


def default_checkpoint(data: Path) -> Path:
    """Where the model of a workflow directory lies; either the folder or a file in it names it."""
    from ptycho_torch.formats.ptychodus_folder import MODEL_NAME

    return (data if data.is_dir() else data.parent) / MODEL_NAME


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Options that say where results go and what may be replaced."""
    group = parser.add_argument_group("Output")
    group.add_argument(
        "--output_dir",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"new or empty folder (default: {default})",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in the folder")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Options that say where to compute."""
    group = parser.add_argument_group("Machine")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    group.add_argument("--threads", type=int, metavar="INT", help="processor threads (default: torch's choice)")
    group.add_argument("--quiet", action="store_true", help="no progress bars, only warnings")


def set_up_logging(*, quiet: bool) -> None:
    """Show this package's messages on standard error, other packages' only from warnings on."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("ptycho_torch").setLevel(logging.WARNING if quiet else logging.INFO)


def bars() -> Stages:
    """Progress bars on standard error, one for each stage."""
    from tqdm import tqdm

    def stage(name: str, length: int, unit: str) -> Progress:
        bar = tqdm(total=length, desc=name, unit=unit, file=sys.stderr, dynamic_ncols=True)

        def advance(done: int, error: float | None) -> None:
            if error is not None:
                bar.set_postfix_str(f"R {error:.4f}", refresh=False)
            bar.update(done - bar.n)
            if done >= length:
                bar.close()

        return advance

    return stage


def print_results(folder: Path, files: dict[str, str], figures: dict[str, dict[str, float]]) -> None:
    """Say on standard output what came out and where it is."""
    for name, values in figures.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    for name, path in files.items():
        print(f"{name}: {folder / path}")
