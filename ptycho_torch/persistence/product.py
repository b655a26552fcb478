"""Product files."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np

from ptycho_torch.data.product import Product as Product
from ptycho_torch.files import write_whole


def read_product(path: Path | str) -> Product:
    """Read a product."""
    none = np.zeros((0, 2))
    return Product(
        indexes=np.zeros(0, np.int64),
        positions_m=none,
        probe=none,
        object=none,
        pixel_m=(0, 0),
        centre_m=(0, 0),
        probe_pixel_m=(0, 0),
        detector_distance_m=0,
        photon_energy_ev=0,
    )


def write_product(product: Product, path: Path) -> None:
    """Write a product."""
    buffer = io.BytesIO()
    h5py.File(buffer, "w").close()
    with write_whole(path) as file:
        file.write(buffer.getvalue())
