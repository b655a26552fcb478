from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# a module that leaves a file behind as soon as anything imports it
HOSTILE = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\ndef run(*a, **k): ...\n"

FORMS = {
    "function": ["model._target_=hostile.run"],
    "module": ["model._target_=hostile"],
    "added": ["+model.extra._target_=hostile.run"],
    "nested": ["+model.extra={inner:{_target_:hostile.run}}"],
    "list": ["+model.extra=[{_target_:hostile.run}]"],
    "list_in_list": ["+model.extra=[[{_target_:hostile.run}]]"],
    "interpolation": ["+aside=hostile.run", "model._target_=${aside}"],
    "interpolation_in_parts": ["+aside=hostile", "model._target_=${aside}.run"],
    "interpolated_node": ["+aside={_target_:hostile.run}", "+model.extra=${aside}"],
    "partial": ["model._target_=hostile.run", "+model._partial_=true"],
    "arguments": ["model._target_=hostile.run", "+model._args_=[1]"],
    "outside_of_sections": ["+aside._target_=hostile.run"],
}


@pytest.mark.parametrize("overrides", FORMS.values(), ids=FORMS.keys())
def test_a_target_outside_of_the_list_is_refused_before_its_import(tmp_path: Path, overrides: list[str]) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    repository = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-m", "ptycho_torch.run", "train", "run.output_dir=out", *overrides],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(tmp_path)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused = result.returncode == 2 and "hostile" in result.stderr and "_target_" in result.stderr
    assert refused, f"the target was not refused: {result.stderr}"
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.py"]
