"""What the commands have in common: input, output and machine, logging, progress bars."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ptycho_torch.cli.options import add_settings, in_users_words
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.schema import DataSettings
from ptycho_torch.errors import ConfigError, require_torch
from ptycho_torch.runtime.device_name import check_device_name
from ptycho_torch.runtime.threads import MOST_THREADS, set_threads

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan
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
    from ptycho_torch.contracts.ptychodus.settings import MODEL_NAME

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
    add_device(group)
    group.add_argument(
        "--threads",
        type=_threads,
        metavar="INT",
        help="processor threads, or free: the cores that other processes leave idle, which may change a result's last "
        "bits (default: torch's choice)",
    )
    group.add_argument("--quiet", action="store_true", help="no progress bars, only warnings")


def add_device(group: argparse._ActionsContainer) -> None:
    """The option that names a device."""
    group.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def _device(text: str) -> str:
    try:
        return check_device_name(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _threads(text: str) -> int | Literal["free"]:
    if text == "free":
        return "free"
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_THREADS:
        raise argparse.ArgumentTypeError(
            f"{text!r} threads; a number of at least 1 and at most {MOST_THREADS}, or free, works"
        )
    return int(text)


def read_scans_first(arguments: argparse.Namespace, reading: DataSettings, *, several: bool = False) -> list[Scan]:
    """Read the scans while torch is not loaded yet, so that a file that cannot be used is refused at once.

    Raises:
        PtychoError: torch is not installed, or the scans, their probes or the settings cannot be used.
    """
    if arguments.data is None:
        raise ConfigError("--data is missing; name a file or a folder of measured data")
    require_torch()
    from ptycho_torch.formats import read_one_scan, read_scans

    if several:
        return read_scans(arguments.data, reading, arguments.probe)
    return [read_one_scan(arguments.data, reading, arguments.probe)]


def prepare_run(arguments: argparse.Namespace) -> None:
    """Check the output folder without touching it, then say how many threads torch gets when it is loaded.

    Raises:
        OutputError: the folder is in use or cannot be written.
    """
    from ptycho_torch.storage.writing import check_folder

    check_folder(arguments.output_dir, overwrite=arguments.overwrite)
    set_threads(arguments.threads)


def print_config(**sections: Settings) -> None:
    """Show settings as a file that `--config` reads back."""
    from ptycho_torch.cli.config_file import write_config

    print(write_config(sections), end="")


class _Formatter(logging.Formatter):
    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__("%(message)s")
        self._arguments = arguments

    def format(self, record: logging.LogRecord) -> str:
        return in_users_words(super().format(record), self._arguments)


def set_up_logging(arguments: argparse.Namespace) -> None:
    """Show this package's messages on standard error, in the user's words, other packages' only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(arguments))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ptycho_torch").setLevel(logging.WARNING if arguments.quiet else logging.INFO)


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
