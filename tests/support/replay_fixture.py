"""A GREEN whose folder says what a replay showed, sealed again as the runner would have sealed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redgreen_sandbox import Sandbox, fix_product, make_sandbox, write_loose

from redgreen.codes import ProofVerdict
from redgreen.evidence import ledger
from redgreen.evidence.folder import MANIFEST, seal, write_json, write_text
from redgreen.evidence.record import RESULT, SEAL
from redgreen.evidence.replayed import CHANGE, REPLAY, CellRow, HunkRow, ReplayRecord, name_cell
from redgreen.evidence.sealed import SealedRun, load_replay, load_run
from redgreen.evidence.summary import render_summary

PATCH = b"""\
diff --git a/product.py b/product.py
index 1111111..2222222 100644
--- a/product.py
+++ b/product.py
@@ -1,2 +1,2 @@
 def answer():
-    return 41
+    return 42
diff --git a/tests/test_demo.py b/tests/test_demo.py
index 3333333..4444444 100644
--- a/tests/test_demo.py
+++ b/tests/test_demo.py
@@ -1,2 +1,3 @@
 from product import answer
+# ``` </pre><script>alert(1)</script> \xe2\x80\xae
"""
CELLS = (
    CellRow(name_cell("RED", "RED"), 3, {"failed": 1}, ""),
    CellRow(name_cell("RED", "GREEN"), 3, {"failed": 1}, ""),
    CellRow(name_cell("GREEN", "RED"), 3, {"passed": 1}, ""),
    CellRow(name_cell("GREEN", "GREEN"), 3, {"passed": 1}, ""),
)


def make_replay(run: SealedRun, **changes: object) -> ReplayRecord:
    """What a replay of a GREEN might have shown."""
    pair, git = run.result.pairs_with, run.result.git
    assert pair is not None
    assert git is not None
    record = ReplayRecord(
        schema=1,
        run_id=run.result.run_id,
        red=pair.run_id,
        base=git.tree,
        head=git.tree,
        verdict=ProofVerdict.PROVEN,
        reasons=("tests/test_demo.py::test_answer: AssertionError: the answer is not there yet",),
        notes=(),
        fixed=("tests/test_demo.py::test_answer",),
        held=4,
        product=("product.py",),
        others=("tests/test_demo.py",),
        cells=CELLS,
        hunks=(HunkRow("product.py", 1, "witnessed"), HunkRow("product.py", 40, "unwitnessed")),
        repeat=3,
        processes=13,
        wall_s=4.5,
        when="2031-05-06T07:08:09.000+00:00",
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # fields of the record, by name


def reseal(
    sandbox: Sandbox,
    run: SealedRun,
    red: SealedRun,
    *,
    replay: ReplayRecord | None = None,
    change: bytes = b"",
    **changes: object,
) -> SealedRun:
    """Seal a GREEN again with other values in its result, and with another replay and change where they are given."""
    write_loose(run.folder)
    for name in (MANIFEST, SEAL):
        (run.folder / name).unlink()
    partial = run.folder.rename(run.folder.with_name(f".{run.folder.name}.partial"))
    replay = replay or load_replay(replace(run, folder=partial))
    change = change or (partial / CHANGE).read_bytes()
    write_json(partial / REPLAY, replay)
    (partial / CHANGE).write_bytes(change)
    result = replace(run.result, **changes)  # type: ignore[arg-type]  # likewise
    write_json(partial / RESULT, result)
    text = render_summary(result, run.intent.load_selector(), red=red.result, replay=replay, change=change)
    write_text(partial / "summary.md", text)
    folder = seal(partial, result.run_id, result.verdict)
    ledger.rebuild(sandbox.project, sandbox.loaded())
    return load_run(folder)


def record_pair(root: Path, *selectors: str, test: str = "") -> tuple[Sandbox, SealedRun, SealedRun]:
    """Record a RED and its GREEN in a sandbox."""
    sandbox = make_sandbox(root, *selectors)
    if test:
        sandbox.write("tests/test_demo.py", test)
        sandbox.commit("test")
    red = sandbox.record("red")
    fix_product(sandbox)
    return sandbox, red, sandbox.record("green")
