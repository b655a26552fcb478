"""Two networks on the same scans, by the figures of merit that `evaluate` uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RegistrySettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.figures import Panel, save_comparison
from ptycho_torch.evaluate.objects import Image, match_factor
from ptycho_torch.evaluate.scores import evaluate, find_illuminated_area, match_photons
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.physics.propagate import wrap
from ptycho_torch.registry.chance import Errors, Outcome, compare_errors
from ptycho_torch.runtime.device import find_device
from ptycho_torch.solve.scan_model import ScanModel, calibrate_start_probe
from ptycho_torch.workflows.reconstruction import check_size

# a scan is divided into so many rows, and each of them into so many parts
_PARTS = 4
_FIGURES = ("complex_error", "phase_correlation", "R", "R_floor")


@dataclass(frozen=True, eq=False)
class ScanComparison:
    """Two networks on one scan.

    Attributes:
        scan: the scan.
        measure: the figure by which they are compared: `complex_error` if the scan has a true object, otherwise `R`.
        figures: figures of merit of each network's object.
        predictions: each network's object.
        errors: their squared errors in parts of the scan.
    """

    scan: Scan
    measure: str
    figures: tuple[dict[str, float], dict[str, float]]
    predictions: tuple[Prediction, Prediction]
    errors: Errors

    def save_picture(self, names: tuple[str, str], title: str, path: Path) -> None:
        """Draw the true object, if there is one, and the objects of both networks side by side."""
        canvas = self.predictions[0].canvas
        mask = find_illuminated_area(self.predictions[0].illumination)
        panels = [
            Panel(name, found.canvas.pixels, _describe(figures))
            for name, found, figures in zip(names, self.predictions, self.figures, strict=True)
        ]
        if self.scan.truth is not None:
            shape = (canvas.pixels.shape[0], canvas.pixels.shape[1])
            panels.insert(0, Panel("true object", self.scan.truth.cut_window(canvas.origin_px, shape)))
        save_comparison(panels, self.predictions[0].illumination, mask, title, path, canvas.pixel_m)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two networks on the same scans.

    Attributes:
        names: what they are called, the first one being compared against.
        scans: one comparison for each scan.
        outcome: how the second one compares with the first.
    """

    names: tuple[str, str]
    scans: tuple[ScanComparison, ...]
    outcome: Outcome

    @property
    def verdict(self) -> str:
        """One sentence."""
        return self.outcome.describe(*self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "models": list(self.names),
            "verdict": self.verdict,
            "outcome": self.outcome.word,
            "gain": self.outcome.gain,
            "probability": self.outcome.probability,
            "units": f"{self.outcome.units} {self.outcome.unit}",
            "scans": [
                {"name": part.scan.name, "measure": part.measure, "figures": list(part.figures)} for part in self.scans
            ],
        }


def compare_networks(
    names: tuple[str, str],
    networks: tuple[TrainedNetwork, TrainedNetwork],
    scans: Sequence[Scan],
    settings: RegistrySettings,
    *,
    use_probes: bool = False,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Reconstruct scans by two networks alone, without a polish, and compare their objects.

    Args:
        names: what the networks are called.
        networks: the one that is compared against, and the other one.
        scans: patterns of the size that both were trained on.
        settings: when a difference counts.
        use_probes: whether to use the probes of the scans; otherwise each network has that of its training.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called after each scan with the number of scans done.

    Raises:
        CheckpointError: a network takes patterns of another size.
        ConfigError: the device does not exist.
        DataError: a network's object predicts no photons.
    """
    place = find_device(device)
    for network in networks:
        for scan in scans:
            check_size(network, scan)
    compared = []
    for number, scan in enumerate(scans, start=1):
        compared.append(_compare_on(scan, networks, place, use_probe=use_probes))
        if progress:
            progress(number)
    outcome = compare_errors([part.errors for part in compared], settings)
    return Comparison(names, tuple(compared), outcome)


def _compare_on(
    scan: Scan, networks: tuple[TrainedNetwork, TrainedNetwork], place: torch.device, *, use_probe: bool
) -> ScanComparison:
    figures, predictions, errors, noises = [], [], [], []
    for network in networks:
        given = scan.probe if use_probe and scan.probe is not None else network.first_probe
        used = calibrate_start_probe(scan, given, len(given))
        inference = network.experiment.inference
        predictor = Predictor(network.generator, used, scan.sample_photons_per_pattern, place, inference.weighting)
        prediction = predictor.predict(scan, inference.batch_size)
        found = evaluate(scan, prediction.canvas, used, device=place)
        parts, noise = _measure(scan, prediction, used, found["R_floor"], place)
        predictions.append(prediction)
        figures.append(found)
        errors.append(parts)
        noises.append(noise)
    measure = "R" if scan.truth is None else "complex_error"
    # the part of the noise is that of the network which explains the patterns better
    joined = Errors(np.stack(errors, axis=1), min(noises))
    return ScanComparison(scan, measure, (figures[0], figures[1]), (predictions[0], predictions[1]), joined)


def _measure(
    scan: Scan, prediction: Prediction, probe: NDArray[np.complex64], floor: float, place: torch.device
) -> tuple[NDArray[np.float64], float]:
    """Squared error of an object in each part of a scan, and how much of the sum is due to photon noise."""
    model = ScanModel(scan, place)
    wrapped = wrap(torch.from_numpy(np.array(probe))).to(place)
    batches = model.split(model.patterns)
    image = match_photons(model, model.start_object(prediction.canvas), wrapped, batches)
    if scan.truth is not None:
        truth = scan.truth.cut_window(model.frame.origin_px, model.frame.shape_px)
        mask = find_illuminated_area(prediction.illumination)
        return _measure_object(image.cpu().numpy(), truth, mask), 0.0
    misfits = torch.cat([_measure_patterns(model, image, wrapped, batch) for batch in batches]).numpy()
    parts = _divide(scan.positions_px)
    total = model.total_counts
    return np.bincount(parts, misfits, parts.max() + 1) / total, floor**2


def _measure_patterns(model: ScanModel, image: Tensor, probe: Tensor, batch: Tensor) -> Tensor:
    """Σ(√λ−√n)² of each pattern of a batch."""
    expected, counts = model.expected(image, probe, batch), model.load_counts(batch)
    return (expected.sqrt() - counts.sqrt()).square().sum(dim=(1, 2)).double().cpu()


def _measure_object(image: Image, truth: Image, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """‖O − s·Ô‖² in each part of the illuminated area, relative to ‖O‖² of all of it."""
    squares = np.where(mask, np.abs(truth - match_factor(image, truth, mask)) ** 2, 0.0)[mask]
    parts = _divide(np.argwhere(mask).astype(np.float64))
    return np.bincount(parts, squares, parts.max() + 1) / float((np.abs(truth[mask]) ** 2).sum())


def _divide(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Divide places (place, 2) into neighbourhoods of about equal numbers; returns the number of each one's part."""
    result = np.zeros(len(places), np.int64)
    rows = np.array_split(np.argsort(places[:, 0], kind="stable"), _PARTS)
    number = 0
    for row in rows:
        for part in np.array_split(row[np.argsort(places[row, 1], kind="stable")], _PARTS):
            if len(part):
                result[part] = number
                number += 1
    return result


def _describe(figures: dict[str, float]) -> str:
    return "\n".join(f"{name} {figures[name]:.4g}" for name in _FIGURES if name in figures)
