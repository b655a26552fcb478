"""The help of a composed configuration: its groups with their options, its keys with their meaning and defaults."""

from __future__ import annotations

import argparse

from ptycho_torch.cli.command import RUN
from ptycho_torch.cli.options import Parser, describe_setting
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.run.allowed import LAUNCHERS
from ptycho_torch.run.compose import Composer
from ptycho_torch.run.nodes import LAUNCHER, SWEEP, list_groups


def print_help(parser: Parser, composer: Composer) -> None:
    """Print the options of the command line, the groups, and every key."""
    stage = composer.stage
    print(parser.format_help())
    print("groups (GROUP=NAME takes another option):")
    for entry in list_groups(stage):
        for group, chosen in entry.items() if isinstance(entry, dict) else ():
            options = ", ".join(f"[{name}]" if name == chosen else name for name in composer.list_options(group))
            if group != RUN:
                print(f"  {group:12} {options}")
    print(f"\nkeys (KEY=VALUE):\n  {RUN}: options of ptycho-torch {stage.name}")
    for name, action in stage.options.items():
        print(f"    {RUN}.{name}: {_unescape(action)}")
    sections: dict[str, Settings] = {**stage.defaults, SWEEP: SweepSettings()}
    for name, settings in sections.items():
        print(f"  {name}: {(settings.__doc__ or '').splitlines()[0]}")
        for key in type(settings).find_types():
            print(f"    {name}.{key}: {describe_setting(settings, key, prefix=f'{name}.')}")
    for name, kind in LAUNCHERS.items():
        launcher = kind()
        print(f"  {LAUNCHER}, with {LAUNCHER}={name}: {(launcher.__doc__ or '').splitlines()[0]}")
        for key in type(launcher).find_types():
            print(f"    {LAUNCHER}.{key}: {describe_setting(launcher, key, prefix=f'{LAUNCHER}.')}")


def _unescape(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")
