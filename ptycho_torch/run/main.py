"""The command line of composed configurations: `ptycho-STAGE OVERRIDE...`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from ptycho_torch.cli.main import run_command
from ptycho_torch.errors import PtychoError
from ptycho_torch.run.compose import Configuration, compose_configuration, open_groups


def main(stage: str, arguments: Sequence[str] | None = None) -> int:
    """Compose a configuration and run its stage."""
    overrides = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with open_groups():
            configuration = compose_configuration(stage, overrides)
    except PtychoError as error:
        print(f"ptycho-{stage}: {error}", file=sys.stderr)
        return 2
    return run_configuration(configuration)


def run_configuration(configuration: Configuration) -> int:
    """Run the stage of a configuration and return the exit code, as on the command line of plain options."""
    name = configuration.stage.name
    namespace: Namespace = configuration.stage.parse(configuration.options)
    namespace.command = name
    namespace.stored = {key: section.to_dict() for key, section in configuration.sections.items()}
    return run_command(namespace, f"ptycho-{name}")
