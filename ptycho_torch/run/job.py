"""One run of a resolved configuration; `python -m ptycho_torch.run.job` reads it as JSON from standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from ptycho_torch.cli.main import run_command
from ptycho_torch.errors import PtychoError
from ptycho_torch.run.compose import Configuration, check_values
from ptycho_torch.storage.writing import write_atomically

# beside the results; as a configuration of a folder of one's own it begins another run
CONFIGURATION_NAME = "config.yaml"


def run_configuration(configuration: Configuration) -> int:
    """Run the stage of a configuration and return its exit code, as on the command line of plain options.

    What was run is written beside the results, in YAML.
    """
    stage = configuration.stage
    settings = {name: section.to_dict() for name, section in configuration.sections.items()}
    code = run_command(stage.make_namespace(configuration.options, settings), f"ptycho-{stage.name}")
    place = _find_place(configuration)
    if code in (0, 3):
        with write_atomically(place) as file:
            file.write(yaml.safe_dump(configuration.values, sort_keys=False, allow_unicode=True).encode())
    return code


def _find_place(configuration: Configuration) -> Path:
    options = configuration.options
    if "output_dir" in options:
        return Path(options["output_dir"]) / CONFIGURATION_NAME
    output = Path(options["output"])
    return output.with_suffix(f".{CONFIGURATION_NAME}") if output.suffix else output / CONFIGURATION_NAME


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
