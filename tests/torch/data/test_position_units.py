"""Positions that were stored in metres would put every pattern on one pixel: the reader says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.errors import DataError
from ptycho_torch.formats import read_npz


@pytest.mark.parametrize("step", [1e-9, 4e-7, 2e-5])
def test_positions_in_metres_are_refused(step: float, tmp_path: Path) -> None:
    path = tmp_path / "metres.npz"
    places = np.arange(6.0) * step
    counts = np.random.default_rng(5).poisson(100, (6, 16, 16))
    np.savez(path, diff3d=counts, xcoords=places, ycoords=-places, probeGuess=np.ones((16, 16), complex))
    complaint = ""
    try:
        read_npz(path)
    except DataError as error:
        complaint = str(error)
    assert "must be in pixels and seem to be in metres" in complaint, "metres were taken for pixels"
