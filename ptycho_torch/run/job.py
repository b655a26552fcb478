"""One run of a resolved configuration; `python -m ptycho_torch.run.job` reads it as JSON from standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

from ptycho_torch.cli.main import run_command
from ptycho_torch.errors import PtychoError
from ptycho_torch.run.compose import Configuration, check_values


def run_configuration(configuration: Configuration) -> int:
    """Run the stage of a configuration and return its exit code, as on the command line of plain options."""
    stage = configuration.stage
    settings = {name: section.to_dict() for name, section in configuration.sections.items()}
    return run_command(stage.make_namespace(configuration.options, settings), f"ptycho-{stage.name}")


def run_values(values: Any) -> int:  # noqa: ANN401 - from another process, not checked yet
    """Check plain values as a configuration and run it; returns the exit code."""
    try:
        configuration = check_values(values)
    except PtychoError as error:
        print(f"ptycho-torch: {error}", file=sys.stderr)
        return 2
    return run_configuration(configuration)


if __name__ == "__main__":
    sys.exit(run_values(json.load(sys.stdin)))
