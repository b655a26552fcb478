"""`export`: write a trained network as a folder to hand on, or check such a folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho_torch.cli.shared import add_quiet
from ptycho_torch.errors import ConfigError

if TYPE_CHECKING:
    from ptycho_torch.models.checkpoint import TrainedNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="folder of a training, whose last checkpoint is taken, or a checkpoint or bundle; with --check an export",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="new folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument("--check", action="store_true", help="check an export instead of writing one")
    parser.add_argument(
        "--run_program",
        action="store_true",
        help="with --check, run network.pt2 as well; only if you trust its origin, since it can contain other code",
    )
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write or check, and print what was found."""
    if arguments.check:
        if arguments.output or arguments.overwrite:
            raise ConfigError("--output and --overwrite have no effect with --check")
        _check(arguments.model, run_program=arguments.run_program)
        return
    if arguments.run_program:
        raise ConfigError("--run_program has no effect without --check")
    if arguments.output is None:
        raise ConfigError("--output, the folder to write, must be named")
    from ptycho_torch.contracts.legacy.workflows import export_network
    from ptycho_torch.export.card import make_card

    trained, record = _load(arguments.model)
    card = make_card(trained, record)
    folder = export_network(trained, arguments.output, card=card, overwrite=arguments.overwrite)
    print(f"{folder}: {card['network']['weights']:,} weights after {trained.steps} steps")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name:20} {path.stat().st_size:>12,} bytes")


def _check(folder: Path, *, run_program: bool) -> None:
    from ptycho_torch.export.read import check_export

    found = check_export(folder, run_program=run_program)
    for name, difference in found.items():
        print(f"{name}: differs by {difference:.2g} from the stored answer")
    print(f"{folder}: all files are those of the export")


def _load(model: Path) -> tuple[TrainedNetwork, Mapping[str, Any]]:
    """Load the network that was named, with the record of its run if it lies beside it."""
    from ptycho_torch.models.bundle import open_network
    from ptycho_torch.runtime.run_record import read_record
    from ptycho_torch.storage.writing import RECORD_NAME

    checkpoint = model / "checkpoints" / "last.ckpt" if model.is_dir() else model
    if model.is_dir() and not checkpoint.is_file():
        raise ConfigError(f"{model}: contains no checkpoints/last.ckpt of a training; name a checkpoint or a bundle")
    trained = open_network(checkpoint)
    places = (checkpoint.parent, checkpoint.parent.parent)
    run = next((place for place in places if (place / RECORD_NAME).is_file()), None)
    return trained, read_record(run) if run else {}
