"""The documentation site without its builder: every command and every page is there, every link leads somewhere."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import command_pages
import pytest
from make_site import gather_pages
from setting_pages import make_settings
from sources import ROOT, BrokenLinkError, find_pages, find_pictures, list_contents, move_links
from symptoms import PICTURES, SYMPTOMS
from words import escape

from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.cli.main import list_commands, main
from ptycho_torch.cli.options import find_actions, normalise_options

PAGES = gather_pages()
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
PAGE_LINK = re.compile(r"(?<!!)\[[^\[\]]*\]\(([^)\s#]+)\)")


def read_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def follow_contents(start: str) -> set[str]:
    """The pages that a reader reaches through tables of contents."""
    seen, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        assert page in PAGES, f"{page} is no page"
        for entry in list_contents(PAGES[page]):
            pattern = posixpath.normpath(posixpath.join(posixpath.dirname(page), entry))
            named = [place for place in PAGES if fnmatch(posixpath.splitext(place)[0], pattern)]
            assert named, f"{page} lists {entry}, which is no page"
            waiting += named
    return seen


def test_every_command_of_the_help_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    names = re.findall(r"^    ([\w-]+)(?:  |$)", read_help([], capsys), re.MULTILINE)
    assert len(names) >= 12
    pages = {page for page in PAGES if page.startswith("commands/")}
    assert pages == {f"commands/{name}.md" for name in names}, "commands without a page, or pages without a command"


@pytest.mark.parametrize("name", [command.name for command in list_commands()])
def test_the_page_of_a_command_describes_every_option_of_its_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parsers = {command.name: command.make_parser() for command in list_commands()}
    texts = [read_help([name, *action], capsys) for action in ([], *([each] for each in find_actions(parsers[name])))]
    shown = {option for text in texts for option in re.findall(r"^  (--?\w+)", text, re.MULTILINE)} - {"-h"}
    described = set(re.findall(r"^```\{option\} (?:-h, )?(--\w+)", PAGES[f"commands/{name}.md"], re.MULTILINE))
    assert described == shown | {"--help"}


def test_what_is_written_by_hand_about_commands_belongs_to_one() -> None:
    names = {command.name for command in list_commands()}
    assert {path.stem for path in (ROOT / "docs" / "commands").glob("*.md")} <= names


def test_every_page_is_in_a_table_of_contents() -> None:
    assert follow_contents("index.md") == set(PAGES)


def test_every_document_is_a_page() -> None:
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    missing = written - set(find_pages())
    assert {name for name in missing if not name.startswith("docs/development/")} == {
        "docs/package.md",
        "docs/fix_plan.md",
    }


@pytest.mark.parametrize("place", sorted(page for page in PAGES if page.endswith(".md")))
def test_links_between_pages_lead_to_pages(place: str) -> None:
    for target in PAGE_LINK.findall(re.sub(r"^```.*?^```", "", PAGES[place], flags=re.MULTILINE | re.DOTALL)):
        if "://" not in target:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
            assert path in PAGES or path in find_pictures().values()


def test_links_follow_pages_that_move_and_others_become_text() -> None:
    places = {"docs/a.md": "a.md", "specs/b.md": "specs/b.md", "docs/c/d.md": "c/d.md"}
    text = "[b](../../specs/b.md#part), [licence](../../LICENSE), [a](../a.md)\n```\n[b](../../specs/b.md)\n```\n"
    moved = move_links(text, "docs/c/d.md", places)
    expected = "[b](../specs/b.md#part), licence, [a](../a.md)\n```\n[b](../../specs/b.md)\n```\n"
    assert moved == expected, "links do not follow the pages"


def test_a_link_to_nothing_is_refused() -> None:
    with pytest.raises(BrokenLinkError, match=r"docs/a\.md: a link leads to missing\.md"):
        move_links("[a](missing.md)", "docs/a.md", {"docs/a.md": "a.md"})


def test_texts_are_shown_as_they_are() -> None:
    assert escape("a * b_c [px] `x*y`") == r"a \* b_c \[px\] `x*y`"


def test_every_setting_is_described_with_its_default() -> None:
    page = make_settings()
    for section in SECTIONS.values():
        for name in section.find_types():
            assert f"| `{name}` |" in page, f"{name} is not described"
    assert re.search(r"^\| `step_px` \| float, \\> 0[^|]* \| `8` \|", page, re.MULTILINE)


@pytest.mark.parametrize("name", SYMPTOMS)
def test_every_symptom_has_a_picture_and_its_cure_in_the_text(name: str) -> None:
    page = PAGES["troubleshooting.md"]
    assert (PICTURES / f"{name}.png").is_file()
    [section] = [part for part in re.split(r"^## ", page, flags=re.MULTILINE) if f"symptoms/{name}.png" in part]
    assert SYMPTOMS[name].cure in section


def test_every_picture_of_a_symptom_is_of_one_that_can_be_drawn() -> None:
    assert {path.stem for path in PICTURES.glob("*.png")} == set(SYMPTOMS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_tutorials_are_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []


def test_there_are_two_tutorials() -> None:
    assert len(NOTEBOOKS) >= 2
    assert {f"tutorials/{path.name}" for path in NOTEBOOKS} <= set(PAGES)


def test_options_without_text_stay_hidden() -> None:
    [refine] = [command for command in list_commands() if command.name == "refine"]
    assert "SUPPRESS" not in command_pages.make_options(refine)


def find_command_lines(text: str) -> list[list[str]]:
    """The command lines of `ptycho-torch` in blocks of code, as words."""
    joined = re.sub(r" \\\n\s+", " ", text)
    lines = re.findall(r"^ {4}(ptycho-torch .*)$", joined, re.MULTILINE)
    found = [shlex.split(line, comments=True) for line in lines if "<Tab>" not in line and "$(" not in line]
    return [part for words in found for part in split_job(words)]


def split_job(words: list[str]) -> list[list[str]]:
    """A command line, and that of the job which it adds to a queue."""
    names = {command.name for command in list_commands()}
    start = next(
        (place for place in range(3, len(words)) if words[1:3] == ["jobs", "add"] and words[place] in names), 0
    )
    return [words[:start], ["ptycho-torch", *words[start:]]] if start else [words]


@pytest.mark.parametrize("source", ["README.md", "docs/package.md", *sorted(find_pages())])
def test_command_lines_in_documents_have_options_that_exist(source: str) -> None:
    parsers = {command.name: command.make_parser() for command in list_commands()}
    for words in find_command_lines((ROOT / source).read_text(encoding="utf-8")):
        options = {word.partition("=")[0] for word in normalise_options(words) if word.startswith("--")}
        assert words[1] in parsers or words[1] in ("--help", "--version"), words
        if words[1] in parsers:
            parser = parsers[words[1]]
            actions = find_actions(parser)
            chosen = actions[words[2]] if actions and words[2] != "--help" else parser
            known = {*chosen._option_string_actions}
            assert options <= known, words
