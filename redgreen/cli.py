"""The command line: `python -m redgreen COMMAND`; every command has `--json`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from redgreen.codes import GUARD, Mode
from redgreen.commands import comment, records, replays, runs, setup, site
from redgreen.commands.answer import Answer
from redgreen.errors import RedgreenError, RegistryError
from redgreen.project import Project, find_project
from redgreen.run.logfile import ESCAPES

RUNS: Final = ("run", "guard")
WRITING: Final = ("run", "guard", "close", "doctor", "replay")


class Parser(argparse.ArgumentParser):
    """Argument parser whose complaints are errors of the registry's kind (code 20)."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            RegistryError: Always.
        """
        raise RegistryError(f"{self.prog}: {message} (see `{self.prog} --help`)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 as asked, else the code of the verdict or of the error."""
    words = sys.argv[1:] if argv is None else argv
    as_json = "--json" in words
    is_run = bool({*RUNS} & {*words})
    try:
        options, tests = _split_at_dashes(words)
        arguments = _make_parser().parse_args(options)
        if tests and arguments.command != "prove":
            raise RegistryError(f"only `redgreen prove` takes tests after `--`, not `redgreen {arguments.command}`")
        arguments.tests = tests
        as_json, is_run = arguments.json, arguments.command in RUNS
        answer: Answer = arguments.run(_find_project(arguments), arguments)
    except RedgreenError as error:
        print(f"redgreen: {error}".replace("\n", " "), file=sys.stderr)
        answer = Answer(error.code, error.label, [], {"error": str(error)})
    except KeyboardInterrupt:
        print("redgreen: interrupted", file=sys.stderr)
        answer = Answer(18, "INTERRUPTED")
    except Exception as error:  # noqa: BLE001 - one line and a code instead of a traceback
        if os.environ.get("REDGREEN_DEBUG"):
            traceback.print_exc()
        told = str(error).splitlines()[:1] or [""]
        print(f"redgreen: {type(error).__name__}: {told[0]} (REDGREEN_DEBUG=1 shows where)", file=sys.stderr)
        answer = Answer(30, "INTERNAL_ERROR")
    _tell(answer, as_json=as_json, is_run=is_run)
    return answer.code


def _tell(answer: Answer, *, as_json: bool, is_run: bool) -> None:
    """Print the answer: for people, or as one JSON document; a run ends with its closing line."""
    try:
        closing = f"REDGREEN {answer.code} {answer.label} {answer.path}"
        if as_json:
            head = {"code": answer.code, "label": answer.label, "path": answer.path}
            print(json.dumps(head | answer.values, indent=1, ensure_ascii=False).encode("utf-8", "replace").decode())
        else:
            stream = sys.stdout if is_run or answer.code == 0 else sys.stderr
            for line in answer.lines:
                print(line, file=stream)
        if is_run:
            print(closing, file=sys.stderr if as_json else sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _find_project(arguments: argparse.Namespace) -> Project:
    if arguments.command == "prove":  # needs no registry
        return Project((arguments.root or Path.cwd()).resolve(), scratch=True)
    # CI=true throws away what a run writes; what was recorded before is checked there as anywhere else
    by_environment = None if arguments.command in WRITING else False
    return find_project(Path.cwd(), root=arguments.root, scratch=True if arguments.scratch else by_environment)


def _make_show(arguments: argparse.Namespace) -> Callable[[bytes], object]:
    """Where pytest's raw output goes: the terminal, or standard error when standard output is for tools."""
    stream = (sys.stderr if arguments.json else sys.stdout).buffer
    plain = bool(os.environ.get("NO_COLOR"))
    escapes = re.compile(ESCAPES.pattern.encode())
    gone = False

    def show(chunk: bytes) -> None:
        nonlocal gone
        if gone:
            return
        try:
            stream.write(escapes.sub(b"", chunk) if plain else chunk)
            stream.flush()
        except OSError:  # the terminal is closed; the run and its log continue
            gone = True

    return show


def _run(project: Project, arguments: argparse.Namespace) -> Answer:
    show = _make_show(arguments)
    if arguments.command == "guard":
        return runs.run_one(project, arguments.selector, GUARD, "", show)
    mode = Mode[arguments.mode.upper()]
    if arguments.selector:
        return runs.run_one(project, arguments.selector, mode, arguments.red, show)
    if arguments.red:
        raise RegistryError("--red needs a selector")
    return runs.run_map(project, mode, arguments.initiative, show)


def _replay(project: Project, arguments: argparse.Namespace) -> Answer:
    stream = sys.stderr if arguments.json else sys.stdout
    return replays.replay(
        project, arguments.reference, everything=arguments.all, show=lambda text: print(text, file=stream, flush=True)
    )


def _run_ledger(project: Project, arguments: argparse.Namespace) -> Answer:
    return records.rebuild_ledger(project) if arguments.rebuild else records.check_ledger(project)


def _split_at_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    """Part the command line at `--`: argparse takes no list of words behind options."""
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _make_parser() -> Parser:
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document; the run itself goes to stderr")
    common.add_argument("--scratch", action="store_true", help="record into an ignored folder (also with CI=true)")
    common.add_argument("--root", type=Path, help="repository to work on; by default the one around this folder")
    parser = Parser(prog="redgreen", description="Evidence that a test failed for its reason, and then passed.")
    verbs = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")

    def verb(name: str, text: str, run: Callable[[Project, argparse.Namespace], Answer]) -> Parser:
        made: Parser = verbs.add_parser(name, help=text, description=text, parents=[common])
        made.set_defaults(run=run)
        return made

    run = verb("run", "run a selector, or the map of the active phases, and record what it showed", _run)
    run.add_argument("mode", choices=("red", "green"))
    run.add_argument("selector", nargs="?", default="")
    run.add_argument("--red", default="", metavar="RUN", help="run id or folder of the RED that a GREEN answers")
    run.add_argument("--initiative", default="", help="without a selector: only this initiative")
    guard = verb("guard", "run a guard: everything in it must pass", _run)
    guard.add_argument("selector")
    text = "check the registry against what pytest collects"
    lint = verb("lint", text, lambda p, a: setup.lint_registry(p, freeze=a.freeze))
    lint.add_argument("--freeze", action="store_true", help="write the exact ids of every live target")
    verify = verb("verify", "check sealed folders and the ledger", lambda p, a: records.verify(p, a.path, a.against))
    verify.add_argument("path", nargs="?", default="", help="a report folder, or a folder above some")
    verify.add_argument("--against", default="", metavar="REF", help="nothing recorded at this commit may be gone")
    ledger = verb("ledger", "compare the ledger with the sealed folders, or render it again", _run_ledger)
    what = ledger.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--rebuild", action="store_true")
    verb("status", "show the state of every selector and what to run next", lambda p, a: records.show_status(p))
    verb("close", "seal what interrupted runs left, as ABANDONED", lambda p, a: records.close(p))
    docs = verb(
        "docs", "write the documents that come from the registry", lambda p, a: setup.generate_docs(p, check=a.check)
    )
    docs.add_argument("--check", action="store_true", help="compare only")
    text = "print what a merge request brings, as Markdown: by default, the newest valid GREEN"
    words = verb("comment", text, lambda p, a: comment.comment(p, a.reference, a.base))
    words.add_argument("reference", nargs="?", default="", metavar="RUN", help="run id or folder")
    words.add_argument("--base", default="", metavar="REF", help="every pair that the ledger of this commit lacks")
    pages = verb("site", "write a static site of everything that is recorded", lambda p, a: site.write(p, a.out))
    pages.add_argument("--out", type=Path, metavar="FOLDER", help="where to (.redgreen/site)")
    text = "replay the change of a range of commits: its tests on its product, before and after, in a clean clone"
    prove = verb("prove", text, replays.prove)
    prove.add_argument("range", metavar="BASE..HEAD")
    prove.usage = "redgreen prove [OPTION ...] BASE..HEAD [-- TEST ...]"
    prove.epilog = "After `--`: files or single tests; by default the test files that the range touches."
    prove.add_argument("--product", action="append", default=[], metavar="GLOB", help="files that are the product")
    classes = ("stub", "missing_symbol")
    prove.add_argument("--accept", action="append", default=[], choices=classes, help="also counts as a failure")
    prove.add_argument("--hunks", action="store_true", help="undo each hunk of the product alone as well")
    prove.add_argument("--repeat", type=_parse_count, default=3, help="fresh processes of each cell (3)")
    prove.add_argument("--budget", type=_parse_count, default=60, metavar="S", help="seconds of one process (60)")
    prove.add_argument("--pass-env", action="append", default=[], metavar="NAME", help="variable to pass on")
    text = "replay recorded pairs again, from their commits and patches alone, and keep what that shows"
    again = verb("replay", text, _replay)
    again.add_argument("reference", nargs="?", default="", metavar="RUN", help="run id or folder of a GREEN")
    again.add_argument("--all", action="store_true", help="every pair")
    verb("doctor", "check whether runs can be recorded here", lambda p, a: setup.examine(p))
    return parser
