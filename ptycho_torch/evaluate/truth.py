"""Comparison with a true object whose place is unknown: shifted onto the result first, to a fraction of a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.frc import measure_shift, move
from ptycho_torch.evaluate.objects import (
    Image,
    Mask,
    amplitude_correlation,
    complex_correlation,
    complex_error,
    find_phase_plane,
    phase_correlation,
    remove_ramp,
)

_LEAST_SHARE = 0.5
_REFINEMENTS = 3


def align_truth(truth: Image, image: Image, mask: Mask) -> tuple[NDArray[np.complexfloating], Mask]:
    """Shift a true object onto a result.

    Args:
        truth: (any height, any width) true object with pixels of the same size.
        image: (height, width) result.
        mask: (height, width) pixels of the result to compare.

    Returns:
        The true object on the pixels of the result, and the pixels of the mask that it covers.

    Raises:
        DataError: the true object covers less than half of the mask.
    """
    wanted = _centre(find_phase_plane(truth, np.ones(truth.shape, bool)).remove_from(truth))
    found = np.where(mask, _centre(find_phase_plane(image, mask).remove_from(image), mask), 0)
    # room for any shift without wrapping around
    room = (truth.shape[0] + image.shape[0], truth.shape[1] + image.shape[1])
    shift = np.array(measure_shift(_pad(wanted, room), _pad(found, room)))
    whole = np.round(shift).astype(int)
    aligned, is_covered = (_put(values, whole, image.shape) for values in (truth, np.ones(truth.shape, bool)))
    covered = mask & is_covered.astype(bool)
    if np.count_nonzero(covered) < _LEAST_SHARE * np.count_nonzero(mask):
        raise DataError("the true object covers less than half of the illuminated area; is it of the same sample?")
    aligned = np.where(is_covered, aligned, truth.mean())
    rest = shift - whole
    for _ in range(_REFINEMENTS):
        moved = move(aligned, (float(rest[0]), float(rest[1])))
        pair = [
            np.where(covered, _centre(remove_ramp(part, truth_part, covered), covered), 0)
            for part, truth_part in ((moved, moved), (image, moved))
        ]
        rest = rest + np.clip(measure_shift(*pair), -1, 1)
    return move(aligned, (float(rest[0]), float(rest[1]))), covered


def compare_with_truth(image: Image, truth: Image, mask: Mask) -> dict[str, float]:
    """Figures of merit of a result against a true object on the same pixels, after the best ramp and factor."""
    level = remove_ramp(image, truth, mask)
    return {
        "complex_error": complex_error(level, truth, mask),
        "complex_correlation": complex_correlation(level, truth, mask),
        "phase_correlation": phase_correlation(level, truth, mask),
        "amplitude_correlation": amplitude_correlation(level, truth, mask),
    }


def _centre(image: Image, mask: Mask | None = None) -> Image:
    """The image without its mean over the mask."""
    return image - (image.mean() if mask is None else image[mask].mean())


def _pad(image: Image, shape: tuple[int, int]) -> Image:
    padded = np.zeros(shape, np.complex128)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def _put(values: NDArray[Any], corner: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of a shape with values placed at a corner that may lie outside; zero elsewhere."""
    result = np.zeros(shape, values.dtype)
    low, high = np.maximum(corner, 0), np.minimum(corner + values.shape, shape)
    if (high > low).all():
        rows, columns = (slice(*pair) for pair in zip(low, high, strict=True))
        start = low - corner
        result[rows, columns] = values[start[0] : start[0] + high[0] - low[0], start[1] : start[1] + high[1] - low[1]]
    return result
