"""Sums of all patterns are exact, whatever their values."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.data.recording import PatternStack
from ptycho_torch.data.survey import survey


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i8", "u8"])
@pytest.mark.parametrize("largest", [3, 250, 2**15, 2**31])
def test_sums_of_whole_numbers_are_exact(dtype: str, largest: int) -> None:
    # a pixel at the end of its type is taken for saturated
    highest = min(largest, np.iinfo(dtype).max - 1)
    values = np.random.default_rng(largest).integers(0, highest, (900, 48, 64), endpoint=True).astype(dtype)
    values[17] = 0
    mask = np.zeros((48, 64), bool)
    mask[5, 7] = True
    found = survey(PatternStack(values), mask, None, "scan")
    wide = np.where(mask, 0, values.astype(np.uint64))
    np.testing.assert_array_equal(found.total, wide.sum(axis=0).astype(float))
    np.testing.assert_array_equal(found.sums, wide.sum(axis=(1, 2)).astype(float))
    assert found.largest == wide.max()
