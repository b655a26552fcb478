"""`completion`: completion of commands, options and keys in a shell, by argcomplete."""

from __future__ import annotations

import argparse
import os
from importlib.metadata import entry_points
from types import ModuleType

from ptycho_torch.errors import ConfigError

_SHELLS = ("bash", "zsh", "fish")
# argcomplete sets it when the shell asks for completions
_VARIABLE = "_ARGCOMPLETE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", choices=_SHELLS, help='the shell; for bash: eval "$(ptycho-torch completion bash)"')
    parser.set_defaults(quiet=True)


def run(arguments: argparse.Namespace) -> None:
    """Print what makes the shell complete the console scripts of this package."""
    scripts = [entry.name for entry in entry_points(group="console_scripts") if entry.value.startswith("ptycho_torch.")]
    argcomplete = _load()
    print(argcomplete.shellcode(sorted({"ptycho-torch", *scripts}), shell=arguments.shell))


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer and exit if a shell asks for completions, which takes no torch."""
    if _VARIABLE in os.environ:
        _load().autocomplete(parser, always_complete_options=False)


def _load() -> ModuleType:
    try:
        import argcomplete
    except ModuleNotFoundError as error:
        raise ConfigError("argcomplete is not installed; python -m pip install 'ptycho-torch[run]'") from error
    return argcomplete
