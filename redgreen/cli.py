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
from redgreen.commands import attest, comment, records, replays, runs, setup, site, start, storage
from redgreen.commands.answer import Answer
from redgreen.errors import RedgreenError, RegistryError
from redgreen.evidence.policy import POLICY
from redgreen.project import Project, find_project
from redgreen.registry.layout import read_layout
from redgreen.run.logfile import ESCAPES
from redgreen.version import find_version

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
    if arguments.command in ("prove", "schema"):  # they need no registry
        return Project((arguments.root or Path.cwd()).resolve(), scratch=True)
    if arguments.command == "init":
        root = (arguments.root or Path.cwd()).resolve()
        return Project(root, layout=read_layout(root))
    # CI=true throws away what a run writes, unless it is attested; what was recorded before is checked as anywhere else
    by_environment = None if arguments.command in WRITING and not vars(arguments).get("attest") else False
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
        return runs.run_one(project, arguments.selector, GUARD, show, keep=arguments.keep)
    mode = Mode[arguments.mode.upper()]
    if arguments.selector:
        return runs.run_one(project, arguments.selector, mode, show, red=arguments.red)
    if arguments.red:
        raise RegistryError("--red needs a selector")
    return runs.run_map(project, mode, arguments.initiative, show)


def _verify(project: Project, arguments: argparse.Namespace) -> Answer:
    policy = project.root / POLICY if arguments.policy == Path() else arguments.policy
    return records.verify(project, arguments.path, arguments.against, ask_git=not arguments.no_git, policy=policy)


def _replay(project: Project, arguments: argparse.Namespace) -> Answer:
    key = attest.open_signer(project, arguments.key) if arguments.attest else None
    if key is None and arguments.key is not None:
        raise RegistryError("--key is the key of an attestation: it needs --attest")
    stream = sys.stderr if arguments.json else sys.stdout

    def show(text: str) -> None:
        print(text, file=stream, flush=True)

    everything, budget_s = arguments.all, arguments.budget
    return replays.replay(project, arguments.reference, everything=everything, show=show, key=key, budget_s=budget_s)


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
    parser.add_argument("--version", action="version", version=f"redgreen {find_version()}")
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
    guard.add_argument("--keep", action="store_true", help="keep the report folder also where the guard held")
    text = "check the registry against what pytest collects"
    lint = verb("lint", text, lambda p, a: setup.lint_registry(p, freeze=a.freeze))
    lint.add_argument("--freeze", action="store_true", help="write the exact ids of every live target")
    verify = verb("verify", "check sealed folders and the ledger", _verify)
    verify.add_argument("path", nargs="?", default="", help="a report folder, or a folder above some")
    verify.add_argument("--no-git", action="store_true", help="do not ask git for commits, trees and entries")
    verify.add_argument("--against", default="", metavar="REF", help="nothing recorded at this commit may be gone")
    text = f"GREENs must be attested as this policy asks ({POLICY})"
    verify.add_argument("--policy", nargs="?", type=Path, const=Path(), metavar="FILE", help=text)
    ledger = verb("ledger", "compare the ledger with the sealed folders, or render it again", _run_ledger)
    what = ledger.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--rebuild", action="store_true")
    verb("status", "show the state of every selector and what to run next", lambda p, a: records.show_status(p))
    verb("close", "seal what interrupted runs left, as ABANDONED", lambda p, a: records.close(p))
    _add_storage(verb)
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
    text = "wall seconds for each pair, and in proportion for its processes (replay.budget_s)"
    again.add_argument("--budget", type=_parse_count, metavar="S", help=text)
    again.add_argument("--attest", action="store_true", help="sign what that shows; the one record that CI=true keeps")
    text = "ssh key, or the .pub file of one in an agent (git's user.signingKey)"
    again.add_argument("--key", type=Path, metavar="FILE", help=text)
    text = "print what a replay showed in a form for other tools"
    export = verb("export", text, lambda p, a: attest.export(p, a.reference))
    export.add_argument("reference", metavar="RUN", help="run id or folder of a GREEN")
    export.add_argument("--in-toto", action="store_true", required=True, help="as an in-toto statement, unsigned")
    text = "write a registry of what pytest collects here; nothing that is there is written over"
    verb("init", text, lambda p, a: start.init(p))
    text = "add a target to the registry; without its reason: run it once and propose the reason that was seen"
    add = verb("add", text, lambda p, a: start.add(p, a, _make_show(a)))
    add.add_argument("name")
    add.add_argument("test", nargs="+", help="tests, as pytest names them")
    add.add_argument("--type", default="", help="exception with which they fail")
    add.add_argument("--match", default="", metavar="REGEX", help="expression that its message must match")
    places = ("tests", "product", "third_party")
    add.add_argument("--raised-in", default="tests", choices=places, help="whose code raises it (tests)")
    add.add_argument("--product", action="append", default=[], metavar="GLOB", help="files of the code under test")
    add.add_argument("--initiative", default="", help="the initiative that it belongs to (the first active one)")
    schema = verb("schema", "print the JSON schema of the registry", lambda p, a: start.print_schema(example=a.example))
    schema.add_argument("--example", action="store_true", help="print an example of a registry instead")
    verb("doctor", "check whether runs can be recorded here", lambda p, a: setup.examine(p))
    return parser


def _add_storage(verb: Callable[[str, str, Callable[[Project, argparse.Namespace], Answer]], Parser]) -> None:
    text = "bring every report into the form in which it is kept"
    migrate = verb("migrate", text, lambda p, a: storage.migrate(p, check=a.check))
    text = "move what is bulky in old attempts into one archive; summary.md stays"
    collect = verb("gc", text, lambda p, a: storage.collect(p, check=a.check))
    for made in (migrate, collect):
        made.add_argument("--check", action="store_true", help="only say what would be done")
    text = "write the files of a report out, one by one, as they were sealed"
    unpack = verb("unpack", text, lambda p, a: storage.unpack(p, a.report, a.to))
    unpack.add_argument("report", metavar="REPORT", help="a report folder, or a run id")
    unpack.add_argument("--to", type=Path, metavar="FOLDER", help="new folder (.redgreen/unpacked/UTC/NAME)")
