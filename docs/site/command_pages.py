"""Pages of the commands, written from their parsers."""

from __future__ import annotations

from ptycho_torch.cli.command import Command


def make_options(command: Command) -> str:
    """Describe every option of a command, by group."""
    return ""
