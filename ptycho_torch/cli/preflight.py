"""`preflight`: check a training without starting it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ptycho_torch.cli import train
from ptycho_torch.config import Experiment
from ptycho_torch.errors import require_torch
from ptycho_torch.runtime.threads import set_threads

if TYPE_CHECKING:
    from ptycho_torch.preflight import Report

SECTIONS = train.SECTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: those of a training, and the form of the report."""
    train.add_training_options(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--elsewhere", action="store_true", help="the training runs on another machine, such as the node of a cluster"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, print the report, and return 2 if the training cannot work."""
    experiment = train.collect_experiment(arguments, Experiment())
    if arguments.print_config:
        train.print_experiment(experiment)
        return 0
    require_torch("lightning")
    set_threads(arguments.threads)
    from ptycho_torch.preflight import check_all

    reports = check_all([train.make_plan(arguments, elsewhere=arguments.elsewhere)])
    if arguments.json:
        print(json.dumps({"trainings": [report.to_dict() for report in reports]}, indent=2, ensure_ascii=False))
    else:
        print_reports(reports)
    return 0 if all(report.passed for report in reports) else 2


def print_reports(reports: Sequence[Report]) -> None:
    """Print a table of what has been found about each training, and a line of what it takes."""
    width = max((len(finding.key) for report in reports for finding in report.findings), default=0)
    for report in reports:
        if len(reports) > 1:
            print(f"{report.name}:")
        for finding in report.findings:
            print(f"{finding.status:8}{finding.key:{width + 2}}{finding.text}")
        if report.needs:
            print(f"needs   {report.needs}")
    refused = sum(not report.passed for report in reports)
    print(f"{refused} of {len(reports)} trainings refused" if refused else "passed")
