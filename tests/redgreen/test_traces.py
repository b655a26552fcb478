"""Nothing of the machine and no secret in any sealed file; logs are plain, whole in meaning, and bounded."""

from __future__ import annotations

import base64
import json
import socket
import sys
from pathlib import Path

import pytest
from redgreen_sandbox import guard, make_sandbox, target

from redgreen.errors import SecretError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.scrub import Scrubber
from redgreen.evidence.verify_all import verify_all
from redgreen.run.logfile import PlainLog

TOKEN = "planted" + "Value0123456789" * 2
PASSWORD = "hunter" + "2&<quoted>\"'"


def plain(tmp_path: Path, *chunks: bytes, head: int = 10_000, tail: int = 1_000) -> str:
    """What the log says after some chunks."""
    log = PlainLog(tmp_path / "x.log", lambda line: line, head, tail)
    for chunk in chunks:
        log.feed(chunk)
    log.close()
    return (tmp_path / "x.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([b"\x1b[31mred\x1b[0m plain\n"], "red plain\n"),
        ([b"\x1b[3", b"1mred\x1b", b"[0m\n"], "red\n"),
        ([b"\x1b]0;title\x07text\n"], "text\n"),
        (["gr\u00fcn".encode()[:3], "gr\u00fcn".encode()[3:], b"\n"], "gr\u00fcn\n"),
        ([b"\xff broken\n"], "\ufffd broken\n"),
        ([b"10%\r", b"50%\r", b"100%\n"], "100%\n"),
        ([b"epoch 1\r\x1b[Kepoch 2\r\r\n"], "epoch 2\n"),
        ([b"windows\r\n"], "windows\n"),
        ([b"no end"], "no end\n"),
        ([b"bell\x07 and \x00 nul\n"], "bell and  nul\n"),
    ],
)  # fmt: skip
def test_a_terminals_stream_becomes_plain_lines(tmp_path: Path, chunks: list[bytes], text: str) -> None:
    assert plain(tmp_path, *chunks) == text


def test_a_progress_bar_of_a_million_steps_is_one_line(tmp_path: Path) -> None:
    chunk = b"".join(b"%d of 1000\r" % step for step in range(1000))
    assert plain(tmp_path, *[chunk] * 50, b"done\n") == "done\n"


def test_a_log_beyond_the_cap_keeps_head_and_tail_and_says_so(tmp_path: Path) -> None:
    text = plain(tmp_path, *[b"line %06d\n" % number for number in range(10_000)])
    assert text.startswith("line 000000\n")
    assert text.endswith("line 009999\n")
    assert "lines left out here" in text
    assert len(text) < 11_500


def test_a_line_without_an_end_is_bounded(tmp_path: Path) -> None:
    text = plain(tmp_path, *[b"x" * 65_536] * 40, head=100_000, tail=100_000)
    assert len(text) < 300_000


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        f"token={TOKEN};",
        repr({"A": TOKEN}),
        TOKEN[:20] + "...",
        "..." + TOKEN[-14:],
        base64.b64encode(TOKEN.encode()).decode(),
        PASSWORD,
        json.dumps(PASSWORD),
        "hunter2&amp;&lt;quoted&gt;&quot;'",
        "hunter2%26%3Cquoted%3E%22%27",
        "ghp_" + "a1B2" * 9,
        "AKIA" + "ABCD1234" * 2,
        "https://user:" + "pa55@example.org/x",
        "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIabc\n-----END RSA PRIVATE " + "KEY-----",
        "xoxb-" + "1234567890-abcdef",
        "eyJhbGciOi." + "eyJzdWIiOiIx." + "c2lnbmF0dXJl",
    ],
)  # fmt: skip
def test_a_secret_is_redacted_in_every_form(form: str) -> None:
    scrubber = Scrubber(Path("/nowhere/checkout"), {"MY_API_TOKEN": TOKEN, "DB_PASSWORD": PASSWORD, "LANG": "C.UTF-8"})
    clean = scrubber.scrub_text(f"before {form} after")
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert form not in clean
    assert scrubber.redactions >= 1
    assert scrubber.scrub_text(clean) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/nowhere/checkout/tests/x.py:3", "<repo>/tests/x.py:3"),
        (f"{sys.prefix}/lib/x.py", "<python>/lib/x.py"),
        ("/ho" + "me/somebody/x", "<home>/x"),
        ("'/ro" + "ot/.cache'", "'<home>/.cache'"),
        ("/Us" + "ers/somebody/x", "<home>/x"),
        ("/t" + "mp/pytest-of-x/y", "<tmp>/pytest-of-x/y"),
        ("a\\n/ho" + "me/somebody/x", "a\\n<home>/x"),
        ('<skipped message="why">/nowhere/checkout/tests/x.py:3', '<skipped message="why"><repo>/tests/x.py:3'),
        ("<system-out>/nowhere/checkout/x", "<system-out><repo>/x"),
        ("\\u001b[33m/t" + "mp/made/x", "\\u001b[33m<tmp>/made/x"),
        ("#x1B[1;31m/ho" + "me/somebody/x", "#x1B[1;31m<home>/x"),
        ("#x1B[m/nowhere/checkout/x", "#x1B[m<repo>/x"),
        ("<tmp>/t" + "mp/x", "<tmp>/t" + "mp/x"),
        ("docs/home/page and roots/root", "docs/home/page and roots/root"),
        ("x/tmp/y", "x/tmp/y"),
        ("https://example.org/home/x", "https://example.org/home/x"),
    ],
)  # fmt: skip
def test_paths_of_the_machine_become_words(text: str, clean: str) -> None:
    scrubber = Scrubber(Path("/nowhere/checkout"), {})
    assert scrubber.scrub_text(text) == clean
    assert scrubber.scrub_text(clean) == clean


def test_a_path_that_is_passed_to_the_child_becomes_its_variable() -> None:
    environ = {"PROJECT_DATA": "/srv/data/measured", "LANG": "C.UTF-8"}
    scrubber = Scrubber(Path("/nowhere/checkout"), environ, ("PROJECT_DATA", "LANG", "MISSING"))
    assert scrubber.scrub_text("read /srv/data/measured/scan.h5") == "read <PROJECT_DATA>/scan.h5"


def test_ordinary_words_are_no_secrets() -> None:
    scrubber = Scrubber(
        Path("/nowhere/checkout"), {"AUTHOR": "short", "TOKENIZERS_PARALLELISM": "false", "KEYBOARD": "qwertz-layout"}
    )
    text = "a false test, short; qwertz-layout; authentication tokens; sk-learn; test_key[secret]"
    assert scrubber.scrub_text(text) == text
    assert scrubber.redactions == 0


LEAKY = f'''\
import os
import pytest


@pytest.fixture
def everything():
    return dict(os.environ) | {{"MADE_UP": "{TOKEN}"}}


def test_answer(everything, tmp_path, record_property):
    print("{TOKEN}", tmp_path, os.getcwd(), os.path.expanduser("~"), "{TOKEN[:16]}...")
    record_property("where", str(tmp_path))
    assert not everything, "answer {TOKEN}"
'''


def sealed_text(folder: Path) -> str:
    """Everything in a report folder but the patch."""
    return "\n".join(data.decode() for name, data in read_contents(folder).items() if not name.endswith(".patch"))


def test_no_secret_and_no_machine_reaches_a_sealed_file(tmp_path: Path) -> None:
    sandbox = make_sandbox(
        tmp_path / "repo", target(extra="pass_env: [MY_API_TOKEN]\n    pytest_args: [-vv, -rA, --showlocals]")
    )
    sandbox.write("tests/test_demo.py", LEAKY)
    sandbox.commit()
    sandbox.env |= {"MY_API_TOKEN": TOKEN, "NOT_PASSED_SECRET": "another" + "PlantedValue42"}
    done = sandbox.run("run", "red", "demo")
    assert (done.code, done.verdict) == (0, "VALID_RED"), done.out
    text = sealed_text(sandbox.folder(done))
    assert TOKEN[:14] not in text
    assert "PlantedValue42" not in text
    assert str(sandbox.root) not in text
    assert str(tmp_path) not in text
    assert sys.prefix not in text
    assert str(Path.home()) + "/" not in text
    host = socket.gethostname()
    assert len(host) < 6 or host not in text
    assert "\x1b" not in text
    assert "<secret:MY_API_TOKEN>" in text
    assert sandbox.sealed(done).result.redactions > 5
    assert verify_all(sandbox.project)[0] == []


@pytest.mark.parametrize("planted", [TOKEN, "/ho" + "me/somebody/data"], ids=["secret", "machine path"])
def test_a_patch_with_a_secret_or_a_machine_path_is_refused(tmp_path: Path, planted: str) -> None:
    sandbox = make_sandbox(tmp_path / "repo", target(), guard())
    sandbox.env["MY_API_TOKEN"] = TOKEN
    sandbox.write("product.py", f"WHERE = {planted!r}\n\n\ndef answer():\n    return 41\n")
    with pytest.raises(SecretError, match=r"product\.py"):
        sandbox.record("red")
    done = sandbox.run("run", "red", "demo")
    assert (done.code, done.verdict) == (23, "SECRET_FOUND")
    assert planted not in done.err
    assert not list((sandbox.root / "plans").rglob("run.json"))
    sandbox.commit()
    assert sandbox.run("run", "red", "demo").code == 0, "what is committed is no part of the patch"


def test_the_childs_environment_is_an_allow_list(tmp_path: Path) -> None:
    sandbox = make_sandbox(tmp_path / "repo", guard(extra='env: {GIVEN: "yes"}'))
    sandbox.env |= {
        "PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "no_such_plugin", "OTHER": "x", "PYTHONHASHSEED": "77",
    }  # fmt: skip
    sandbox.write(
        "tests/test_held.py",
        "import os\n\n\ndef test_held():\n    assert os.environ['GIVEN'] == 'yes'\n"
        "    assert 'OTHER' not in os.environ\n"
        "    assert 'PYTEST_ADDOPTS' not in os.environ\n    assert os.environ['PYTHONHASHSEED'] == '0'\n"
        "    assert 'REDGREEN_EVENTS' not in os.environ\n",
    )
    done = sandbox.run("guard", "held")
    assert (done.code, done.verdict) == (0, "GUARD_HELD"), done.out


def test_it_is_shown_in_colour_and_logged_without(tmp_path: Path) -> None:
    sandbox = make_sandbox(tmp_path / "repo", target(), guard())
    done = sandbox.run("guard", "held", "--keep")
    assert "\x1b[32m" in done.out
    assert "\x1b" not in (sandbox.folder(done) / "pytest_held.log").read_text(encoding="utf-8")
    sandbox.env["NO_COLOR"] = "1"
    assert "\x1b" not in sandbox.run("guard", "held").out
