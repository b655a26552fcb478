"""A trained network and a scan to an object: predict, polish, judge, write."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import InferenceSettings, RefineSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.grouping import nearest_groups
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.evaluate.figures import Panel, save_comparison, save_object
from ptycho_torch.evaluate.scores import evaluate, lit_area
from ptycho_torch.formats.npz import write_object
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import refine
from ptycho_torch.storage.writing import write_json, write_whole


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

    @property
    def canvas(self) -> Canvas:
        """The best object: polished where it was polished."""
        return self.polished.canvas if self.polished else self.prediction.canvas

    @property
    def final_probe(self) -> NDArray[np.complex64]:
        """The probe that belongs to `canvas`."""
        return self.polished.probe if self.polished else self.probe


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
        DivergenceError: the solver met a value that is not finite.
    """
    place = find_device(device)
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    check_size(trained, scan)
    inference = inference or trained.experiment.inference
    polish = polish or trained.experiment.refine
    used = _calibrated(scan, trained.probes[0] if probe is None else probe)
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
    return Reconstruction(scan, prediction, used, polished, control, metrics, sample, groups)


def check_size(network: TrainedNetwork, scan: Scan) -> None:
    """Raise CheckpointError unless the network takes patterns of the scan's size."""
    if network.patch_px != scan.patch_px:
        raise CheckpointError(
            f"the network was trained on patterns of {network.patch_px} px; {scan.name} has {scan.patch_px} px"
        )


def write_reconstruction(result: Reconstruction, folder: Path) -> dict[str, str]:
    """Write object, probe, pictures and figures of merit into a folder; returns the files by what they are.

    A scan that came with a product leaves a product as well.
    """
    mask = lit_area(result.prediction.light)
    amplitude, phase = save_object(result.canvas.pixels, folder, mask)
    paths = {
        "object": folder / "object.npz",
        "probe": folder / "probe.npy",
        "network_object": folder / "network_object.npz",
        "prediction": folder / "prediction.npz",
        "metrics": folder / "metrics.json",
        "comparison": folder / "comparison.png",
        "amplitude": amplitude,
        "phase": phase,
    }
    write_object(result.canvas, paths["object"])
    write_object(result.prediction.canvas, paths["network_object"])
    with write_whole(paths["probe"]) as file:
        np.save(file, result.final_probe)
    with write_whole(paths["prediction"]) as file:
        np.savez_compressed(file, patches=result.sample, patterns=result.sample_patterns)
    write_json(result.metrics, paths["metrics"])
    save_comparison(_panels(result), result.prediction.light, mask, _title(result), paths["comparison"])
    if result.scan.source is not None:
        losses = result.polished.errors if result.polished else ()
        paths |= result.scan.source.write_result(folder, result.canvas, result.final_probe, losses)
    return {name: path.name for name, path in paths.items()}


def _calibrated(scan: Scan, probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    scale = (scan.photons_per_pattern / float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))) ** 0.5
    return (probe * scale).astype(np.complex64)


def _sample_groups(scan: Scan, trained: TrainedNetwork) -> NDArray[np.int64]:
    training = trained.experiment.training
    return nearest_groups(scan.positions_px, min(training.group_size, len(scan)))[: training.batch_size]


def _panels(result: Reconstruction) -> list[Panel]:
    panels = []
    if result.scan.truth is not None:
        frame = Frame(result.scan.positions_px, result.scan.patch_px)
        panels.append(Panel("truth", result.scan.truth.window(frame.origin_px, frame.shape_px)))
    for title, key, canvas in (
        ("network + polish", "network_polish", result.polished and result.polished.canvas),
        ("network", "network", result.prediction.canvas),
        ("flat + polish (control)", "flat_polish", result.control and result.control.canvas),
    ):
        if canvas:
            panels.append(Panel(title, canvas.pixels, _note(result.metrics[key])))
    return panels


def _note(figures: dict[str, float]) -> str:
    lines = [f"R {figures['R']:.4f} (floor {figures['R_floor']:.4f})"]
    if "complex_error" in figures:
        lines.append(f"error {figures['complex_error']:.3f}, phase corr. {figures['phase_correlation']:.3f}")
    return "\n".join(lines)


def _title(result: Reconstruction) -> str:
    scan = result.scan
    return f"{scan.name}: {len(scan)} patterns of {scan.patch_px}², {scan.photons_per_pattern:.3g} photons each"
