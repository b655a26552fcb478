"""Features of a scan that tell whether it is like others: of each pattern, and of what a network makes of them.

Features of a pattern: its dose, its mean radius and its speckle size, its similarity with the pattern of the probe that
the network knows, and how much the network's patches contradict each other around its position. Of the whole scan: the
misfit between measured patterns and those of the network's object, beyond that of noise. The last two need no true
object, and grow when the network's error does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.physics.forward import expect_counts

Values = NDArray[np.float64]

# names with what they mean, in the order in which they are shown
FEATURES = {
    "dose": "logarithm (base 10) of the photons per pattern",
    "radius": "mean radius of the photons of a pattern in pixels",
    "speckle": "size of the speckles of a pattern in pixels",
    "probe": "similarity of a pattern with that of the network's probe without a sample",
    "spread": "contradiction between the network's overlapping patches, as a share of the object",
}
_BATCH = 64
_PART = 256
_LIT_SHARE = 0.05
# of the correlations of neighbouring pixels; they bound the size of a speckle to 0.6 to 17 px
_LEAST_RATIO, _HIGHEST_RATIO = 1.01, 1e3
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class ScanFeatures:
    """The features of one scan.

    Attributes:
        name: name of the scan.
        values: (pattern,) values of each feature of `FEATURES`.
        spread: contradiction between the network's patches over the illuminated area, as a share of the object.
        misfit: misfit between the patterns and those of the network's object, beyond that of noise.
    """

    name: str
    values: dict[str, Values]
    spread: float
    misfit: float

    @property
    def error(self) -> float:
        """A figure that grows as the network's error does: the geometric mean of spread, twice, and misfit.

        The misfit has less weight, since it also grows by what hardly changes the object, such as a background.
        """
        return (self.spread**2 * self.misfit) ** (1 / 3)


def measure_features(trained: TrainedNetwork, scan: Scan, device: torch.device) -> ScanFeatures:
    """Measure the features of a scan.

    Args:
        trained: the network.
        scan: patterns of the size that it was trained on.
        device: where to compute.

    Raises:
        DataError: the patterns have another size.
    """
    if scan.patch_px != trained.patch_px:
        raise DataError(f"{scan.name}: patterns have {scan.patch_px} px; the network was trained on {trained.patch_px}")
    probe = trained.first_probe
    predictor = Predictor(trained.generator, probe, scan.sample_photons_per_pattern, device)
    prediction = predictor.predict(scan, _BATCH)
    figures = evaluate(scan, prediction.canvas, probe, device=device)
    misfit = max(figures["R"] ** 2 - figures["R_floor"] ** 2, _LEAST**2) ** 0.5
    weight = predictor.illumination.cpu().numpy()
    values = _measure_patterns(scan, trained) | {"spread": _measure_spread(scan, prediction, weight)}
    return ScanFeatures(scan.name, values, max(_measure_total_spread(prediction), _LEAST), misfit)


def _measure_patterns(scan: Scan, trained: TrainedNetwork) -> dict[str, Values]:
    """Dose, radius, speckle size and similarity with the probe's pattern, of each pattern."""
    side, good = scan.patch_px, scan.good_pixels
    row, column = np.ogrid[:side, :side]
    radius = np.hypot(row - side // 2, column - side // 2)
    empty = torch.ones((1, side, side), dtype=torch.complex64)
    templates = [
        np.sqrt(expect_counts(empty, torch.from_numpy(np.array(probe))[None])[0].numpy()) * good
        for probe in trained.probes
    ]
    mean = _take_amplitude(scan, slice(None, None, max(1, len(scan) // _PART))).mean(axis=0)
    found: dict[str, list[Values]] = {name: [] for name in FEATURES if name != "spread"}
    for start in range(0, len(scan), _PART):
        amplitude = _take_amplitude(scan, slice(start, start + _PART))
        counts = amplitude**2
        photons = np.maximum(counts.sum(axis=(1, 2)), _LEAST)
        found["dose"].append(np.log10(photons))
        found["radius"].append((counts * radius).sum(axis=(1, 2)) / photons)
        found["speckle"].append(_measure_speckles(amplitude - mean))
        length = np.sqrt(photons)
        found["probe"].append(
            np.max([(amplitude * one).sum(axis=(1, 2)) / (length * np.linalg.norm(one)) for one in templates], axis=0)
        )
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _take_amplitude(scan: Scan, patterns: slice) -> Values:
    return np.sqrt(np.asarray(scan.counts[patterns], np.float64) * scan.good_pixels)


def _measure_speckles(deviations: Values) -> Values:
    """Size of speckles: the width s of a correlation exp(−d²/s²), from distances of one and two pixels.

    Noise, which is not correlated, changes neither.

    Args:
        deviations: (pattern, h, w) amplitude without its mean over the patterns.
    """
    one, two = (
        (deviations[:, distance:] * deviations[:, :-distance]).sum(axis=(1, 2))
        + (deviations[:, :, distance:] * deviations[:, :, :-distance]).sum(axis=(1, 2))
        for distance in (1, 2)
    )
    one = np.maximum(one, 0.0)
    # the ratio of both, bounded before it is formed
    ratio = np.clip(one, _LEAST_RATIO * two, _HIGHEST_RATIO * np.maximum(two, _LEAST)) / np.maximum(two, _LEAST)
    result: Values = np.sqrt(3 / np.log(np.maximum(ratio, _LEAST_RATIO)))
    return result


def _measure_spread(scan: Scan, prediction: Prediction, weight: NDArray[np.float32]) -> Values:
    """Mean contradiction under each pattern, weighted by the illumination, as a share of the object."""
    frame, side = Frame(scan.positions_px, scan.patch_px), scan.patch_px
    scale = _measure_object(prediction)
    total = float(weight.sum())
    values = np.empty(len(scan))
    for number, (row, column) in enumerate(frame.corners_px):
        window = prediction.spread[row : row + side, column : column + side]
        values[number] = (float((weight * window**2).sum()) / total) ** 0.5 / scale
    return values


def _measure_total_spread(prediction: Prediction) -> float:
    lit = _find_lit(prediction)
    return float(np.sqrt(np.mean(prediction.spread[lit].astype(np.float64) ** 2))) / _measure_object(prediction)


def _measure_object(prediction: Prediction) -> float:
    """Root mean square of the object's amplitude where it is illuminated."""
    lit = _find_lit(prediction)
    return max(float(np.sqrt(np.mean(np.abs(prediction.canvas.pixels[lit].astype(np.complex128)) ** 2))), _LEAST)


def _find_lit(prediction: Prediction) -> NDArray[np.bool_]:
    return prediction.illumination > _LIT_SHARE * prediction.illumination.max()
