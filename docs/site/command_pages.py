"""Pages of the commands, written from their parsers."""

from __future__ import annotations

import argparse
import re

from words import escape, make_contents

from ptycho_torch.cli.command import Command
from ptycho_torch.cli.main import list_commands
from ptycho_torch.cli.options import find_actions

# a document that a help text names
_DOCUMENT = re.compile(r"\bdocs/(\w+\.md)\b")


def make_list() -> str:
    """Make the list of all commands with a table of contents."""
    commands = list_commands()
    rows = [f"| [{command.name}](commands/{command.name}.md) | {escape(command.summary)} |" for command in commands]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return f"{table}\n\n{make_contents([f'commands/{command.name}' for command in commands])}"


def make_title(command: Command) -> str:
    """Make the beginning of a page that has no text of its own."""
    return f"# {command.name}\n\n{escape(command.summary).capitalize()}.\n"


def make_options(command: Command) -> str:
    """Describe every option of a command, by action, if it has any, and by group."""
    parser = command.make_parser()
    actions = find_actions(parser)
    parts = [] if actions else _describe_groups(parser, "##")
    for name, action in actions.items():
        parts += [f"## {name}", f"{_make_heading(action.description or '')}.", *_describe_groups(action, "###")]
    return "\n\n".join(parts) + "\n"


def _describe_groups(parser: argparse.ArgumentParser, mark: str) -> list[str]:
    """Describe the options of a parser by group, each below a heading."""
    parts = [f"```{{program}} {parser.prog}\n```"]
    for group in parser._action_groups:  # argparse has no public list
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if shown:
            parts.append(f"{mark} {_make_heading(group.title or '')}")
            parts += [_describe(action) for action in shown]
    return parts


def _make_heading(title: str) -> str:
    """A group's title; those of argparse are in lower case, those of sections sentences."""
    title = escape(title.removesuffix("."))
    return title[:1].upper() + title[1:]


def _describe(action: argparse.Action) -> str:
    value = _name_value(action)
    names = action.option_strings or [str(action.metavar or action.dest)]
    heads = ", ".join(f"{name} {value}".strip() for name in names) if action.option_strings else names[0]
    text = _DOCUMENT.sub(r"[\1](../\1)", escape((action.help or "").replace("%%", "%")))
    return f"```{{option}} {heads}\n{text}\n```"


def _name_value(action: argparse.Action) -> str:
    """What stands after an option: its choices or the name of its value; nothing after a switch."""
    if action.nargs == 0:
        return ""
    if action.choices:
        return f"{{{','.join(map(str, action.choices))}}}"
    name = str(action.metavar or action.dest.upper())
    return f"{name} ..." if action.nargs in ("*", "+") else name
