"""The stages: the commands that a configuration can describe."""

from __future__ import annotations

from ptycho_torch.cli.main import COMMANDS

# commands about other runs, and the demonstration, whose steps are fixed
_NO_STAGES = ("demo", "repeat", "completion")

STAGES = {name: command for name, command in COMMANDS.items() if name not in _NO_STAGES}
