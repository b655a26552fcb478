"""Build the documentation site: gather pages, write those that are generated, call Sphinx."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import command_pages
import module_pages
import setting_pages
from sources import FRONT, ROOT, find_pages, find_pictures, move_links

from ptycho_torch.cli.main import list_commands


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
    """Write what Sphinx reads; files that did not change keep their times, others go."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {folder / place: text.encode() for place, text in gather_pages().items()}
    pictures = {folder / place: (ROOT / source).read_bytes() for source, place in find_pictures().items()}
    files = {**pages, **pictures}
    for path in folder.rglob("*"):
        if path.is_file() and path not in files:
            path.unlink()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def main() -> int:
    """Build the site; warnings are errors."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="folder for sources and pages")
    parser.add_argument("--fresh", action="store_true", help="begin with an empty folder")
    given = parser.parse_args()
    if given.fresh:
        shutil.rmtree(given.output, ignore_errors=True)
    write_source(given.output / "source")
    output: Path = given.output
    settings = ["-W", "--keep-going", "-q", "-c", str(Path(__file__).parent), "-d", str(output / "doctrees")]
    words = [sys.executable, "-m", "sphinx", *settings, str(output / "source"), str(output / "html")]
    code = subprocess.run(words, check=False).returncode
    if code == 0:
        print(given.output / "html" / "index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
