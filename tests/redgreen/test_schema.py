"""The JSON schema of the registry and the loader say the same about a document; the example is a good one."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from redgreen_sandbox import REGISTRY, TOP, guard, target

from redgreen.errors import RegistryError
from redgreen.registry import model
from redgreen.registry.load import parse_registry
from redgreen.registry.schema import FRAGMENTS, load_example, make_schema, render_schema

GOOD = REGISTRY.format(selectors=target() + guard())
CHANGES = {
    "as it is": ("", "", True),
    "unknown key of a selector": ("category: demo", "categroy: demo", False),
    "unknown key at the top": ("schema: 1", "schema: 1\nshcema: 1", False),
    "another schema": ("schema: 1", "schema: 2", False),
    "no selection": ("select: [tests/test_demo.py]", "select: []", False),
    "one string as a selection": ("select: [tests/test_demo.py]", "select: tests/test_demo.py", True),
    "a path from outside": ("select: [tests/test_demo.py]", "select: [../x]", False),
    "an absolute path": ("select: [tests/test_demo.py]", "select: [/x]", False),
    "an absolute path alone": ("select: [tests/test_demo.py]", "select: /x", False),
    "dots in parameters": ("select: [tests/test_demo.py]", 'select: ["tests/test_demo.py::test_a[../x]"]', True),
    "no select": ("select: [tests/test_demo.py]", "", False),
    "a role that is none": ("role: target", "role: hero", False),
    "a live target without a RED": ("    red:", "    title: x #", False),
    "a planned target without a RED": ("    red:", "    state: planned #", True),
    "a guard with a RED": ("role: target", "", False),
    "an exact count": ("role: target", "role: target\n    count: 3", True),
    "a count of nothing": ("role: target", "role: target\n    count: 0", False),
    "a count from on": ("role: target", "role: target\n    count: {min: 2}", True),
    "a count with another key": ("role: target", "role: target\n    count: {least: 2}", False),
    "an empty count": ("role: target", "role: target\n    count:", True),
    "a budget of words": ("budget_s: 60", "budget_s: soon", False),
    "no budget": ("budget_s: 60", "budget_s: 0", False),
    "a number as a variable": ("role: target", "role: target\n    env: {A: 1}", False),
    "a variable": ("role: target", 'role: target\n    env: {A: "1"}', True),
    "xdist": ("role: target", "role: target\n    plugins: [xdist]", False),
    "xdist alone": ("role: target", "role: target\n    plugins: xdist", False),
    "a plugin": ("role: target", "role: target\n    plugins: timeout", True),
    "a log elsewhere": ("role: target", "role: target\n    log: {red: ../x.log}", False),
    "a log": ("role: target", "role: target\n    log: {red: x.log}", True),
    "repeats": ("role: target", "role: target\n    repeat: {red: 2}", True),
    "no repeat": ("role: target", "role: target\n    repeat: {red: 0}", False),
    "repeats of something else": ("role: target", "role: target\n    repeat: {blue: 2}", False),
    "an accepted class": ("accept: [assertion]", "accept: stub", True),
    "a class that is none": ("accept: [assertion]", "accept: [anything]", False),
    "a class that is none alone": ("accept: [assertion]", "accept: anything", False),
    "no reason": ('[{type: AssertionError, match: "answer", raised_in: tests}]', "[]", False),
    "a reason without a match": ("reasons: [{", "reasons: [{type: X}, {", False),
    "a reason elsewhere": ("raised_in: tests", "raised_in: here", False),
    "artifacts": ("role: target", 'role: target\n    artifacts: [{glob: "*.npz", min_bytes: 3}]', True),
    "artifacts from outside": ("role: target", 'role: target\n    artifacts: [{glob: "../*"}]', False),
    "leave to skip": ("role: target", 'role: target\n    may_skip: ["*cuda*"]', True),
    "skips": ("role: target", "role: target\n    expect: {skipped: 2}", True),
    "skips below none": ("role: target", "role: target\n    expect: {skipped: -1}", False),
    "a plan from outside": ("plan: plans/active/", "plan: /plans/active/", False),
    "an initiative without a plan": ("plan: plans/active/DEMO-001/implementation.md, ", "", True),
    "defaults of nothing": ("defaults: {budget_s: 60, pytest_args: [-q], replay: {repeat: 1}}", "defaults:", True),
    "a default that is none": ("budget_s: 60", "role: guard", False),
    "a name with a space": ("  held:", "  held back:", False),
    "null as a title": ("role: target", "role: target\n    title:", False),
    "a number as a title": ("role: target", "role: target\n    title: 3", False),
    "a list as a selector": ("  held:", "  listed: [1]\n  held:", False),
    "no selectors": ("selectors:", "ignored: [x]\nselectors: {}\nx:", False),
}  # fmt: skip


def plain(text: str) -> Any:
    """A document as a validator of editors reads it."""
    return yaml.safe_load(text)


@pytest.mark.parametrize("change", CHANGES)
def test_schema_and_loader_agree(change: str) -> None:
    old, new, good = CHANGES[change]
    assert old in GOOD
    text = GOOD.replace(old, new, 1) if old else GOOD
    assert text != GOOD or change == "as it is"
    try:
        parse_registry(text.encode(), "registry.yaml")
        loaded = True
    except RegistryError:
        loaded = False
    errors = [error.message for error in jsonschema.Draft202012Validator(make_schema()).iter_errors(plain(text))]
    assert (loaded, not errors) == (good, good), errors


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(make_schema())


def test_every_check_of_a_field_is_told_in_the_schema() -> None:
    used = {
        field.metadata["declaration"].check
        for kind in vars(model).values()
        if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")
        for field in kind.__dataclass_fields__.values()
        if "declaration" in field.metadata
    } - {None}
    assert used == {*FRAGMENTS}


def test_the_schema_in_the_package_is_the_one_that_is_made() -> None:
    shipped = (TOP / "redgreen/registry/registry.schema.json").read_text(encoding="utf-8")
    assert shipped == render_schema(), "python -m redgreen schema > redgreen/registry/registry.schema.json"


def test_this_repositorys_own_registry_and_the_example_fit_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(make_schema())
    for text in (load_example(), (TOP / "plans/registry.yaml").read_text(encoding="utf-8")):
        assert list(validator.iter_errors(plain(text))) == []
        parse_registry(text.encode(), "registry.yaml")


def test_a_name_that_ends_in_a_line_break_is_no_name() -> None:
    document = plain(GOOD)
    document["selectors"]["held\n"] = document["selectors"].pop("held")
    assert not jsonschema.Draft202012Validator(make_schema()).is_valid(json.loads(json.dumps(document)))
