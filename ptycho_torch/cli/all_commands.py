"""All commands that a job may consist of: all but `jobs` itself."""

from __future__ import annotations

from ptycho_torch.cli import completion, convert, doctor, drift, export, models, preflight, repeat, report_problem
from ptycho_torch.cli.command import Command
from ptycho_torch.cli.commands import COMMANDS

ALL_COMMANDS = {
    **COMMANDS,
    "doctor": Command(
        "doctor", doctor, "say what is in the file of a scan, what is wrong, and which settings are right"
    ),
    "convert": Command("convert", convert, "write a scan of any format as NPZ, CXI or NeXus"),
    "drift": Command("drift", drift, "check whether scans are still like those that a network was trained for"),
    "export": Command("export", export, "write a trained network as a folder to hand on, with its model card"),
    "models": Command("models", models, "register trained networks, compare, promote, roll back and check them"),
    "preflight": Command("preflight", preflight, "check a training without starting it"),
    "repeat": Command("repeat", repeat, "run again what a record describes, and compare"),
    "report-problem": Command("report-problem", report_problem, "pack what describes a run into a file for a question"),
    "completion": Command("completion", completion, "print the lines that complete commands in a shell"),
}
