"""What works where torch is not installed, and how what does not says so; in processes that cannot find torch."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absent import TORCH
from torch_optional import requires_torch

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "pytorch_integration"
NEED_TORCH = {
    *("ScanDataModule", "evaluate_result", "export_network", "open_export", "reconstruct_scan", "refine_scan"),
    *("simulate_scan", "train_network"),
}
# with everything below them
TORCH_FREE = {
    *("cli", "config", "config_params", "contracts.legacy.parameters", "contracts.ptychodus.configs", "data", "errors"),
    *("contracts.ptychodus.settings", "formats", "inference", "models.archive"),
    *("models.record", "runtime.progress", "runtime.run_record", "storage", "train", "__main__"),
}


def run(
    code: str, *arguments: str | Path, folder: Path, hidden: tuple[str, ...] = TORCH
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that cannot find some packages."""
    return subprocess.run(
        [sys.executable, "-c", f"import absent\nabsent.hide(*{hidden!r})\n{code}", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "support"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(code: str, folder: Path, *arguments: str | Path) -> str:
    """What code prints that has to come to its end."""
    done = run(code, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMAND_LINE = "import sys\nfrom ptycho_torch.cli.main import main\nsys.exit(main())"
COMMANDS: dict[str, list[str | Path]] = {
    "simulate": ["--output", "scan.npz"],
    "train": ["--data", FIXTURE / "ptycho", "--probe", FIXTURE / "probes", "--output_dir", "out"],
    "infer": ["--data", FIXTURE / "ptycho", "--checkpoint", "last.ckpt", "--output_dir", "out"],
    "refine": ["--data", FIXTURE / "ptycho", "--probe", FIXTURE / "probes", "--output_dir", "out"],
    # a folder that is in use: what would be refused next
    "demo": ["--output_dir", FIXTURE],
}


def test_packages_are_hidden_from_imports_and_searches(tmp_path: Path) -> None:
    code = "import importlib.util\nprint(importlib.util.find_spec('torch'))\nimport numpy\nimport torch.nn"
    done = run(code, folder=tmp_path)
    assert done.stdout.strip() == "None"
    assert "ModuleNotFoundError: No module named 'torch'" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_needs_torch_says_so_in_one_line(command: str, tmp_path: Path) -> None:
    done = run(COMMAND_LINE, command, *COMMANDS[command], folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), f"no explanation: {done.stderr}"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ptycho-torch {command}: torch is not installed")
    assert "python -m pip install torch lightning jaxtyping" in line
    assert not list(tmp_path.iterdir())


@requires_torch
def test_lightning_is_missed_by_its_own_name(tmp_path: Path) -> None:
    done = run(COMMAND_LINE, "train", *COMMANDS["train"], folder=tmp_path, hidden=("lightning",))
    assert done.returncode == 2, f"no explanation: {done.stderr}"
    assert done.stderr.startswith("ptycho-torch train: lightning is not installed")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_needs_no_torch(command: str | None, tmp_path: Path) -> None:
    shown = told(COMMAND_LINE, tmp_path, *([command] if command else []), "--help")
    assert "usage: ptycho-torch" in shown
    if command is None:
        assert all(name in shown for name in COMMANDS)


def test_wrong_options_are_told_before_torch_is_missed(tmp_path: Path) -> None:
    done = run(COMMAND_LINE, "refine", "--data", FIXTURE / "ptycho", "--epochs", "0", folder=tmp_path)
    assert done.returncode == 2
    assert "epochs is 0" in done.stderr


def test_public_names_load_or_explain_themselves(tmp_path: Path) -> None:
    code = (
        "import json, ptycho_torch\n"
        "found = {}\n"
        "for name in ptycho_torch.__all__:\n"
        "    try:\n"
        "        getattr(ptycho_torch, name)\n"
        "    except ImportError as error:\n"
        "        found[name] = [type(error).__name__, isinstance(error, ptycho_torch.PtychoError), str(error)]\n"
        "print(json.dumps(found))"
    )
    found = json.loads(told(code, tmp_path))
    assert set(found) == NEED_TORCH
    for kind, is_ours, message in found.values():
        assert (kind, is_ours) == ("MissingTorchError", True), "no explanation"
        assert message.startswith("torch is not installed")


@pytest.mark.parametrize("name", ["api.base_api", "api.components", "lightning_utils", "model", "models.bundle"])
def test_a_door_that_needs_torch_says_so(name: str, tmp_path: Path) -> None:
    done = run(f"import ptycho_torch.{name}", folder=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ptycho_torch.errors.MissingTorchError: torch is not installed"), "no explanation"
    assert "python -m pip install torch lightning jaxtyping" in last


def test_a_package_that_is_no_part_of_torch_is_missed_as_ever(tmp_path: Path) -> None:
    done = run("import ptycho_torch\nptycho_torch.read_scans", folder=tmp_path, hidden=("h5py",))
    assert "ModuleNotFoundError: No module named 'h5py'" in done.stderr


def test_settings_readers_and_archives_are_imported(tmp_path: Path) -> None:
    names = []
    for path in sorted((ROOT / "ptycho_torch").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "ptycho_torch").with_suffix("").parts).removesuffix(".__init__")
        if any(name == part or name.startswith(f"{part}.") for part in TORCH_FREE):
            names.append(f"ptycho_torch.{name}")
    assert len(names) > 40
    told("import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)", tmp_path, *names)


def test_a_scan_is_read_checked_and_written(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport ptycho_torch as pt\n"
        "from ptycho_torch.formats.ptychodus_folder import write_workflow_directory\n"
        "(scan,) = pt.read_scans(Path(sys.argv[1]), pt.DataSettings(), Path(sys.argv[2]))\n"
        "pt.write_scan(scan, Path('again.npz'))\n"
        "write_workflow_directory(scan, Path('folder'))\n"
        "(other,) = pt.read_scans(Path('folder'))\n"
        "print(scan.counts.shape, float(scan.counts.sum()), abs(other.counts - scan.counts).max())"
    )
    shown = told(code, tmp_path, FIXTURE / "ptycho", FIXTURE / "probes")
    with np.load(FIXTURE / "ptycho" / "scan.npz") as stored, np.load(tmp_path / "again.npz") as again:
        photons = float((stored["diff3d"].astype(np.float32) ** 2).sum())
        shape = stored["diff3d"].shape
        assert any(again[name].shape == shape for name in again.files)
    words = shown.rsplit(maxsplit=2)
    assert words[0] == str(shape)
    assert float(words[1]) == pytest.approx(photons, rel=1e-5)
    assert float(words[2]) < 1e-2


def test_a_bundle_is_written_and_read(tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom pathlib import Path\nfrom ptycho_torch.config import Experiment\n"
        "from ptycho_torch.models.archive import Bundle, open_bundle, write_bundle\n"
        "weights = {'generator.body': np.arange(6, dtype='f4'), 'probes': np.ones((1, 1, 32, 32), 'c8'),\n"
        "           'photons': np.ones(1, 'f4'), 'good': np.ones((1, 32, 32), 'f4')}\n"
        "write_bundle(Bundle(weights, {'N': 32}, Experiment(), 32, 7), Path('wts.h5.zip'))\n"
        "bundle = open_bundle(Path('wts.h5.zip'))\n"
        "print(bundle.params, bundle.steps, bundle.weights['generator.body'].tolist())"
    )
    assert told(code, tmp_path).strip() == "{'N': 32} 7 [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]"


def test_settings_and_groups_are_made(tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom ptycho_torch.config_params import DataConfig, InferenceConfig, ModelConfig\n"
        "from ptycho_torch.config_params import TrainingConfig\n"
        "from ptycho_torch.contracts.ptychodus.settings import translate\n"
        "from ptycho_torch.data.grouping import group_nearest\n"
        "from ptycho_torch.data.grouping import GroupRule, make_groups\n"
        "asked = translate(DataConfig(N=64), ModelConfig(), TrainingConfig(epochs=3), InferenceConfig())\n"
        "line = np.stack([np.arange(9.0), np.zeros(9)], axis=1)\n"
        "rule = GroupRule(3, 'within', least_px=2, most_px=3)\n"
        "print(asked.experiment.training.epochs, group_nearest(line, 3)[4].tolist(), make_groups(line, rule, 0)[4])"
    )
    shown = told(code, tmp_path)
    assert shown.startswith(("3 [4, 3, 5]", "3 [4, 5, 3]"))
    assert set(shown.split("[")[2].strip("]\n").split()) <= set("412678")


def test_modules_that_can_do_without_torch_are_collected(tmp_path: Path) -> None:
    names = runpy.run_path(str(ROOT / "tests" / "conftest.py"))["TORCH_OPTIONAL_MODULES"]
    files = [path for name in names if (path := ROOT / "tests" / "torch" / f"{name}.py").is_file()]
    assert files
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "absent", "-p", "no:cacheprovider", "--collect-only", "-qq", *files],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert all(file.name in done.stdout for file in files)
