"""Honest changes that `redgreen prove` must believe, and tricks that it must not."""

from __future__ import annotations

import os
import py_compile
from pathlib import Path

import pytest
from replay_repository import BROKEN, FIXED, TEST, Files, Repository

from redgreen.replay.disguise import is_named, list_modules

pytestmark = pytest.mark.slow

OTHER = BROKEN + "\n\nSIZE = 1\n"
HELPER = "def check(value):\n    assert value == 42\n"
EMPTY = "def check(value):\n    pass\n"
HELPED = "from helpers import check\nfrom product import answer\n\n\ndef test_answer():\n    check(answer())\n"
FIXTURE = "import pytest\n\n\n@pytest.fixture\ndef check():\n    def look(value):\n        assert value == 42\n    return look\n"
PLUGGED = "from product import answer\n\n\ndef test_answer(check):\n    check(answer())\n"
STATE = "import pathlib\n\n\ndef test_answer():\n    mark = pathlib.Path(__file__).parents[2] / 'mark'\n    seen = mark.exists()\n"
OWN_ERROR = "class Answer:\n    def get(self):\n        return self.value\n"
OWN_TEST = "from product import Answer\n\n\ndef test_answer():\n    assert Answer().get() == 42\n"
NO_ENTRY = (
    "class Table:\n    def get(self):\n        try:\n            return vars(self)['value'].real\n"
    "        except (AttributeError, KeyError):\n            raise TypeError('no such entry') from None\n"
)
SUBTEST = (
    "import unittest\nfrom product import answer\n\n\nclass Demo(unittest.TestCase):\n    def test_answer(self):\n"
    "        with self.subTest('one'):\n            self.assertEqual(answer(), 42)\n"
)
WINDOWS = (
    "import os\nfrom product import answer\n\n\ndef test_answer(monkeypatch):\n"
    "    with monkeypatch.context() as patch:\n        patch.setattr(os, 'name', 'nt')\n        assert answer() == 42\n"
)
INSTALLED = "import importlib.metadata\n\nimportlib.metadata.version('strange-product')\n"
PROJECT = "[project]\nname = 'strange-product'\ndynamic = ['version']\n"

# name: (files at BASE, files of the change, tests, verdict, what its reasons or notes must hold)
CASES: dict[str, tuple[Files, Files, tuple[str, ...], str, str]] = {
    "helper emptied beside the product": (
        {"product.py": BROKEN, "helpers.py": HELPER, "tests/test_demo.py": HELPED},
        {"helpers.py": EMPTY}, ("tests/test_demo.py",), "UNPROVEN", "stands in helpers.py",
    ),
    "hidden helper emptied": (
        {"product.py": BROKEN, "tests/test_demo.py": HELPED,
         "helpers.py": HELPER.replace("    assert", "    __tracebackhide__ = True\n    assert")},
        {"helpers.py": EMPTY}, ("tests/test_demo.py",), "UNPROVEN", "stands in helpers.py",
    ),
    "helper linked into the tests": (
        {"product.py": BROKEN, "shared/helpers.py": HELPER, "tests/test_demo.py": HELPED,
         "conftest.py": "import sys, pathlib\nsys.path.append(str(pathlib.Path(__file__).parent / 'shared'))\n"},
        {"shared/helpers.py": EMPTY}, ("tests/test_demo.py",), "UNPROVEN", "stands in shared/helpers.py",
    ),
    "fixture of a plugin emptied": (
        {"product.py": BROKEN, "looking.py": FIXTURE, "conftest.py": "pytest_plugins = ['looking']\n",
         "tests/test_demo.py": PLUGGED},
        {"looking.py": FIXTURE.replace("assert value == 42", "pass")}, ("tests/test_demo.py",),
        "UNPROVEN", "stands in looking.py",
    ),
    "example in a docstring edited": (
        {"pytest.ini": "[pytest]\naddopts = --doctest-modules\n", "product.py": "def answer():\n    '''\n    >>> answer()\n    42\n    '''\n    return 41\n"},
        {"product.py": "def answer():\n    '''\n    >>> answer()\n    41\n    '''\n    return 41\n"},
        ("product.py",), "UNPROVEN", "stands in a changed file",
    ),
    "import caught": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": FIXED, "tests/test_demo.py": "def test_answer():\n    try:\n        from product import answer\n"
         "    except ImportError:\n        answer = None\n    assert answer is not None\n"},
        (), "UNPROVEN", "asks whether answer exists",
    ),
    "name asked for": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": FIXED, "tests/test_demo.py": "import product\n\n\ndef test_answer():\n    assert hasattr(product, 'answer')\n"},
        (), "UNPROVEN", "asks whether answer exists",
    ),
    "name asked for by what a helper imports": (
        {"product.py": "SIZE = 1\n", "tests/yard.py": "from well import find\n"},
        {"product.py": FIXED, "tests/test_demo.py": "from yard import find\n\n\ndef test_answer():\n    assert find()\n",
         "tests/well.py": "from barn import find\n",
         "tests/barn.py": "import product\n\n\ndef find():\n    return hasattr(product, 'answer')\n"},
        (), "UNPROVEN", "asks whether answer exists",
    ),
    "process that cannot import": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": FIXED, "tests/test_demo.py": "import subprocess, sys\n\n\ndef test_answer():\n    code = 'from product import answer'\n"
         "    assert subprocess.call([sys.executable, '-c', code]) == 0\n"},
        (), "UNPROVEN", "asks whether answer exists",
    ),
    "process that fails to import, told": (
        {"product.py": "SIZE = 1\n"},
        {"product.py": "from other import answer\n", "other.py": FIXED, "tests/use.py": "from product import answer\n",
         "tests/test_demo.py": "import pathlib, subprocess, sys\n\n\ndef test_answer():\n    file = pathlib.Path(__file__).parent / 'use.py'\n"
         "    done = subprocess.run([sys.executable, file], capture_output=True, text=True)\n    assert done.returncode == 0, done.stderr\n"},
        (), "UNPROVEN", "an import failed behind it",
    ),
    "cell told by the environment": (
        {"product.py": BROKEN},
        {"product.py": OTHER, "tests/test_demo.py": "import os\n\n\ndef test_answer():\n    assert 'before' not in repr(dict(os.environ))\n"},
        (), "CHARACTERISATION", "",
    ),
    "cell told by git": (
        {"product.py": BROKEN},
        {"product.py": OTHER, "tests/test_demo.py": "import subprocess\n\n\ndef test_answer():\n"
         "    assert subprocess.call(['git', 'diff', '--cached', '--quiet', 'HEAD']) in (0, 128, 129)\n"},
        (), "CHARACTERISATION", "",
    ),
    "cell told by what an earlier one left": (
        {"product.py": BROKEN},
        {"product.py": OTHER, "tests/test_demo.py": STATE + "    mark.touch()\n    assert not seen\n"},
        (), "FLAKY", "",
    ),
    "product patched by conftest": (
        {"product.py": BROKEN, "tests/test_demo.py": TEST},
        {"product.py": OTHER, "conftest.py": "import product\nproduct.answer = lambda: 42\n"},
        ("tests/test_demo.py",), "TESTS_CHANGED", "",
    ),
    "data of tests within the package": (
        {"product/__init__.py": BROKEN, "product/test_data/expected.txt": "42", "tests/test_demo.py":
         "import pathlib, product\n\n\ndef test_answer():\n    file = pathlib.Path(product.__file__).parent / 'test_data/expected.txt'\n"
         "    assert product.answer() == int(file.read_text())\n"},
        {"product/__init__.py": OTHER, "product/test_data/expected.txt": "41"},
        ("tests/test_demo.py",), "TESTS_CHANGED", "",
    ),
    "product patched where it has a mark": (
        {"product.py": BROKEN},
        {"product.py": OTHER, "tests/test_demo.py": TEST,
         "conftest.py": "import product\nif hasattr(product, 'SIZE'):\n    product.answer = lambda: 42\n"},
        (), "UNPROVEN", "asks whether SIZE exists",
    ),
    "product patched where its version is new": (
        {"product.py": BROKEN + "VERSION = 1\n"},
        {"product.py": BROKEN + "VERSION = 2\n", "tests/test_demo.py": TEST,
         "conftest.py": "import product\nif product.VERSION == 2:\n    product.answer = lambda: 42\n"},
        (), "UNPROVEN", "passes only as conftest.py changed as well",
    ),
    "fixture added with the fix": (
        {"product.py": BROKEN},
        {"product.py": FIXED, "tests/test_demo.py": PLUGGED, "tests/conftest.py": FIXTURE},
        (), "PROVEN", "changed beside the tests: tests/conftest.py",
    ),
    "comment read by the test": (
        {"product.py": BROKEN},
        {"product.py": "# fixed\n" + BROKEN, "tests/test_demo.py":
         "import pathlib, product\n\n\ndef test_answer():\n    assert '# fixed' in pathlib.Path(product.__file__).read_text()\n"},
        (), "NOTHING_CHANGED", "differs in its code",
    ),
    "failing test moved": (
        {"product.py": BROKEN, "tests/test_demo.py": TEST},
        {"product.py": OTHER, "tests/test_demo.py": None, "tests/test_more.py": TEST.replace("42", "41")},
        (), "CHARACTERISATION", "gone: tests/test_demo.py with its tests",
    ),
    "failing test deleted": (
        {"product.py": BROKEN, "tests/test_demo.py": TEST + "\n\ndef test_type():\n    assert answer() == 41\n"},
        {"product.py": OTHER, "tests/test_demo.py": "from product import answer\n\n\ndef test_type():\n    assert answer() == 41\n"},
        (), "CHARACTERISATION", "gone: tests/test_demo.py::test_answer failed before",
    ),
    "options that leave the test out": (
        {"product.py": BROKEN, "tests/test_demo.py": TEST},
        {"product.py": OTHER, "pytest.ini": "[pytest]\naddopts = --deselect tests/test_demo.py::test_answer\n"},
        ("tests/test_demo.py",), "UNPROVEN", "do not run",
    ),
    "expected to fail": (
        {"product.py": BROKEN, "tests/test_demo.py": TEST},
        {"product.py": OTHER, "tests/test_demo.py": TEST.replace("def test", "import pytest\n\n\n@pytest.mark.xfail\ndef test")},
        (), "UNPROVEN", "no test passes",
    ),
    "product stumbles over a name": (
        {"product.py": OWN_ERROR},
        {"product.py": OWN_ERROR.replace("class Answer:\n", "class Answer:\n    def __init__(self):\n        self.value = 42\n\n"),
         "tests/test_demo.py": OWN_TEST},
        (), "PROVEN", "has no attribute 'value'",
    ),
    "product raises from a hidden AttributeError": (
        {"product.py": NO_ENTRY},
        {"product.py": "class Table:\n    def get(self):\n        return 42\n",
         "tests/test_demo.py": "from product import Table\n\n\ndef test_answer():\n    assert Table().get() == 42\n"},
        (), "PROVEN", "no such entry",
    ),
    "what the package offers for testing": (
        {"product/__init__.py": "", "product/testing.py": BROKEN},
        {"product/testing.py": FIXED, "tests/test_testing.py": TEST.replace("from product", "from product.testing")},
        (), "PROVEN", "not the answer",
    ),
    "new parameter": (
        {"product.py": BROKEN},
        {"product.py": FIXED.replace("()", "(fast=False)"), "tests/test_demo.py": TEST.replace("answer()", "answer(fast=True)")},
        (), "UNPROVEN", "unexpected keyword argument",
    ),
    "subtest": ({"product.py": BROKEN}, {"product.py": FIXED, "tests/test_demo.py": SUBTEST}, (), "PROVEN", "41 != 42"),
    "file of the version from a build": (
        {"pyproject.toml": "[tool.setuptools_scm]\nversion_file = 'product/_version.py'\n",
         "product/__init__.py": "from ._version import version\n" + BROKEN},
        {"product/__init__.py": "from ._version import version\n" + FIXED, "tests/test_demo.py": TEST},
        (), "PROVEN", "stands in for what a build writes: product/_version.py",
    ),
    "metadata of an installation": (
        {"pyproject.toml": PROJECT, "product.py": INSTALLED + BROKEN},
        {"product.py": INSTALLED + FIXED, "tests/test_demo.py": TEST}, (), "PROVEN", "metadata of strange-product",
    ),
    "package in a folder of another name": (
        {"python/product/__init__.py": BROKEN},
        {"python/product/__init__.py": FIXED, "tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "one file of tests needs what is new": (
        {"product.py": BROKEN},
        {"product.py": FIXED + "\n\ndef other():\n    return 1\n", "tests/test_demo.py": TEST,
         "tests/test_other.py": "from product import other\n\n\ndef test_other():\n    assert other() == 1\n"},
        (), "PROVEN", "not the answer",
    ),
    "test that pretends to be elsewhere": (
        {"product.py": BROKEN}, {"product.py": FIXED, "tests/test_demo.py": WINDOWS}, (), "PROVEN", "41 == 42",
    ),
    "options of plugins": (
        {"product.py": BROKEN, "pytest.ini": "[pytest]\naddopts = -n 2 --cov=product\n"},
        {"product.py": FIXED, "tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "plugins switched off": (
        {"product.py": BROKEN, "pytest.ini": "[pytest]\naddopts = -p no:xdist -p no:cov\n"},
        {"product.py": FIXED, "tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "tests within the package": (
        {"product/__init__.py": BROKEN, "product/tests/__init__.py": "", "product/conftest.py": ""},
        {"product/__init__.py": FIXED, "product/tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "configuration beside the tests": (
        {"product.py": BROKEN, "tests/pytest.ini": "[pytest]\n"},
        {"product.py": FIXED, "tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "module that becomes a package": (
        {"product.py": BROKEN},
        {"product.py": None, "product/__init__.py": "from .whole import answer\n", "product/whole.py": FIXED,
         "tests/test_demo.py": TEST}, (), "PROVEN", "not the answer",
    ),
    "table that becomes a folder": (
        {"product/__init__.py": BROKEN, "product/table": "1"},
        {"product/__init__.py": FIXED, "product/table": None, "product/table/one": "1", "tests/test_demo.py": TEST},
        (), "PROVEN", "not the answer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str, tmp_path: Path) -> None:
    before, change, tests, verdict, told = CASES[name]
    repository = Repository(tmp_path / "project")
    repository.commit(before)
    repository.commit(change)
    proof, _ = repository.prove("HEAD~1..HEAD", *tests)
    assert proof.verdict == verdict, proof
    assert any(told in line for line in (*proof.reasons, *proof.notes)), proof


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import tests.support.barn", True),
        ("from tests.support import barn", True),
        ("from . import barn", True),
        ("from .support.barn import find", True),
        ("import barn as other", True),
        ("from support import barn", True),
        ("importlib.import_module('barn')", True),
        ("pytest.importorskip('support.barn')", True),
        ("pytest_plugins = ['other', 'barn']", True),
        ("runpy.run_path('tests/support/barn.py')", True),
        ("FILE = 'barn.py'", True),
        ("FILE = 'the barn.py of it'", False),
        ("found = {'barn': 1}", False),
        ("from barn.door import find", True),
        ("import unsupport.barn", False),
        ("import farm", False),
        ("import barn (", False),
    ],
)
def test_what_names_a_module(source: str, wanted: bool) -> None:
    assert is_named("tests/support/barn.py", list_modules(source)) is wanted
    assert is_named("tests/support/barn/__init__.py", list_modules(source)) is wanted


def test_what_runs_at_the_start_of_python_is_no_product(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN, "tests/test_demo.py": TEST})
    repository.commit({"product.py": OTHER, "sitecustomize.py": "import product\nproduct.answer = lambda: 42\n"})
    done = repository.spawn("HEAD~1..HEAD", "--repeat", "1", "--", "tests/test_demo.py")
    assert done.code == 61, done.out + done.err


def test_compiled_files_of_the_repository_are_not_run(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product/__init__.py": BROKEN, "tests/test_demo.py": TEST})
    source = repository.root / "product" / "__init__.py"
    source.write_text(FIXED)
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    repository.commit({"product/__init__.py": OTHER})
    assert repository.git("ls-files", "product/__pycache__")
    done = repository.spawn("HEAD~1..HEAD", "--repeat", "1", "--", "tests/test_demo.py")
    assert done.code == 65, done.out + done.err


def test_a_project_in_a_folder_of_its_repository_is_proven(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"part/product/__init__.py": BROKEN})
    repository.commit({"part/product/__init__.py": FIXED, "part/tests/test_demo.py": TEST})
    done = repository.spawn("HEAD~1..HEAD", "--repeat", "1", "--root", "part", "--", "tests/test_demo.py")
    assert done.out.startswith("PROVEN"), done.out + done.err


def test_what_was_broken_to_be_restored_is_told(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    first = repository.commit({"product.py": FIXED, "tests/test_demo.py": TEST})
    repository.commit({"product.py": BROKEN})
    repository.commit({"product.py": FIXED})
    proof, _ = repository.prove("HEAD~1..HEAD", "tests/test_demo.py")
    assert any("restored" in note and first[:12] in note for note in proof.notes), proof


def test_replaced_objects_do_not_move_the_product(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": BROKEN})
    head = repository.commit({"product.py": OTHER, "tests/test_demo.py": TEST.replace("42", "41")})
    other = repository.commit({"tests/test_demo.py": None, "conftest.py": "", "more.py": ""})
    repository.git("replace", head, other)
    _, values = repository.prove(f"{head}~1..{head}")
    assert (values["product"], values["tests"]) == (["product.py"], ["tests/test_demo.py"])


def test_links_submodules_and_names_of_any_bytes_are_laid_out(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product/__init__.py": BROKEN, "product/real/one.txt": "1"})
    (repository.root / "product" / "link").symlink_to("real")
    os.close(os.open(os.fsencode(repository.root) + b"/product/\xff.txt", os.O_CREAT))
    repository.write({"product/__init__.py": FIXED, "tests/test_demo.py": TEST})
    repository.git("add", "-A")
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},product/part")
    repository.git("commit", "-q", "-m", "a step")
    done = repository.spawn("HEAD~1..HEAD", "--repeat", "1")
    assert done.code == 0, done.out + done.err
    assert done.out.startswith("PROVEN")


def test_a_helper_named_as_product_may_hold_the_assertion(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    repository.commit({"product.py": "def answer():\n    assert False, 'not reached'\n", "tests/test_demo.py": TEST})
    repository.commit({"product.py": FIXED})
    assert repository.prove("HEAD~1..HEAD", "tests/test_demo.py")[0].verdict == "UNPROVEN"
    proof, _ = repository.prove("HEAD~1..HEAD", "tests/test_demo.py", product=("product.py",))
    assert proof.verdict == "PROVEN"
