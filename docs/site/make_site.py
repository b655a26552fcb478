"""Build the documentation site: gather pages, write those that are generated, call Sphinx."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import command_pages
import module_pages
import setting_pages
from sources import FRONT, ROOT, find_pages, find_pictures, move_links

from ptycho_torch.cli.main import list_commands

# of the folder of the site: what Sphinx reads, what it writes, what it keeps in between, and the profile of IPython
PARTS: Final = ("source", "html", "doctrees", "ipython")


def gather_pages() -> dict[str, str]:
    """Gather all pages: path on the site to text. Generated text follows what is written by hand at the same path."""
    written = find_pages()
    places = {**written, **find_pictures(), FRONT[0]: FRONT[1]}
    pages = {}
    for source, place in written.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pages[place] = move_links(text, source, places) if place.endswith(".md") else text
    for place, text in _generate_pages().items():
        pages[place] = f"{pages[place].rstrip()}\n\n{text}" if place in pages else text
    return pages


def _generate_pages() -> dict[str, str]:
    hand_written = set(find_pages().values())
    pages = {
        "commands.md": command_pages.make_list(),
        "settings.md": setting_pages.make_settings(),
        "interface.md": module_pages.make_interface(),
    }
    for command in list_commands():
        place = f"commands/{command.name}.md"
        title = "" if place in hand_written else command_pages.make_title(command) + "\n"
        pages[place] = title + command_pages.make_options(command)
    for package in module_pages.find_packages():
        pages[f"modules/{package}.md"] = module_pages.make_package(package)
    return pages


def write_source(folder: Path) -> None:
    """Write what Sphinx reads into an empty folder."""
    files = {place: text.encode() for place, text in gather_pages().items()}
    files |= {place: (ROOT / source).read_bytes() for source, place in find_pictures().items()}
    for place, content in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_profile(folder: Path) -> None:
    """Write the profile of the tutorials' kernel: errors alone are reported, and no other profile has an effect."""
    settings = folder / "profile_default" / "ipython_kernel_config.py"
    settings.parent.mkdir(parents=True)
    settings.write_text("c.IPKernelApp.log_level = 40\n", encoding="utf-8")


def main() -> int:
    """Build the documentation site; warnings are errors."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="folder, which is replaced")
    parser.add_argument("--without_tutorials", action="store_true", help="do not execute the tutorials")
    given = parser.parse_args()
    output: Path = given.output
    # pages that stay would keep an old navigation
    for part in PARTS:
        shutil.rmtree(output / part, ignore_errors=True)
    source, pages, cache, profile = (output / part for part in PARTS)
    write_source(source)
    write_profile(profile)
    words = ["-W", "--keep-going", "-q", "-c", str(Path(__file__).parent), "-d", str(cache)]
    if given.without_tutorials:
        words += ["-D", "nb_execution_mode=off"]
    own = {**os.environ, "IPYTHONDIR": str(profile)}
    code = subprocess.run([sys.executable, "-m", "sphinx", *words, str(source), str(pages)], env=own).returncode
    if code == 0:
        print(pages / "index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
