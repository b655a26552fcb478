"""The stages: the commands that a configuration can describe."""

from __future__ import annotations

from ptycho_torch.cli.commands import COMMANDS

# the steps of the demonstration are fixed
STAGES = {name: command for name, command in COMMANDS.items() if name != "demo"}
