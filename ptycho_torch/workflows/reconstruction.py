"""From a trained network and a scan to an object: predict, polish, judge."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment, InferenceSettings, RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.grouping import group_nearest
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.solve.scan_model import Solution, calibrate_start_probe
from ptycho_torch.solve.solve import choose_method, refine

_log = logging.getLogger(__name__)

# share by which R from the network's object must be lower: R hardly depends on slow errors of the phase, which a wrong
# object leaves behind and a flat one does not
_LEAST_GAIN = 0.015


@dataclass(frozen=True, eq=False)
class Reconstruction:
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
    """

    scan: Scan
    prediction: Prediction
    probe: NDArray[np.complex64]
    polished: Solution | None
    control: Solution | None
    metrics: dict[str, dict[str, float]]
    sample: NDArray[np.complex64]
    sample_patterns: NDArray[np.int64]

    @cached_property
    def verdict(self) -> Verdict:
        """Whether to trust the result."""
        found, scan = self.metrics[self.name], self.solution.scan or self.scan
        return judge(scan, self.solution.probe, Residual(found["R"], found["R_floor"]), self.probe)

    @property
    def name(self) -> str:
        """The result's name in `metrics`: the polished object with the lower R, or `network` without a polish."""
        if self.polished is None:
            return "network"
        if self.control is None:
            return "network_polish"
        polished, flat = self.metrics["network_polish"]["R"], self.metrics["flat_polish"]["R"]
        return "network_polish" if polished < (1 - _LEAST_GAIN) * flat else "flat_polish"

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


def reconstruct_scan(
    network: TrainedNetwork | Path | str,
    scan: Scan,
    *,
    inference: InferenceSettings | None = None,
    polish: RefineSettings | None = None,
    probe: NDArray[np.complex64] | None = None,
    device: str = "auto",
    progress: Stages | None = None,
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
        progress: shows the progress of each stage.

    Raises:
        CheckpointError: the checkpoint cannot be used, or has another size of patterns.
        ConfigError: the device does not exist.
    """
    place = find_device(device)
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    check_size(trained, scan)
    inference, polish = inference or trained.experiment.inference, polish or trained.experiment.refine
    given = trained.probes[0] if probe is None else probe
    _warn_unused(scan, given, inference, polish, trained.experiment)
    used = calibrate_start_probe(scan, given, len(given))
    polish = replace(polish, probe_modes=max(polish.probe_modes, len(used)))

    predictor = Predictor(trained.generator, used, scan.sample_photons_per_pattern, place, inference.weighting)
    stage = progress("network", len(scan), "pattern") if progress else None
    started = time.perf_counter()
    prediction = predictor.predict(scan, inference.batch_size, stage)
    seconds = time.perf_counter() - started
    metrics = {"network": evaluate(scan, prediction.canvas, used, device=place)}

    def solve(name: str, title: str, guess: Canvas | None) -> Solution:
        stage = progress(title, polish.epochs, "epoch") if progress else None
        solution = refine(scan, polish, guess=guess, probe=used, device=place, progress=stage)
        metrics[name] = evaluate(solution.scan or scan, solution.canvas, solution.probe, device=place, held_out=polish)
        return solution

    polished = solve("network_polish", "network + polish", prediction.canvas) if inference.polish else None
    control = solve("flat_polish", "flat + polish", None) if inference.polish and inference.control else None
    metrics["speed"] = {"network_seconds": seconds, "patterns_per_second": len(scan) / seconds}
    training = trained.experiment.training
    groups = group_nearest(scan.positions_px, min(training.group_size, len(scan)))[: training.batch_size]
    sample = predictor.predict_patches(scan, groups.ravel()).unflatten(0, groups.shape).cpu().numpy()
    result = Reconstruction(scan, prediction, used, polished, control, metrics, sample, groups)
    if polished and control:
        residuals = tuple(metrics[name]["R"] for name in ("network_polish", "flat_polish"))
        _log.info("R %.4f from the network's object, %.4f from a flat object; start: %s", *residuals, result.start)
    return result


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
