"""The commands that make something from scans and settings."""

from __future__ import annotations

from ptycho_torch.cli import demo, evaluate, experiment, infer, pretrain, refine, simulate, train
from ptycho_torch.cli.command import Command

COMMANDS = {
    command.name: command
    for command in (
        Command("simulate", simulate, "simulate a scan"),
        Command("pretrain", pretrain, "train a network on many simulated scans"),
        Command("train", train, "train a network on scans"),
        Command("infer", infer, "reconstruct a scan with a trained network and polish the result"),
        Command("refine", refine, "reconstruct a scan with the solver alone, without a network"),
        Command("evaluate", evaluate, "score a result of any program and write the final report"),
        Command("experiment", experiment, "simulate or read a scan, train on it, and reconstruct it"),
        Command("demo", demo, "run all steps on simulated scans"),
    )
}
