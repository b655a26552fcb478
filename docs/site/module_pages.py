"""Pages of the Python interface: what they name; Sphinx takes the texts from the docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from words import escape, make_contents

import ptycho_torch
from ptycho_torch.cli.config_file import SECTIONS

PACKAGE: Final = Path(ptycho_torch.__file__).parent


def find_packages() -> list[str]:
    """Find the packages that are described, by their dotted names."""
    return [f"ptycho_torch.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.py"))]


def make_interface() -> str:
    """Describe every public name, then list the packages."""
    names = [name for name in ptycho_torch.__all__ if not name.startswith("_")]
    parts = [_describe_name(name) for name in sorted(names, key=str.lower)]
    rows = [f"| [{name}](modules/{name}.md) | {escape(_summarise(name))} |" for name in find_packages()]
    table = "\n".join(["## Packages", "", "| package | contents |", "|---|---|", *rows])
    return "\n\n".join([*parts, table, make_contents([f"modules/{name}" for name in find_packages()])])


def make_package(name: str) -> str:
    """Describe the modules of a package."""
    folder = PACKAGE / name.partition(".")[2]
    modules = [f"{name}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]
    parts = [f"# {name}", _automodule(name, members=False)]
    parts += [f"## {module.rpartition('.')[2]}\n\n{_automodule(module, members=True)}" for module in modules]
    return "\n\n".join(parts) + "\n"


def _describe_name(name: str) -> str:
    """Describe a public name; the settings are those of the schema, which the page of the settings describes."""
    section = name.removesuffix("Settings").lower()
    if section in SECTIONS:
        summary = (SECTIONS[section].__doc__ or "").splitlines()[0]
        text = f"{escape(summary)} Its fields are the [settings of `{section}`](settings.md#{section})."
        return f"## {name}\n\n{text}"
    kind = "class" if name[0].isupper() else "function"
    # the index leads to the page of the package
    options = "\n   :no-index:" + ("\n   :members:" if kind == "class" else "")
    return f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: ptycho_torch.{name}{options}\n```"


def _automodule(name: str, *, members: bool) -> str:
    options = "\n   :members:" if members else "\n   :no-members:"
    return f"```{{eval-rst}}\n.. automodule:: {name}{options}\n```"


def _summarise(package: str) -> str:
    text = (PACKAGE / package.partition(".")[2] / "__init__.py").read_text(encoding="utf-8")
    return text.strip().strip('"').splitlines()[0]
