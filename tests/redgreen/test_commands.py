"""The commands as a user meets them: status, the map of the active phase, documents, doctor, JSON, scratch runs."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
from redgreen_sandbox import TOP, Sandbox, fix_product, guard, make_sandbox, target

from redgreen.codes import GUARD
from redgreen.evidence.artifacts import ArrayFacts, describe_artifacts, describe_file
from redgreen.evidence.packed import read_contents
from redgreen.registry.load import load_registry
from redgreen.registry.model import ArtifactSpec


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return make_sandbox(
        tmp_path / "repo", target(), guard(), target("later", "tests/test_later.py", extra="state: planned")
    )


def states(sandbox: Sandbox) -> dict[str, str]:
    """State of each selector."""
    return {row["selector"]: row["state"] for row in sandbox.run("status", "--json").values()["selectors"]}


def test_the_map_of_the_active_phase_goes_from_red_to_green(sandbox: Sandbox) -> None:
    assert states(sandbox) == {"demo": "waiting", "held": "unrun", "later": "planned"}
    red = sandbox.run("run", "red")
    assert red.code == 0, red.out + red.err
    assert [line.split()[:3] for line in red.out.splitlines() if line.startswith(("demo", "held", "later"))] == [
        ["demo", "0", "VALID_RED"]
    ]
    assert red.closing[:3] == ["REDGREEN", "0", "ALL_AS_ASKED"]
    again = sandbox.run("run", "red")
    assert (again.code, again.verdict) == (0, "NOTHING_WAITING")
    fix_product(sandbox)
    green = sandbox.run("run", "green", "--json")
    assert green.code == 0, green.err
    assert {run["selector"]: run["verdict"] for run in green.values()["runs"]} == {
        "demo": "VALID_GREEN",
        "held": "GUARD_HELD",
    }
    rows = sandbox.project.ledger.read_text(encoding="utf-8").splitlines()
    stamps = [row.split()[1] for row in rows if "VALID_GREEN" in row or "GUARD_HELD" in row]
    assert len(stamps) == 2
    assert len({*stamps}) == 1, "one invocation, one time"
    assert states(sandbox) == {"demo": "green", "held": "held", "later": "planned"}
    assert sandbox.run("status", "--json").values()["next"] == []


def test_the_worst_code_of_the_map_is_the_code_of_the_command(sandbox: Sandbox) -> None:
    fix_product(sandbox)
    done = sandbox.run("run", "red")
    assert (done.code, done.verdict) == (10, "NOTHING_FAILED")
    assert states(sandbox)["demo"] == "invalid"
    assert sandbox.run("status", "--json").values()["next"][0] == "python -m redgreen run red demo"


def test_a_changed_promise_is_called_stale(sandbox: Sandbox) -> None:
    sandbox.record("red")
    sandbox.registry(target(match="ans"), guard())
    rows = sandbox.run("status", "--json").values()["selectors"]
    assert rows[0]["stale"]
    assert rows[0]["next"] == "python -m redgreen run red demo"


@pytest.mark.parametrize("how", ["--scratch", "CI"])
def test_scratch_runs_leave_the_repository_as_it_was(sandbox: Sandbox, how: str) -> None:
    words = ["--scratch"] if how == "--scratch" else []
    if how == "CI":
        sandbox.env["CI"] = "true"
    done = sandbox.run("run", "red", "demo", *words)
    assert (done.code, done.verdict) == (0, "VALID_RED"), done.err
    assert sandbox.folder(done).is_dir()
    assert sandbox.git("status", "--porcelain") == ""
    assert not sandbox.project.ledger.exists()
    fix_product(sandbox)
    assert sandbox.run("run", "green", "demo", *words).code == 0


def test_documents_follow_the_registry(sandbox: Sandbox) -> None:
    assert sandbox.run("docs", "--check").code == 25
    assert sandbox.run("docs").code == 0
    assert sandbox.run("docs", "--check").code == 0
    index = (sandbox.root / "docs/development/TEST_SUITE_INDEX.md").read_text(encoding="utf-8")
    selectors = (sandbox.root / "docs/development/SELECTOR_MAP.md").read_text(encoding="utf-8")
    assert "| demo | `later` |" in index
    assert "planned" in index
    assert "python -m redgreen guard held" in selectors
    sandbox.registry(target())
    done = sandbox.run("docs", "--check")
    assert done.code == 25
    assert "TEST_SUITE_INDEX.md" in done.err


def test_the_doctor_looks_at_what_a_run_needs(sandbox: Sandbox) -> None:
    assert sandbox.run("doctor").code == 0
    sandbox.registry(guard(extra="plugins: [no_such_plugin]"))
    done = sandbox.run("doctor", "--json")
    assert done.code == 48
    assert any("no_such_plugin" in row["finding"] for row in done.values()["findings"] if not row["good"])


@pytest.mark.parametrize(
    "words",
    [
        ["lint"], ["verify"], ["ledger", "--rebuild"], ["ledger", "--check"], ["status"], ["close"], ["docs"],
        ["doctor"], ["guard", "held"],
    ],
    ids=lambda words: " ".join(words),
)  # fmt: skip
def test_every_command_speaks_json(sandbox: Sandbox, words: list[str]) -> None:
    done = sandbox.run(*words, "--json")
    values = json.loads(done.out)
    assert values["code"] == done.code
    assert values["label"]


def test_one_folder_can_be_verified_alone_and_tells_its_files(sandbox: Sandbox) -> None:
    done = sandbox.run("guard", "held", "--keep")
    names = {*read_contents(sandbox.folder(done))}
    assert {"run.json", "result.json", "env.json", "tests.json", "summary.md", "MANIFEST.sha256", "SEAL.json"} <= names
    assert {"pytest_held.log", "pytest_held.events.jsonl", "pytest_held.junit.xml"} <= names
    assert sandbox.run("verify", done.closing[3]).out == "1 report verified\n"
    summary = (sandbox.folder(done) / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# GUARD_HELD: held (GUARD)\n\nEvery test of this guard passed.")


def test_continuous_integration_checks_what_was_recorded(sandbox: Sandbox) -> None:
    assert sandbox.run("guard", "held").code == 0
    sandbox.env["CI"] = "true"
    assert sandbox.run("verify").out == "1 report verified\n"
    assert sandbox.run("ledger", "--check").code == 0
    done = sandbox.run("guard", "held")
    assert done.closing[3].startswith(".redgreen/scratch/")
    assert sandbox.run("verify").out == "1 report verified\n"


def test_artifacts_of_each_kind_are_described(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("amplitude.npy", npy)
    png = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + (7).to_bytes(4) + (5).to_bytes(4) + b"\x08\x02\0\0\0" + b"crc."
    (tmp_path / "a.png").write_bytes(png + b"\0\0\0\0IEND\xaeB`\x82")
    (tmp_path / "b.png").write_bytes(png)
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    # A state dictionary as torch pickles it: GLOBAL _rebuild_tensor_v2 over a persistent FloatStorage of 6 elements.
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)Rt"
        b"Rs."
    )
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    (tmp_path / "b.ckpt").write_bytes(b"not a checkpoint")
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("amplitude.npy", npy)
    whole = (tmp_path / "b.npz").read_bytes()
    start = whole.index(b".npy") + len(b".npy")
    (tmp_path / "b.npz").write_bytes(whole[:start] + bytes(8 * [255]) + whole[start + 8 :])
    told = {path.name: describe_file(path) for path in tmp_path.iterdir()}
    assert told["a.npz"] == ("npz", [ArrayFacts("amplitude", "float32", (2, 3))])
    assert told["a.png"] == ("png", [ArrayFacts("", "uint8", (5, 7, 3))])
    assert told["a.ckpt"] == ("ckpt", [ArrayFacts("w", "float32", (2, 3))])
    assert told["b.png"][0] == "png?!"
    assert told["b.npz"][0] == "npz?!"
    assert told["b.ckpt"][0] == "ckpt?!"
    assert told["a.txt"] == ("file", [])
    assert [entry.path for entry in describe_artifacts(tmp_path, [ArtifactSpec("**/*.ckpt")])] == ["a.ckpt", "b.ckpt"]


def test_a_state_dictionary_with_attributes_is_a_whole_checkpoint(tmp_path: Path) -> None:
    state: OrderedDict[str, int] = OrderedDict()
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]  # as torch modules leave it
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": state, "epoch": 3}))
    assert describe_file(tmp_path / "a.ckpt") == ("ckpt", [])


def test_this_repositorys_own_map_is_whole() -> None:
    registry = load_registry(TOP)
    assert len(registry.selectors) > 50
    categories = {selector.category for selector in registry.selectors.values()}
    assert {
        "configuration_bridge",
        "data_pipeline",
        "workflow_orchestration",
        "persistence",
        "regression_coverage",
    } <= categories
    assert {"smoke", "full_suite", "integration", "error_recovery", "config"} <= categories
    for selector in registry.selectors.values():
        assert "CUDA_VISIBLE_DEVICES" in selector.env
        assert selector.name_log(GUARD).endswith(".log")
