from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings, TrainerSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.build import NETWORKS, build_network
from ptycho_torch.preflight import Plan, check_all, require_passed
from ptycho_torch.runtime import requirements
from ptycho_torch.training.dataset import stack_groups
from ptycho_torch.training.fit import prepare
from ptycho_torch.training.memory import measure_kept_bytes

SMALL = Experiment(model=ModelSettings(width=4, depth=2), training=TrainingSettings(group_size=4, batch_size=2))
MakePlan = Callable[..., Plan]


@pytest.fixture
def make_plan(small_scan: Scan, tmp_path: Path) -> MakePlan:
    """A sound training of 49 patterns of 32 px, some of whose parts can be given."""
    data = tmp_path / "scan.npz"
    pt.write_scan(small_scan, data)

    def make(name: str = "training", **changed: object) -> Plan:
        plan = Plan(experiment=SMALL, data=data, output_dir=tmp_path / name, device="cpu", name=name)
        return replace(plan, **changed)  # type: ignore[arg-type]

    return make


def adapt(**training: object) -> Experiment:
    return replace(SMALL, training=replace(SMALL.training, **training))  # type: ignore[arg-type]


def test_a_sweep_is_refused_for_its_broken_trainings_alone(make_plan: MakePlan) -> None:
    rates = [10 ** -(2 + number / 20) for number in range(40)]
    plans = [
        make_plan(f"{number}", experiment=adapt(learning_rate=rate, group_size=50 if number == 17 else 4))
        for number, rate in enumerate(rates)
    ]
    reports = check_all(plans)
    assert [report.name for report in reports if not report.passed] == ["17"]
    with pytest.raises(ConfigError, match=r"^17: training.group_size: .* has 49 patterns; use smaller groups; `ptycho"):
        require_passed(reports)
    assert all(report.needs for report in reports if report.passed)


def test_a_file_that_is_damaged_while_a_sweep_is_checked_was_read_once(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real_open = Path.open

    def count(path: Path, *arguments: object, **options: object) -> object:
        opened.append(path.name)
        return real_open(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", count)
    alone = [check_all([make_plan("0")]), opened.count("scan.npz")][1]
    opened.clear()
    assert all(report.passed for report in check_all([make_plan(f"{number}") for number in range(10)]))
    assert opened.count("scan.npz") == alone


def test_two_trainings_cannot_write_to_one_folder(make_plan: MakePlan, tmp_path: Path) -> None:
    plans = [make_plan("a"), make_plan("b", output_dir=tmp_path / "a"), make_plan("c")]
    first, second, third = check_all(plans)
    assert first.passed
    assert third.passed
    [refusal] = second.refusals
    assert (refusal.key, "a writes there too" in refusal.text) == ("output_dir", True)


def test_checkpoints_of_all_trainings_must_fit_on_the_disk(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alone] = check_all([make_plan()])
    assert alone.needs
    free = 3 * alone.needs.disk_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert all(report.passed for report in check_all([make_plan(f"{number}") for number in range(3)]))
    reports = check_all([make_plan(f"{number}") for number in range(4)])
    assert [report.refusals[0].key for report in reports] == ["output_dir"] * 4
    assert "by 4 trainings" in reports[0].refusals[0].text


def test_what_only_the_other_machine_can_show_is_listed(make_plan: MakePlan, tmp_path: Path) -> None:
    seen, unseen = check_all(
        [
            make_plan("seen", elsewhere=True, device="cuda"),
            make_plan("unseen", elsewhere=True, device="cuda", data=tmp_path / "on_the_cluster.npz"),
        ]
    )
    for report in (seen, unseen):
        assert report.passed
        open_keys = [finding.key for finding in report.findings if finding.status == "there"]
        assert open_keys == ["data", "output_dir", "device", "versions"]
    assert seen.needs
    assert any(finding.key == "trial step" and finding.status == "good" for finding in seen.findings)
    assert unseen.needs is None
    assert any("on_the_cluster.npz, which does not exist here" in finding.text for finding in unseen.findings)


def test_what_is_wrong_here_is_wrong_elsewhere(make_plan: MakePlan) -> None:
    [report] = check_all([make_plan(elsewhere=True, device="cuda", experiment=adapt(group_size=50))])
    assert [finding.key for finding in report.refusals] == ["training.group_size"]


def test_mixed_precision_is_possible_on_the_gpu_of_another_machine(make_plan: MakePlan) -> None:
    mixed = replace(SMALL, trainer=TrainerSettings(precision="16-mixed"))
    [there, here] = check_all(
        [make_plan("a", elsewhere=True, device="auto", experiment=mixed), make_plan("b", experiment=mixed)]
    )
    assert there.passed
    assert [finding.key for finding in here.refusals] == ["trainer.precision"]


def test_the_memory_of_a_step_is_that_of_a_real_one(make_plan: MakePlan, small_scan: Scan) -> None:
    experiment = adapt(group_size=9, batch_size=3)
    [report] = check_all([make_plan(experiment=experiment)])
    assert report.needs
    assert small_scan.probe is not None
    data, module = prepare([small_scan], [small_scan.probe], experiment, torch.device("cpu"))
    batch = stack_groups([data.training[number] for number in range(3)])
    kept = measure_kept_bytes(module, batch, torch.float32)
    estimated = report.needs.memory_bytes - 16 * report.needs.parameters
    assert estimated == pytest.approx(1.3 * kept, rel=0.3)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_is_counted_without_being_built(network: str) -> None:
    experiment = replace(SMALL, model=ModelSettings.from_dict({"network": network}))
    with torch.device("meta"):
        counted = build_network(experiment, 64)
    built = build_network(experiment, 64)
    assert [weight.shape for weight in counted.parameters()] == [weight.shape for weight in built.parameters()]
    assert all(weight.is_meta for weight in counted.parameters())


def test_a_library_of_another_version_is_named(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "requires", lambda name: ["numpy>=99", "nothing; extra == 'dev'"])
    [report] = check_all([make_plan()])
    [refusal] = report.refusals
    assert refusal.key == "versions"
    assert "numpy>=99 is needed" in refusal.text


class TestTrainingInAJob:
    """A training on a GPU or a cluster is checked first of all."""

    @pytest.fixture(autouse=True)
    def job(self, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SLURM_JOB_ID", "17")
        make_plan()
        assert (tmp_path / "scan.npz").exists()

    def train(self, *options: str) -> int:
        small = ["--data", "scan.npz", "--output_dir", "run", "--steps", "1", "--width", "4", "--depth", "1"]
        quick = ["--bootstrap_epochs", "0", "--device", "cpu", "--quiet"]
        return main(["train", *small, *quick, *options])

    def test_a_broken_one_ends_at_once(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert self.train("--group_size", "60") == 2
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert told.startswith("ptycho-torch train: training.group_size: ")
        assert "--no-preflight leaves them out" in told
        assert not (tmp_path / "run").exists()

    def test_a_later_process_leaves_the_checks_to_the_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLURM_PROCID", "1")
        assert self.train("--group_size", "60") == 0

    def test_the_way_round_trains(self, tmp_path: Path) -> None:
        assert self.train("--group_size", "60", "--no-preflight") == 0
        assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_every_reason_is_told_at_once(make_plan: MakePlan) -> None:
    broken = replace(adapt(group_size=50, target="object"), model=ModelSettings(depth=5))
    [report] = check_all([make_plan(experiment=broken, output_dir=Path(__file__))])
    assert [finding.key for finding in report.refusals] == ["output_dir", "training.group_size", "model.depth"]
