"""What a user of Ptychodus does, and what is looked at afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model.ptychopinn_torch.core import PtychoPINNTorchReconstructorLibrary
from ptychodus_scan import ClientScan
from skimage.registration import phase_cross_correlation


def library(**settings: Any) -> Any:
    """A fresh reconstructor library; settings are `section__name`."""
    made = PtychoPINNTorchReconstructorLibrary(SettingsRegistry(), is_developer_mode_enabled=False)
    for key, value in settings.items():
        section, _, name = key.partition("__")
        getattr(getattr(made, f"{section}_settings"), name).set_value(value)
    return made


def reconstructor(mode: str, **settings: Any) -> Any:
    """One of the library's two reconstructors."""
    return next(found for found in library(**settings) if found.name == mode)


def lit(scan: ClientScan) -> np.ndarray:
    """The part of the object that every neighbour of a position saw."""
    mask = np.zeros(scan.truth.object_.get_array().shape[1:], bool)
    rim = scan.data.get_patterns().shape[1] // 2 + 2
    mask[rim:-rim, rim:-rim] = True
    return mask


def registration_error_px(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """How far an image lies from where it should."""
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    first, second = (picture[rows][:, columns] for picture in (truth, image))
    shift, _, _ = phase_cross_correlation(first - first.mean(), second - second.mean(), upsample_factor=20)
    return float(np.abs(shift).max())


def client_positions(scan: ClientScan) -> np.ndarray:
    """Positions as the client's child process hands them over."""
    geometry, positions = scan.start.object_.get_geometry(), scan.start.probe_positions
    return np.column_stack(
        [
            geometry.map_probe_positions_to_object_y_px(positions),
            geometry.map_probe_positions_to_object_x_px(positions),
        ]
    )
