"""What the commands share: options for input, output and machine, the run record, logging, progress bars."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ptycho_torch.cli.options import add_config, add_settings, restore_names
from ptycho_torch.config import DataSettings, RefineSettings
from ptycho_torch.errors import ConfigError, require_torch
from ptycho_torch.runtime.device_name import check_device_name
from ptycho_torch.runtime.messages import make_line
from ptycho_torch.runtime.threads import MOST_THREADS, set_threads

# settings of the trainer that concern a reconstruction
HARDWARE = ("accelerator", "devices", "nodes")
# settings of the registry that tell where it is
PLACE = ("registry", "wait_s")
# what the name of a registered model begins with where a file can stand as well
MODELS = "models:/"

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan
    from ptycho_torch.runtime.progress import Progress
    from ptycho_torch.runtime.run_record import RunRecord


def add_run_options(parser: argparse.ArgumentParser, output_dir: str) -> None:
    """Add the options of a command that reads scans and writes a folder of results, by default `output_dir`."""
    add_input(parser)
    add_output(parser, output_dir)
    add_machine(parser)
    add_config(parser)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that reads scans."""
    group = parser.add_argument_group("Input")
    group.add_argument(
        "--data",
        "--data_dir",
        "--ptycho_dir",
        dest="data",
        type=Path,
        metavar="PATH",
        help="file or folder of a scan, in any format of docs/formats.md, or folder of such files",
    )
    group.add_argument(
        "--probe",
        "--probe_dir",
        dest="probe",
        type=Path,
        metavar="PATH",
        help="file of a probe (NPY, NPZ, MATLAB, HDF5, .ptyr), folder of such files, or name of an array in the scan's "
        "file; replaces the probes of the scans",
    )
    add_settings(parser, DataSettings)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add the options of where and how to compute."""
    group = parser.add_argument_group("Machine")
    add_device(group)
    group.add_argument(
        "--threads",
        type=_parse_threads,
        metavar="INT",
        help="number of processor threads, or free: as many as other processes leave idle cores, which may change the "
        "last bits of a result (default: torch's choice)",
    )
    add_quiet(group)


def locate_model(data: Path) -> Path:
    """Where the model of a workflow directory lies; either the folder or a file in it names it."""
    from ptycho_torch.contracts.ptychodus.settings import MODEL_NAME

    return (data if data.is_dir() else data.parent) / MODEL_NAME


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options for the folder of the results."""
    group = parser.add_argument_group("Output")
    group.add_argument(
        "--output_dir",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"new or empty folder for the results (default: {default})",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in the folder")


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Add the option to go on with a run that was ended."""
    parser.add_argument("--resume", action="store_true", help="continue the run in the output folder")


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Add the options of a reconstruction that is saved as it goes."""
    add_resume(parser)
    parser.add_argument(
        "--live",
        type=_parse_epochs,
        metavar="EPOCHS",
        help="draw object, probe and R into live.png after every so many epochs",
    )


def add_quiet(group: argparse._ActionsContainer) -> None:
    """Add the option that suppresses everything but warnings."""
    group.add_argument("--quiet", action="store_true", help="show warnings only, no progress")


def add_device(group: argparse._ActionsContainer) -> None:
    """Add the option for the device to compute on."""
    group.add_argument("--device", type=_parse_device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def _parse_device(text: str) -> str:
    try:
        return check_device_name(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_epochs(text: str) -> int:
    problem = RefineSettings.find_problem("epochs", int(text[:12])) if text.isdecimal() else "it must be an integer"
    if problem:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of epochs; it must be at least 1")
    return int(text)


def _parse_threads(text: str) -> int | Literal["free"]:
    if text == "free":
        return "free"
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_THREADS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of threads; it must be at least 1 and at most {MOST_THREADS}, or free"
        )
    return int(text)


def require_data(arguments: argparse.Namespace) -> None:
    """Raise ConfigError if the options name no scan."""
    if arguments.data is None:
        raise ConfigError("--data is missing; it must name a file or a folder of measured data")


def read_input(arguments: argparse.Namespace, reading: DataSettings, *, several: bool = False) -> list[Scan]:
    """Read scans before torch is loaded, so that an unusable file is refused without delay.

    Raises:
        PtychoError: torch is not installed, or the scans, their probes or the settings are unusable.
    """
    require_data(arguments)
    require_torch()
    from ptycho_torch.formats import read_one_scan, read_scans

    if several:
        return read_scans(arguments.data, reading, arguments.probe)
    return [read_one_scan(arguments.data, reading, arguments.probe)]


def prepare_run(arguments: argparse.Namespace) -> None:
    """Check the output folder without changing it, then set the number of threads that torch will use.

    Raises:
        OutputError: the folder is in use or cannot be written, or contains no run to resume.
        ConfigError: the run is to be replaced and resumed.
    """
    from ptycho_torch.runtime.run_record import check_run
    from ptycho_torch.storage.writing import check_folder

    is_resumed = getattr(arguments, "resume", False)
    if is_resumed and arguments.overwrite:
        raise ConfigError("--resume and --overwrite exclude each other; go on with the run, or replace it")
    if is_resumed:
        check_run(arguments.output_dir)
    elif not is_later_process():
        check_folder(arguments.output_dir, overwrite=arguments.overwrite)
    set_threads(arguments.threads)


def is_later_process() -> bool:
    """Whether torchrun or a scheduler started another process before this one, which may have begun to write."""
    numbers = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    return any(os.environ.get(name, "0") not in ("", "0") for name in numbers)


def start_record(arguments: argparse.Namespace, settings: Mapping[str, Any], inputs: list[Path]) -> RunRecord:
    """Check the device, empty the output folder unless its run is resumed, and start the record of the run."""
    from ptycho_torch.runtime.device import find_device
    from ptycho_torch.runtime.run_record import RunRecord
    from ptycho_torch.storage.writing import prepare_folder, remove_left

    find_device(arguments.device)
    if getattr(arguments, "resume", False):
        remove_left(arguments.output_dir)
    else:
        prepare_folder(arguments.output_dir, overwrite=arguments.overwrite)
    return RunRecord(arguments.output_dir, arguments.command, settings, inputs, options=arguments.asked)


class _Formatter(logging.Formatter):
    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__("%(message)s")
        self._arguments = arguments

    def format(self, record: logging.LogRecord) -> str:
        return make_line(restore_names(super().format(record), self._arguments))


def set_up_logging(arguments: argparse.Namespace) -> None:
    """Show messages of this package, settings named as the user typed them, and warnings of others."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(arguments))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    from ptycho_torch.runtime.logs import LogKeeper

    own = logging.getLogger("ptycho_torch")
    own.setLevel(logging.WARNING if arguments.quiet else logging.INFO)
    # one for each command that runs in this process
    own.handlers = [other for other in own.handlers if not isinstance(other, LogKeeper)]
    own.addHandler(LogKeeper(_Formatter(arguments)))


def show_progress(name: str, length: int, unit: str) -> Progress:
    """Show a progress bar for one stage of a run on standard error; returns the callback that advances it."""
    from tqdm import tqdm

    # a log keeps every update, which a terminal replaces
    interval_s = 0.1 if sys.stderr.isatty() else 10.0
    bar = tqdm(total=length, desc=name, unit=unit, file=sys.stderr, dynamic_ncols=True, mininterval=interval_s)

    def advance(done: int, residual: float | None) -> None:
        if residual is not None:
            bar.set_postfix_str(f"R {residual:.4f}", refresh=False)
        bar.update(done - bar.n)
        if done >= length:
            bar.close()

    return advance


def print_results(folder: Path, files: dict[str, str], figures: dict[str, dict[str, float]]) -> None:
    """Print figures by what they belong to, and the paths of all files."""
    for name, values in figures.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    for name, path in files.items():
        print(f"{name}: {make_line(str(folder / path))}")
