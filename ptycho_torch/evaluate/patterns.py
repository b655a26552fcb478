"""A measured pattern beside the one that a reconstruction predicts, of about the usual misfit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.scores import match_photons
from ptycho_torch.physics.propagate import unwrap, wrap
from ptycho_torch.solve.scan_model import ScanModel

_MOST_PATTERNS = 256
_BATCH = 64


@dataclass(frozen=True, eq=False)
class ComparedPattern:
    """A pattern and its prediction, NaN on bad pixels.

    Attributes:
        number: of the pattern in the scan.
        measured: (h, w) photons, zero frequency at [h//2, w//2].
        expected: (h, w) photons that object and probe predict.
        error: R of this pattern.
    """

    number: int
    measured: NDArray[np.float32]
    expected: NDArray[np.float32]
    error: float

    @property
    def deviations(self) -> NDArray[np.float32]:
        """2 (√λ − √n): the difference in standard deviations of the photon noise, where there is more than a photon."""
        difference: NDArray[np.float32] = 2 * (np.sqrt(self.expected) - np.sqrt(self.measured))
        return difference


def compare_typical_pattern(scan: Scan, canvas: Canvas, probe: NDArray[np.complex64]) -> ComparedPattern:
    """Compare the pattern of the median R among at most 256 of a scan, evenly spread, with its prediction.

    Args:
        scan: the data.
        canvas: the object.
        probe: (mode, h, w) its probe, in any unit.
    """
    chosen = np.unique(np.linspace(0, len(scan) - 1, _MOST_PATTERNS).round().astype(np.int64))
    model = ScanModel(scan.take(chosen), torch.device("cpu"))
    wrapped = wrap(torch.from_numpy(np.array(probe)))
    batches = model.patterns.split(_BATCH)
    image = match_photons(model, model.start_object(canvas), wrapped, batches)
    errors = []
    for batch in batches:
        counts = model.load_counts(batch)
        squared = (model.expected(image, wrapped, batch).sqrt() - counts.sqrt()).square().sum((1, 2))
        errors.append((squared / counts.sum((1, 2)).clamp_min(1)).sqrt())
    error = torch.cat(errors)
    place = int(error.argsort(stable=True)[(len(error) - 1) // 2])
    batch = torch.tensor([place])
    good = scan.good_pixels
    measured, expected = (
        np.where(good, unwrap(values)[0].numpy(), np.float32(np.nan))
        for values in (model.load_counts(batch), model.expected(image, wrapped, batch))
    )
    return ComparedPattern(int(chosen[place]), measured, expected, float(error[place]))
