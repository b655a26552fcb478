"""The checks of trainings, of which those that several have in common are made once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, OutputError, PtychoError
from ptycho_torch.models.record import LAST_NAME, check_checkpoint
from ptycho_torch.preflight.machine import find_existing, measure_free_disk, measure_memory
from ptycho_torch.preflight.plan import Plan
from ptycho_torch.preflight.report import Finding, Report
from ptycho_torch.preflight.subject import Shared, Subject
from ptycho_torch.runtime.run_record import check_run
from ptycho_torch.runtime.trackers import require_trackers
from ptycho_torch.storage.writing import check_folder
from ptycho_torch.training.fit import CHECKPOINT_FOLDER
from ptycho_torch.training.hardware import check_hardware

_GIB = 2**30
# returns what is good, or raises what is not
Check = Callable[[Subject], str]


def check_all(plans: Sequence[Plan], scans: Sequence[Scan] | None = None) -> list[Report]:
    """Check trainings that will run on this machine or elsewhere; nothing is written.

    Each configuration is built as the training would build it, and its network and loss are computed for a few
    patterns of its scan. Files, networks and versions that trainings have in common are read, built and compared once.

    Args:
        plans: the trainings.
        scans: the scans of all of them, if they have been read already.

    Returns:
        A report for each.
    """
    shared = Shared()
    reports = [_check_one(Subject(plan, shared, scans)) for plan in plans]
    _compare_folders(plans, reports)
    _compare_disk(plans, reports)
    return reports


def _check_one(subject: Subject) -> Report:
    report = Report(subject.plan.name)
    _apply(_OF_THE_MACHINE, subject, report)
    if _is_visible(subject.plan):
        report.findings.append(_read(subject))
        if report.findings[-1].status == "good":
            _apply(_OF_THE_SCANS, subject, report)
        if report.passed:
            _apply({"trial step": _check_step}, subject, report)
        if report.passed:
            report.needs = subject.step.estimate_needs(subject.plan.experiment)
            _apply(_OF_THE_STEP, subject, report)
    report.findings += _list_open(subject.plan, report)
    return report


def _apply(checks: dict[str, Check], subject: Subject, report: Report) -> None:
    for key, check in checks.items():
        try:
            text = check(subject)
        except PtychoError as error:
            report.findings.append(Finding.refuse(error, key))
        else:
            if text:
                report.findings.append(Finding("good", key, text))


def _is_visible(plan: Plan) -> bool:
    """Whether the files of a training are expected here: those of one elsewhere need not be."""
    return not plan.elsewhere or all(path is None or path.exists() for path in (plan.data, plan.probe))


def _check_versions(subject: Subject) -> str:
    return ", ".join(f"{name} {number}" for name, number in subject.versions.items())


def _check_trackers(subject: Subject) -> str:
    return ", ".join(["csv", *require_trackers(subject.plan.experiment.tracking, mlflow=subject.plan.mlflow)])


def _check_device(subject: Subject) -> str:
    plan = subject.plan
    kind = {plan.device.partition(":")[0], plan.experiment.trainer.accelerator} - {"auto"}
    # of a training elsewhere only the kind is known
    device = torch.device(kind.pop() if kind else "cuda") if plan.elsewhere else subject.device
    check_hardware(plan.experiment, device)
    wanted = plan.experiment.trainer.devices or 1
    if device.type == "cuda" and not plan.elsewhere and wanted > torch.cuda.device_count():
        raise ConfigError(f"TrainerSettings.devices is {wanted}; this machine has {torch.cuda.device_count()} GPU(s)")
    return "" if plan.elsewhere else str(device)


def _check_output(subject: Subject) -> str:
    plan = subject.plan
    if plan.elsewhere and not plan.output_dir.exists():
        return ""
    if plan.resume:
        check_run(plan.output_dir)
        check_checkpoint(plan.output_dir / CHECKPOINT_FOLDER / LAST_NAME)
        return f"continues the run in {plan.output_dir}"
    check_folder(plan.output_dir, overwrite=plan.overwrite)
    return str(plan.output_dir)


def _read(subject: Subject) -> Finding:
    plan = subject.plan
    try:
        scans = subject.scans
    except PtychoError as error:
        return Finding.refuse(error, "probe" if plan.probe and "probe" in str(error) else "data")
    patterns = sum(map(len, scans))
    origin = plan.data or "simulated"
    return Finding("good", "data", f"{origin}: {len(scans)} scan(s), {patterns} patterns of {scans[0].patch_px} px")


def _check_probe(subject: Subject) -> str:
    return f"{max(len(scan.require_probe()) for scan in subject.scans)} mode(s)"


def _check_target(subject: Subject) -> str:
    target = subject.plan.experiment.training.target
    if target == "object":
        for scan in subject.scans:
            scan.require_object()
    return target


def _check_network(subject: Subject) -> str:
    parameters = subject.count_weights()
    return f"{subject.plan.experiment.model.network}, {parameters:,} weights"


def _check_group_size(subject: Subject) -> str:
    smallest, size = min(subject.scans, key=len), subject.plan.experiment.training.group_size
    if size > len(smallest):
        raise ConfigError(
            f"TrainingSettings.group_size is {size}, but {smallest.name} has {len(smallest)} patterns; "
            "use smaller groups"
        )
    return f"groups of {size}"


def _check_step(subject: Subject) -> str:
    tried = subject.step.pattern_bytes is not None
    return "shapes are kept and values finite, for a few patterns" if tried else "too large to be tried here"


def _check_processes(subject: Subject) -> str:
    experiment = subject.plan.experiment
    processes = (experiment.trainer.devices or 1) * experiment.trainer.nodes
    groups = subject.step.count_groups(experiment)
    if processes > groups:
        raise ConfigError(
            f"TrainerSettings.devices and TrainerSettings.nodes make {processes} processes, but an epoch has only "
            f"{groups} groups; use fewer processes or smaller groups"
        )
    return f"{groups} groups per epoch for {processes} process(es)"


def _check_memory(subject: Subject) -> str:
    experiment = subject.plan.experiment
    needs = subject.step.estimate_needs(experiment)
    if subject.plan.elsewhere:
        return ""
    memory, step = measure_memory(subject.device), subject.step
    if needs.memory_bytes <= memory:
        return f"about {needs.memory_bytes / _GIB:.2g} of {memory / _GIB:.3g} GiB of {subject.device}"
    fitting = step.find_fitting_batch(memory)
    advice = f"batches of {fitting} groups fit" if fitting else "use a smaller ModelSettings.width"
    setting = "TrainingSettings.batch_size" if fitting else "ModelSettings.width"
    raise ConfigError(
        f"{setting}: a step takes about {needs.memory_bytes / _GIB:.3g} GiB of memory, and {subject.device} has "
        f"{memory / _GIB:.3g} GiB; {advice}"
    )


# what can be checked without the scans, by the key that a refusal concerns if it names no setting
_OF_THE_MACHINE: dict[str, Check] = {
    "versions": _check_versions,
    "tracking.tracker": _check_trackers,
    "device": _check_device,
    "output_dir": _check_output,
}
_OF_THE_SCANS: dict[str, Check] = {
    "probe": _check_probe,
    "training.target": _check_target,
    "training.group_size": _check_group_size,
    "model": _check_network,
}
_OF_THE_STEP: dict[str, Check] = {"trainer.devices": _check_processes, "memory": _check_memory}


def _list_open(plan: Plan, report: Report) -> Iterable[Finding]:
    """List what the machine of the training has to check."""
    if not plan.elsewhere:
        return
    for key, path in (("data", plan.data), ("probe", plan.probe)):
        if path is not None:
            seen = "" if path.exists() else ", which does not exist here"
            yield Finding("there", key, f"the job needs {path.absolute()}{seen}")
    yield Finding("there", "output_dir", f"the job writes to {plan.output_dir.absolute()}")
    needs = f"; {report.needs}" if report.needs else ""
    yield Finding("there", "device", f"the job needs {plan.device} with {plan.experiment.trainer.precision}{needs}")
    yield Finding("there", "versions", "the job compares its libraries with those here")


def _compare_folders(plans: Sequence[Plan], reports: Sequence[Report]) -> None:
    """Refuse trainings that would write to one folder."""
    first: dict[Path, str] = {}
    for plan, report in zip(plans, reports, strict=True):
        folder = plan.output_dir.absolute()
        if folder in first:
            error = OutputError(f"{plan.output_dir}: {first[folder]} writes there too; name another folder")
            report.findings.append(Finding.refuse(error, "output_dir"))
        first.setdefault(folder, plan.name)


def _compare_disk(plans: Sequence[Plan], reports: Sequence[Report]) -> None:
    """Refuse trainings whose checkpoints together do not fit on a disk that is seen from here."""
    disks: dict[int, list[tuple[Plan, Report]]] = defaultdict(list)
    for plan, report in zip(plans, reports, strict=True):
        if report.needs:
            disks[find_existing(plan.output_dir).stat().st_dev].append((plan, report))
    for found in disks.values():
        needed = sum(report.needs.disk_bytes for _, report in found if report.needs)
        free = measure_free_disk(found[0][0].output_dir)
        if needed > free:
            together = f" by {len(found)} trainings" if len(found) > 1 else ""
            error = OutputError(
                f"checkpoints take about {needed / _GIB:.3g} GiB{together}, and {free / _GIB:.3g} GiB are free; "
                "name a folder on another disk"
            )
            for _, report in found:
                report.findings.append(Finding.refuse(error, "output_dir"))
