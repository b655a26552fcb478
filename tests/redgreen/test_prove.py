"""`redgreen prove` on ranges of commits: what it believes, what it does not, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from replay_repository import BROKEN, FIXED, TEST, Files, Repository

pytestmark = pytest.mark.slow

HELD = "from product import answer\n\n\ndef test_whole():\n    assert isinstance(answer(), int)\n"
FAILING: Files = {"product.py": BROKEN, "tests/test_demo.py": TEST}
OLD_TEST = TEST.replace("42", "41")
SKIPPED = TEST.replace("def test_answer", "import pytest\n\n\n@pytest.mark.skip\ndef test_answer")
DATA_TEST = (
    "import json, pathlib\nfrom product import answer\n\n\ndef test_answer():\n"
    "    assert answer() == json.loads((pathlib.Path(__file__).parent / 'expected.json').read_text())\n"
)
TOP_DATA_TEST = DATA_TEST.replace(".parent /", ".parents[1] /")
INDENTED = "".join(f"    {line}\n" for line in BROKEN.splitlines())
TWICE = TEST + "\n\ndef test_answer():\n    pass\n"
HELPER_TEST = "from . import helpers\nfrom product import answer\n\n\ndef test_answer():\n    helpers.check(answer())\n"
HELPER = "def check(value):\n    assert value == 42\n"
UNAVAILABLE = (
    "import pytest\n\n\ndef test_answer():\n    try:\n        from product import answer\n"
    "    except ImportError:\n        answer = None\n    assert answer is not None\n"
)
SYMBOL_TEST = TEST.replace("from product import answer", "import product").replace("answer() ==", "product.answer() ==")
CONTROL_FLOW = (
    "class Table(dict):\n    def __getattr__(self, name):\n        try:\n            return self.missing\n"
    "        except RecursionError:\n            raise TypeError('no such entry') from None\n"
)

# name: (files at BASE, files of the change, verdict, what its reasons or notes must hold)
CASES: dict[str, tuple[Files, Files, str, str]] = {
    "test and fix in one commit": (
        {"product.py": BROKEN, "tests/test_held.py": HELD},
        {"product.py": FIXED, "tests/test_demo.py": TEST},
        "PROVEN",
        "not the answer",
    ),
    "fix of a failing test": (
        FAILING,
        {"product.py": FIXED, "tests/test_demo.py": TEST + "\n"},
        "PROVEN",
        "AssertionError",
    ),
    "product in src": (
        {"src/product/__init__.py": BROKEN},
        {"src/product/__init__.py": FIXED, "tests/test_demo.py": TEST},
        "PROVEN",
        "not the answer",
    ),
    "table of the product": (
        {"product/__init__.py": "from pathlib import Path\n\n\ndef answer():\n"
         "    return int((Path(__file__).parent / 'table.txt').read_text())\n", "product/table.txt": "41"},
        {"product/table.txt": "42", "tests/test_demo.py": TEST},
        "PROVEN",
        "not the answer",
    ),
    "test of what works already": (
        {"product.py": FIXED},
        {"product.py": FIXED + "\n\ndef other():\n    return 1\n", "tests/test_demo.py": TEST},
        "CHARACTERISATION",
        "1 test passes with the product of before",
    ),
    "only tests": ({"product.py": FIXED}, {"tests/test_demo.py": TEST}, "NOTHING_CHANGED", "no file of the product"),
    "assertion edited": (
        FAILING,
        {"tests/test_demo.py": OLD_TEST, "product.py": BROKEN + "\n\nSIZE = 1\n"},
        "TESTS_CHANGED",
        "test_answer: as it stood before the change",
    ),
    "assertion edited alone": (FAILING, {"tests/test_demo.py": OLD_TEST}, "TESTS_CHANGED", "the product is the same"),
    "expected value edited": (
        {"product.py": BROKEN, "tests/test_demo.py": DATA_TEST, "tests/expected.json": "42"},
        {"product.py": BROKEN + "\n\nSIZE = 1\n", "tests/test_demo.py": DATA_TEST + "\n", "tests/expected.json": "41"},
        "TESTS_CHANGED",
        "test_answer",
    ),
    "expected value edited, at the top": (
        {"product.py": BROKEN, "tests/test_demo.py": TOP_DATA_TEST, "expected.json": "42"},
        {"tests/test_demo.py": TOP_DATA_TEST + "\n", "expected.json": "41"},
        "TESTS_CHANGED",
        "test_answer",
    ),
    "second definition of the test": (
        FAILING,
        {"product.py": BROKEN + "\n\nSIZE = 1\n", "tests/test_demo.py": TWICE},
        "TESTS_CHANGED",
        "test_answer",
    ),
    "helper emptied": (
        {"product.py": BROKEN, "tests/__init__.py": "", "tests/helpers.py": HELPER, "tests/test_demo.py": HELPER_TEST},
        {"product.py": BROKEN + "\n\nSIZE = 1\n", "tests/helpers.py": "def check(value):\n    pass\n",
         "tests/test_demo.py": HELPER_TEST + "\n"},
        "TESTS_CHANGED",
        "test_answer",
    ),
    "helper emptied in a folder of another name": (
        {"product.py": BROKEN, "checks/__init__.py": "", "checks/helpers.py": HELPER,
         "checks/test_demo.py": HELPER_TEST},
        {"checks/helpers.py": "def check(value):\n    pass\n", "checks/test_demo.py": HELPER_TEST + "\n"},
        "TESTS_CHANGED",
        "test_answer",
    ),
    "skipped": (
        FAILING,
        {"product.py": BROKEN + "\n\nSIZE = 1\n", "tests/test_demo.py": SKIPPED},
        "UNPROVEN",
        "no test passes",
    ),
    "still failing": (
        FAILING,
        {"product.py": BROKEN + "\n", "tests/test_demo.py": TEST + "\n"},
        "UNPROVEN",
        "fails after",
    ),
    "another test broken": (
        {"product.py": FIXED, "tests/test_demo.py": TEST},
        {"product.py": BROKEN, "tests/test_demo.py": TEST + "\n\ndef test_other():\n    assert answer() == 41\n"},
        "REGRESSING",
        "test_demo.py::test_answer: passed before",
    ),
    "symbol that did not exist": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": FIXED, "tests/test_demo.py": TEST},
        "UNPROVEN",
        "cannot import name 'answer'",
    ),
    "attribute that did not exist": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": FIXED, "tests/test_demo.py": SYMBOL_TEST},
        "UNPROVEN",
        "missing_symbol",
    ),
    "fixture that breaks": (
        {"product.py": "def answer():\n    raise OSError('closed')\n"},
        {"product.py": FIXED, "tests/test_demo.py": "import pytest\nfrom product import answer\n\n\n@pytest.fixture\n"
         "def value():\n    return answer()\n\n\ndef test_answer(value):\n    assert value == 42\n"},
        "UNPROVEN",
        "breaks in setup",
    ),
    "test of another outcome each time": (
        {"product.py": BROKEN},
        {"product.py": FIXED,
         # counts its runs beside the clone
         "tests/test_demo.py": "from pathlib import Path\n\nimport product\n\n"
         "RUNS = Path(__file__).parents[2] / 'runs'\n\n\n"
         "def test_answer():\n    with RUNS.open('a') as file:\n        file.write('x')\n"
         "    assert RUNS.stat().st_size % 2\n"},
        "FLAKY",
        "repeats differ",
    ),
    "asynchronous body that never ran": (
        {"product.py": BROKEN, "conftest.py": "import inspect\nimport pytest\n\n\n@pytest.hookimpl(tryfirst=True)\n"
         "def pytest_pyfunc_call(pyfuncitem):\n    return inspect.iscoroutinefunction(pyfuncitem.obj) or None\n"},
        {"product.py": FIXED, "tests/test_demo.py": TEST.replace("def test_", "async def test_")},
        "UNPROVEN",
        "body never ran",
    ),
    "outcome rewritten": (
        {"product.py": BROKEN, "conftest.py": "import pytest\n\n\n@pytest.hookimpl(wrapper=True)\n"
         "def pytest_runtest_makereport(item, call):\n    report = yield\n    if report.when == 'call':\n"
         "        report.outcome = 'passed'\n    return report\n"},
        {"product.py": BROKEN + "\n\nSIZE = 1\n", "tests/test_demo.py": TEST},
        "UNPROVEN",
        "OUTCOME_REWRITTEN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str, tmp_path: Path) -> None:
    before, change, verdict, told = CASES[name]
    repository = Repository(tmp_path / "project")
    repository.commit(before)
    repository.commit(change)
    proof, _ = repository.prove("HEAD~1..HEAD", repeat=6 if verdict == "FLAKY" else 1)
    assert proof.verdict == verdict, proof
    assert any(told in reason for reason in proof.reasons), proof


def test_working_files_are_not_what_is_proven(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN, "tests/test_demo.py": TEST, ".gitignore": "local.py\n"})
    repository.commit({"product.py": "try:\n    from local import answer\nexcept ImportError:\n" + INDENTED})
    repository.write({"local.py": FIXED})
    assert repository.prove("HEAD~1..HEAD", "tests/test_demo.py")[0].verdict == "UNPROVEN"


def test_hidden_changes_of_the_index_and_replaced_objects_are_not_seen(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit(FAILING)
    head = repository.commit({"product.py": BROKEN + "\n\nSIZE = 1\n"})
    fixed = repository.commit({"product.py": FIXED})
    repository.git("checkout", "-q", head)
    repository.git("replace", head, fixed)
    repository.git("update-index", "--assume-unchanged", "product.py")
    repository.write({"product.py": FIXED})
    assert repository.prove(f"{head}~1..{head}", "tests/test_demo.py")[0].verdict == "UNPROVEN"


def test_a_variable_of_the_environment_does_not_turn_a_test_green(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit(FAILING)
    repository.commit({"product.py": "import os\n\n\ndef answer():\n    return int(os.environ.get('ANSWER', 41))\n"})
    proof, _ = repository.prove("HEAD~1..HEAD", "tests/test_demo.py", env={"ANSWER": "42"})
    assert proof.verdict == "UNPROVEN"


def test_chosen_tests_losses_and_the_cost_are_told(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN, "tests/test_demo.py": HELD + "\n\ndef test_gone():\n    pass\n"})
    repository.commit({"product.py": FIXED, "tests/test_demo.py": HELD + TEST})
    proof, values = repository.prove("HEAD~1..HEAD", repeat=2)
    assert (proof.verdict, proof.fixed, proof.held) == ("PROVEN", ("tests/test_demo.py::test_answer",), 1)
    assert any("test_gone passed before" in note for note in proof.notes)
    assert values["processes"] == 9
    one, _ = repository.prove("HEAD~1..HEAD", "tests/test_demo.py::test_answer")
    assert (one.verdict, one.held) == ("PROVEN", 0)
    assert any("nothing was looked at" in note for note in one.notes)


def test_each_hunk_is_undone_alone(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    lines = "\n".join(f"LINE_{number} = {number}" for number in range(6))
    repository.commit({"product.py": BROKEN + lines + "\n"})
    changed = lines.replace("LINE_5 = 5", "LINE_5 = 6").replace("LINE_2 = 2", "LINE_2 = 2  # two")
    repository.commit({"product.py": FIXED + changed + "\n", "tests/test_demo.py": TEST})
    _, values = repository.prove("HEAD~1..HEAD", hunks=True)
    assert values["hunks"] == ["product.py:2: witnessed", "product.py:5: no code", "product.py:8: unwitnessed"]


def test_files_named_as_product_are_the_product(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    read = "from pathlib import Path\n\n\ndef answer():\n    return int(Path('table.txt').read_text())\n"
    repository.commit({"product.py": read, "table.txt": "41", "tests/test_demo.py": TEST})
    repository.commit({"table.txt": "42", "tests/test_demo.py": TEST + "\n"})
    assert repository.prove("HEAD~1..HEAD")[0].verdict == "TESTS_CHANGED"
    assert repository.prove("HEAD~1..HEAD", product=("table.txt",))[0].verdict == "PROVEN"


def test_a_missing_symbol_counts_where_it_is_accepted(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": "SIZE = 1\n"})
    repository.commit({"product.py": FIXED, "tests/test_demo.py": SYMBOL_TEST})
    assert repository.prove("HEAD~1..HEAD", accept=("missing_symbol",))[0].verdict == "PROVEN"


def test_the_command_tells_verdict_reason_and_cost(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN})
    repository.commit({"product.py": FIXED, "tests/test_demo.py": TEST})
    done = repository.spawn("HEAD~1..HEAD", "--repeat", "1", "--", "tests/test_demo.py::test_answer")
    assert done.code == 0, done.err
    assert done.out.startswith("PROVEN")
    assert "AssertionError: not the answer" in done.out
    assert "product: product.py" in done.out
    assert "3 processes" in done.out
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("HEAD",), 29, "BASE..HEAD"),
        (("HEAD~1..nowhere",), 29, "nowhere"),
        (("HEAD..HEAD~1",), 29, "ancestor"),
        (("HEAD~1..HEAD",), 20, "no test file"),
        (("HEAD~1..HEAD", "--repeat", "0"), 20, "--repeat"),
        (("--output=x..HEAD",), 20, "BASE..HEAD"),
    ],
)
def test_wrong_ranges_are_refused(words: tuple[str, ...], code: int, told: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN})
    repository.commit({"product.py": FIXED})
    done = repository.spawn(*words)
    assert done.code == code
    assert told in done.err
    assert done.err.count("\n") == 1


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    done = Repository.outside(tmp_path / "folder").spawn("HEAD~1..HEAD")
    assert done.code == 29
    assert "not a git repository" in done.err
