"""From a trained network and a scan to an object: predict, polish, judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment, InferenceSettings, RefineSettings, TrainerSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.grouping import group_nearest
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.evaluate.live import choose_live
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.runtime.device import find_rank_device
from ptycho_torch.runtime.interrupts import Interrupted, Interrupts
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.progress import Progress, Stages
from ptycho_torch.runtime.ranks import (
    Ranks,
    check_enough,
    describe_scan,
    find_ranks,
    hash_arrays,
    is_launched,
    join_ranks,
)
from ptycho_torch.runtime.saved_state import SavedState, Saving
from ptycho_torch.solve.scan_model import Solution, calibrate_start_probe
from ptycho_torch.solve.solve import choose_method, refine
from ptycho_torch.workflows.display import Shown, ShownObject

_log = logging.getLogger(__name__)

# share by which R from the network's object must be lower: R hardly depends on slow errors of the phase, which a wrong
# object leaves behind and a flat one does not
_LEAST_GAIN = 0.015


@dataclass(frozen=True, eq=False)
class Reconstruction(Shown):
    """A scan with its reconstruction by a network.

    Attributes:
        scan: the scan.
        prediction: the network's own object.
        probe: (mode, h, w) probe that the network used, in √photons.
        polished: the network's object after the solver; None without a polish.
        control: the solver's result from a flat object; None without a control.
        metrics: figures of merit by name of the object (`network`, `network_polish`, `flat_polish`), and timings.
        sample: (group, pattern, h, w) complex64 patches that the network predicted for the first batch of groups.
        sample_patterns: (group, pattern) their patterns.
        verdict: whether to trust the result.
        interrupted: name of the signal that ended the run before it was complete; empty if it was not interrupted.
    """

    scan: Scan
    prediction: Prediction
    probe: NDArray[np.complex64]
    polished: Solution | None
    control: Solution | None
    metrics: dict[str, dict[str, float]]
    sample: NDArray[np.complex64]
    sample_patterns: NDArray[np.int64]
    verdict: Verdict
    interrupted: str = ""

    @property
    def name(self) -> str:
        """The result's name in `metrics`: the polished object with the lower R, or `network` without a polish."""
        return _choose_result(self.metrics)

    @property
    def start(self) -> str:
        """The initial guess of the result: `network` or, if the network's object gained nothing, `flat`."""
        return "flat" if self.name == "flat_polish" else "network"

    @property
    def solution(self) -> Solution:
        """The result: the better of the polished objects, or the network's own without a polish."""
        polished = self.polished if self.start == "network" else self.control
        return polished or Solution(self.prediction.canvas, self.probe, (), "network")

    @property
    def canvas(self) -> Canvas:
        """The object of the result."""
        return self.solution.canvas

    @property
    def shown_objects(self) -> list[ShownObject]:
        """The objects by network and solver, as far as they were made, with their figures."""
        made = (
            ("network + polish", "network_polish", self.polished and self.polished.canvas),
            ("network", "network", self.prediction.canvas),
            ("flat + polish (control)", "flat_polish", self.control and self.control.canvas),
        )
        return [ShownObject(title, canvas, self.metrics[key]) for title, key, canvas in made if canvas]


def _choose_result(metrics: Mapping[str, Mapping[str, float]]) -> str:
    if "flat_polish" not in metrics:
        return "network_polish" if "network_polish" in metrics else "network"
    polished, flat = metrics["network_polish"]["R"], metrics["flat_polish"]["R"]
    return "network_polish" if polished < (1 - _LEAST_GAIN) * flat else "flat_polish"


def reconstruct_scan(
    network: TrainedNetwork | Path | str,
    scan: Scan,
    *,
    inference: InferenceSettings | None = None,
    polish: RefineSettings | None = None,
    probe: NDArray[np.complex64] | None = None,
    device: str = "auto",
    trainer: TrainerSettings | None = None,
    progress: Stages | None = None,
    saving: Saving | None = None,
) -> Reconstruction:
    """Reconstruct a scan with a trained network and polish the object with the solver.

    By default the solver also starts from a flat object, and the network's is the result only if its R is lower.

    Args:
        network: a network, or the checkpoint to load it from.
        scan: patterns of the size that the network was trained on.
        inference: batch size, and what to compute.
        polish: settings of the solver; by default those of the network's training.
        probe: (mode, h, w) probe of this scan; by default that of the first training scan.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        trainer: its accelerator, devices and nodes; several processes share the patterns, as in `train_network`, and
            return the same result.
        progress: shows the progress of each stage.
        saving: where to save what was found so far, and whether to go on from there. SIGINT and SIGTERM then end the
            run with the best object so far, which says so.

    Raises:
        CheckpointError: the checkpoint cannot be used, or has another size of patterns; or the saved state is damaged,
            or that of another run.
        Interrupted: a signal ended the run before the network's object was found.
        ConfigError: the device does not exist, or there are fewer patterns than processes.
        RankError: a process was lost, or differs from the others.
    """
    trainer = trainer or TrainerSettings()
    ranks = find_ranks(trainer)
    place = find_rank_device(device, trainer, ranks)
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    check_size(trained, scan)
    check_enough(ranks, len(scan), "patterns")
    inference, polish = inference or trained.experiment.inference, polish or trained.experiment.refine
    given = trained.first_probe if probe is None else probe
    if not is_launched():
        _warn_unused(scan, given, inference, polish, trained.experiment)
    if not ranks.started:
        chosen = {"inference": inference, "polish": polish, "probe": given, "device": device, "trainer": trainer}
        chosen |= {"progress": progress, "saving": saving}
        return launch(ranks, reconstruct_scan, trained, scan, answers_signals=saving is not None, **chosen)
    shared = {"inference": inference, "polish": polish, "network": trained.steps, "scan": describe_scan(scan)}
    interrupts = Interrupts()
    with join_ranks(ranks, shared), interrupts.catch(ranks) if saving else nullcontext():
        state = SavedState(saving, describe_inference(trained, scan, given, inference, polish), ranks, interrupts)
        return _reconstruct(trained, scan, given, inference, polish, place, ranks, progress, state)


def describe_inference(
    trained: TrainedNetwork,
    scan: Scan,
    probe: NDArray[np.complex64] | None,
    inference: InferenceSettings,
    polish: RefineSettings,
) -> dict[str, object]:
    """Describe what a saved state must have in common with the run that goes on from it; see `reconstruct_scan`."""
    given = trained.first_probe if probe is None else probe
    sections = (inference, polish)
    values = {f"{type(part).__name__}.{name}": value for part in sections for name, value in part.to_dict().items()}
    weights = hash_arrays(*(value.numpy() for value in trained.generator.state_dict().values()))
    what = {"the command": "infer", "the scan": describe_scan(scan), "the probe": hash_arrays(given)}
    return {**what, "the network": weights, **values}


def _reconstruct(
    trained: TrainedNetwork,
    scan: Scan,
    given: NDArray[np.complex64],
    inference: InferenceSettings,
    polish: RefineSettings,
    place: torch.device,
    ranks: Ranks,
    progress: Stages | None,
    state: SavedState,
) -> Reconstruction:
    used = calibrate_start_probe(scan, given, len(given))
    polish = replace(polish, probe_modes=max(polish.probe_modes, len(used)))
    predictor = Predictor(trained.generator, used, scan.sample_photons_per_pattern, place, inference.weighting, ranks)
    shown = progress("network", len(scan), "pattern") if progress else None
    prediction, seconds = _predict(predictor, scan, inference.batch_size, shown, state)
    metrics = {"network": evaluate(scan, prediction.canvas, used, device=place, ranks=ranks)}

    def solve(name: str, title: str, guess: Canvas | None) -> Solution:
        shown = progress(title, polish.epochs, "epoch") if progress else None
        solution = refine(
            scan,
            polish,
            guess=guess,
            probe=used,
            device=place,
            ranks=ranks,
            progress=shown,
            stage=state.stage.part(title),
            show=choose_live(scan, state.saving, ranks),
        )
        described = solution.scan or scan
        metrics[name] = evaluate(described, solution.canvas, solution.probe, device=place, ranks=ranks, held_out=polish)
        return solution

    polished = control = None
    interrupted = ""
    try:
        if inference.polish:
            polished = solve("network_polish", "network + polish", prediction.canvas)
        if polished and not polished.interrupted and inference.control:
            control = solve("flat_polish", "flat + polish", None)
    except Interrupted as interruption:
        interrupted = interruption.signal_name
    for solved in (polished, control):
        interrupted = interrupted or (solved.interrupted if solved else "")
    name = _choose_result(metrics)
    solution = {"network_polish": polished, "flat_polish": control}.get(name)
    residual = Residual(metrics[name]["R"], metrics[name]["R_floor"])
    described, final = ((solution.scan or scan), solution.probe) if solution else (scan, used)
    verdict = judge(described, final, residual, used, ranks)
    metrics["speed"] = {"network_seconds": seconds, "patterns_per_second": len(scan) / seconds}
    training = trained.experiment.training
    groups = group_nearest(scan.positions_px, min(training.group_size, len(scan)), groups=training.batch_size)
    sample = predictor.predict_patches(scan, groups.ravel()).unflatten(0, groups.shape).cpu().numpy()
    result = Reconstruction(scan, prediction, used, polished, control, metrics, sample, groups, verdict, interrupted)
    if polished and control:
        residuals = tuple(metrics[name]["R"] for name in ("network_polish", "flat_polish"))
        _log.info("R %.4f from the network's object, %.4f from a flat object; start: %s", *residuals, result.start)
    return result


def _predict(
    predictor: Predictor, scan: Scan, batch_size: int, progress: Progress | None, state: SavedState
) -> tuple[Prediction, float]:
    """Predict the object of a scan; also returns the seconds that it took."""
    stage, before = state.stage.part("network"), state.seconds
    found = stage.load(lambda values: (Prediction.load(values), float(values["seconds"])))
    if found is None:
        with state.interrupts.allow():
            prediction = predictor.predict(scan, batch_size, progress, stage)
        found = prediction, state.seconds - before
        stage.finish({**prediction.dump(), "seconds": found[1]})
    return found


def _warn_unused(
    scan: Scan,
    probe: NDArray[np.complex64],
    inference: InferenceSettings,
    polish: RefineSettings,
    trained: Experiment,
) -> None:
    inference.warn_unused(trained.inference)
    if inference.polish:
        replace(polish, method=choose_method(polish, scan, probe)).warn_unused(trained.refine)
    else:
        polish.warn_unused(trained.refine, needs="InferenceSettings.polish is True")


def check_size(network: TrainedNetwork, scan: Scan) -> None:
    """Raise CheckpointError unless the network takes patterns of the scan's size."""
    if network.patch_px != scan.patch_px:
        raise CheckpointError(
            f"the network was trained on patterns of {network.patch_px} px; {scan.name} has {scan.patch_px} px"
        )
