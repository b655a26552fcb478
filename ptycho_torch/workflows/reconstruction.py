"""A trained network and a scan to an object: predict, polish, judge."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import InferenceSettings, RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.grouping import nearest_groups
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.solve.scan_model import Solution, starting_probe
from ptycho_torch.solve.solve import chosen_method, refine

_log = logging.getLogger(__name__)

# the network's object must explain the patterns better by this share: R hardly sees slow errors of the phase, which a
# wrong object leaves behind and empty space does not
_LEAST_GAIN = 0.015


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What came out of a scan.

    Attributes:
        scan: the scan.
        prediction: the network's own object.
        probe: (mode, h, w) probe that the network used, in √photons.
        polished: the network's object after the physics solver; None where that was left out.
        control: the same solver from empty space; None where that was left out.
        metrics: figures of merit by name of the object (`network`, `network_polish`, `flat_polish`), and timings.
        sample: (group, pattern, h, w) complex64 patches of the first batch of groups as the network made them.
        sample_patterns: (group, pattern) which patterns they are.
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
        polished = "network_polish" if self.start == "network" else "flat_polish"
        found = self.metrics[polished if polished in self.metrics else "network"]
        return judge(self.scan, self.solution.probe, Residual(found["R"], found["R_floor"]), self.probe)

    @property
    def start(self) -> str:
        """What the result was polished from: `network` or, where that explains the patterns no better, `empty`."""
        residual = {name: figures["R"] for name, figures in self.metrics.items() if "R" in figures}
        flat = residual.get("flat_polish", float("inf"))
        return "network" if residual.get("network_polish", 0) < (1 - _LEAST_GAIN) * flat else "empty"

    @property
    def solution(self) -> Solution:
        """The result: the better of the polished objects, or the network's own where none was polished."""
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
    """Reconstruct a scan with a trained network and finish it with the physics solver.

    The solver also starts from empty space, unless that is turned off, and the result is the network's only where it
    explains the patterns better than what came from there.

    Args:
        network: a checkpoint, or what `load_network` or `load_bundle` read.
        scan: patterns of the size that the network was trained on.
        inference: batch size, what to compute.
        polish: the solver's settings; those of the training's experiment without any.
        probe: (mode, h, w) probe of this scan; the first training scan's without one.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: shows each stage's progress.

    Raises:
        CheckpointError: the checkpoint cannot be used, or not for patterns of this size.
        ConfigError: the device is not there.
    """
    place = find_device(device)
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    check_size(trained, scan)
    inference = inference or trained.experiment.inference
    polish = polish or trained.experiment.refine
    inference.warn_idle(trained.experiment.inference)
    given = trained.probes[0] if probe is None else probe
    if inference.polish:
        method = chosen_method(polish, scan, given)
        replace(polish, method=method).warn_idle(trained.experiment.refine)
    else:
        polish.warn_idle(trained.experiment.refine, needs="InferenceSettings.polish True")
    used = starting_probe(scan, given, len(given))
    polish = replace(polish, probe_modes=max(polish.probe_modes, len(used)))
    predictor = Predictor(trained.generator, used, scan.photons_per_pattern, place, inference.weighting)
    started = time.perf_counter()
    prediction = predictor.predict(
        scan, inference.batch_size, progress("network", len(scan), "pattern") if progress else None
    )
    seconds = time.perf_counter() - started
    polished, control = (
        refine(
            scan,
            polish,
            guess=guess,
            probe=used,
            device=place,
            progress=progress(name, polish.epochs, "epoch") if progress else None,
        )
        if wanted
        else None
        for wanted, guess, name in (
            (inference.polish, prediction.canvas, "network + polish"),
            (inference.polish and inference.control, None, "flat + polish"),
        )
    )
    metrics = {"network": evaluate(scan, prediction.canvas, used, device=place)}
    for name, solution in (("network_polish", polished), ("flat_polish", control)):
        if solution:
            metrics[name] = evaluate(scan, solution.canvas, solution.probe, device=place)
    metrics["speed"] = {"network_seconds": seconds, "patterns_per_second": len(scan) / seconds}
    groups = _sample_groups(scan, trained)
    sample = predictor.patches(scan, groups.ravel()).unflatten(0, groups.shape).cpu().numpy()
    result = Reconstruction(scan, prediction, used, polished, control, metrics, sample, groups)
    if polished and control:
        residuals = tuple(metrics[name]["R"] for name in ("network_polish", "flat_polish"))
        _log.info("R %.4f from the network's object, %.4f from empty space; start: %s", *residuals, result.start)
    return result


def check_size(network: TrainedNetwork, scan: Scan) -> None:
    """Raise CheckpointError unless the network takes patterns of the scan's size."""
    if network.patch_px != scan.patch_px:
        raise CheckpointError(
            f"the network was trained on patterns of {network.patch_px} px; {scan.name} has {scan.patch_px} px"
        )


def _sample_groups(scan: Scan, trained: TrainedNetwork) -> NDArray[np.int64]:
    training = trained.experiment.training
    return nearest_groups(scan.positions_px, min(training.group_size, len(scan)))[: training.batch_size]
