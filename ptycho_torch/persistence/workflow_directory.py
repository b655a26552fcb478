"""The client's working folder."""

from __future__ import annotations

from pathlib import Path

from ptycho_torch.data.scan import Scan

DIFFRACTION_NAME = "diffraction.h5"
PRODUCT_NAME = "product.h5"
MODEL_NAME = "model.ckpt"


def write_workflow_directory(scan: Scan, folder: Path) -> None:
    """Write a scan."""
    folder.mkdir(parents=True, exist_ok=True)
