"""`doctor`: say what is in the file of a scan, what is wrong with how it is read, and which settings are right."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import add_machine, add_output, prepare_run, start_record
from ptycho_torch.config import DataSettings
from ptycho_torch.errors import ConfigError, require_torch

if TYPE_CHECKING:
    from ptycho_torch.doctor import Diagnosis

# of a settings file
SECTIONS = ("data",)
# exit codes for scripts
RECOMMENDED, DOUBTFUL = 4, 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="FILE", nargs="?", help="file or folder of a scan, in any format that is read"
    )
    parser.add_argument("--probe", type=Path, metavar="PATH", help="file of a probe, or its name in the file")
    add_settings(parser, DataSettings)
    add_output(parser, "doctor_outputs")
    add_machine(parser)
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine, write the page, print; returns 4 if settings are recommended and 5 if the scan is doubtful."""
    reading = collect_settings(arguments, DataSettings)
    if arguments.print_config:
        print_config(data=reading)
        return 0
    if arguments.data is None:
        raise ConfigError("FILE is missing; it must name a file or a folder of measured data")
    require_torch()
    from ptycho_torch.formats.find import open_recording

    # a file that cannot be opened is refused at once: what examines it takes seconds to load
    with open_recording(arguments.data, reading):
        pass
    from ptycho_torch.doctor import examine_file
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.runtime.run_record import RunRecord

    files = list_scan_files(arguments.data)
    prepare_run(arguments)
    records: list[RunRecord] = []

    def open_folder() -> Path:
        records.append(start_record(arguments, {"data": reading.to_dict()}, files))
        return Path(arguments.output_dir).resolve()

    found = examine_file(arguments.data, reading, arguments.probe, open_folder=open_folder)
    written = _write(found, arguments.output_dir)
    records[0].finish(results=found.fit, outputs=written)
    _print(found, arguments.output_dir, written)
    return {"sound": 0, "settings recommended": RECOMMENDED, "doubtful": DOUBTFUL}[found.word]


def _write(found: Diagnosis, folder: Path) -> dict[str, str]:
    """Write the page, the figures and, if there are any, the recommended settings; returns the names of the files."""
    import yaml

    from ptycho_torch.doctor.page import make_page
    from ptycho_torch.storage.writing import write_atomically, write_json

    settings = yaml.safe_dump(found.recommended, sort_keys=False) if found.recommended else ""
    written = {"page": "doctor.html", "diagnosis": "doctor.json"}
    texts = {"page": make_page(found, settings)}
    if settings:
        written["settings"], texts["settings"] = "settings.yaml", settings
    for name, text in texts.items():
        with write_atomically(folder / written[name]) as file:
            file.write(text.encode())
    write_json(found.to_dict(), folder / written["diagnosis"])
    return written


def _print(found: Diagnosis, folder: Path, written: dict[str, str]) -> None:
    from ptycho_torch.doctor.page import describe_finding, describe_scan

    for name, value in describe_scan(found):
        print(f"{name}: {value}")
    for finding in found.findings:
        print(f"{'wrong' if finding.is_wrong else 'note'}: {describe_finding(finding)}")
    for doubt in found.doubts:
        print(f"doubt: {doubt}")
    for name, file in written.items():
        print(f"{name}: {folder / file}")
    print(f"result: {found.word}")
