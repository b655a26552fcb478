"""The client's workflow directory, a folder with `diffraction.h5`, `product.h5` and possibly other files."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.make_scan import make_scan
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, ScanFileError
from ptycho_torch.formats.format import Format
from ptycho_torch.formats.ptychodus_diffraction import Diffraction, read_diffraction, write_diffraction
from ptycho_torch.formats.ptychodus_product import (
    DEFAULT_ATTRIBUTES,
    DEFAULT_SERIES,
    PRODUCT_NAME,
    Product,
    half_pixel,
    read_product,
    write_product,
)

_log = logging.getLogger(__name__)

DIFFRACTION_NAME = "diffraction.h5"


def list_workflow_files(folder: Path) -> list[Path]:
    """List the two files of a workflow directory.

    Raises:
        ScanFileError: one of them is missing, or both.
    """
    paths = [folder / DIFFRACTION_NAME, folder / PRODUCT_NAME]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ScanFileError(
            f"{folder}: must contain {DIFFRACTION_NAME} and {PRODUCT_NAME}, but {' and '.join(missing)} is missing"
        )
    return paths


def read_workflow_directory(
    folder: Path | str, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None
) -> Scan:
    """Read a scan from a workflow directory; its name is that of the folder.

    Args:
        folder: folder with `diffraction.h5` and `product.h5`.
        settings: orientation of the patterns, and other conventions that differ from the client's.
        probe: probe that replaces the one in the product, (h, w) or (mode, h, w).

    Raises:
        ScanFileError: a file is missing or damaged, or no pattern has a position.
        ConfigError: a setting contradicts the product.
        DataError: the arrays do not form a usable scan.
    """
    folder, settings = Path(folder), settings or DataSettings()
    if settings.pixel_m is not None or settings.swap_positions:
        name = "swap_positions" if settings.swap_positions else "pixel_m"
        raise ConfigError(f"DataSettings.{name} would contradict {PRODUCT_NAME}; leave it out")
    diffraction_file, product_file = list_workflow_files(folder)
    diffraction, product = read_diffraction(diffraction_file), read_product(product_file)
    name = folder.resolve().name
    chosen, positions_px = _match(diffraction.indexes, product, diffraction.patterns.shape[-1], name)
    height_m, width_m = product.pixel_m
    return make_scan(
        name=name,
        stored=diffraction.patterns[chosen],
        positions_px=positions_px,
        # the client always writes counts with the zero frequency in the middle
        settings=replace(
            settings,
            units="counts" if settings.units == "auto" else settings.units,
            zero_frequency="centre" if settings.zero_frequency == "auto" else settings.zero_frequency,
            pixel_m=height_m if np.isclose(height_m, width_m, rtol=1e-6, atol=0) else None,
        ),
        bad_pixels=diffraction.bad_pixels,
        probe=(product.probe[0] if product.probe.ndim == 4 else product.probe) if probe is None else probe,
        true_object=product.object,
        object_may_be_small=True,
        source=product,
    )


def _match(
    indexes: NDArray[np.int64], product: Product, patch_px: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the patterns that have a position, and their positions; positions of the same index are averaged."""
    numbers, group = np.unique(product.indexes, return_inverse=True)
    each = np.bincount(group)
    positions = np.stack([np.bincount(group, column) / each for column in product.positions_px(patch_px).T], axis=1)
    chosen = np.flatnonzero(np.isin(indexes, numbers) & (indexes >= 0))
    if not len(chosen):
        spans = (f"{found.min()} to {found.max()}" if len(found) else "missing" for found in (indexes, numbers))
        raise ScanFileError(
            f"{name}: no pattern has a position; the indexes of patterns are {next(spans)}, those of positions "
            f"{next(spans)}"
        )
    lost, unused = len(indexes) - len(chosen), len(np.setdiff1d(numbers, indexes[chosen]))
    if lost or unused:
        _log.warning(
            "%s: %d patterns without a position and %d positions without a pattern are left out", name, lost, unused
        )
    return chosen, positions[np.searchsorted(numbers, indexes[chosen])]


# usual conditions of a measurement, for simulated scans; the detector distance follows from them
PHOTON_ENERGY_EV = 10_000.0
DETECTOR_PIXEL_M = 75e-6
OBJECT_PIXEL_M = 20e-9
_PLANCK_TIMES_LIGHT_EV_M = 1.239841984e-6


def write_workflow_directory(scan: Scan, folder: Path) -> None:
    """Write a scan as `diffraction.h5` and `product.h5`, with the true object if it is known.

    Unknown conditions are filled in consistently: photons of 10 keV, detector pixels of 75 µm, object pixels of 20 nm,
    and the distance at which a detector of N pixels gives object pixels of that size.

    Args:
        scan: a scan with integer counts and a probe, and no background, which the files cannot contain.
        folder: created if it does not exist; other files in it stay unchanged.

    Raises:
        DataError: the counts are not integers, the scan has no probe, or it has a background.
        OutputError: a file cannot be written.
    """
    if scan.background is not None:
        raise DataError(f"{scan.name}: {DIFFRACTION_NAME} cannot contain its background; write an NPZ file instead")
    product = _make_product(scan)
    patterns: NDArray[Any] = scan.counts.astype(np.min_scalar_type(int(scan.counts.max())))
    if not np.array_equal(patterns, scan.counts):
        raise DataError(f"{scan.name}: counts must be integers to be written to {DIFFRACTION_NAME}")
    diffraction = Diffraction(
        patterns=patterns,
        indexes=product.indexes,
        bad_pixels=~scan.good_pixels,
        pixel_m=(DETECTOR_PIXEL_M, DETECTOR_PIXEL_M),
    )
    write_diffraction(diffraction, folder / DIFFRACTION_NAME)
    write_product(product, folder / PRODUCT_NAME)


def _make_product(scan: Scan) -> Product:
    probe = scan.require_probe()
    size = OBJECT_PIXEL_M if scan.pixel_m is None else scan.pixel_m
    lowest, highest = scan.positions_px.min(axis=0), scan.positions_px.max(axis=0)
    # metres are counted from the middle of the scan, which is the centre of the client's own objects
    from_middle = scan.positions_px - (lowest + highest) / 2
    centre_m = np.zeros(2)
    if scan.truth is None:
        image = np.ones(np.ceil(highest - lowest + scan.patch_px).astype(int), np.complex64)
    else:
        image = scan.truth.pixels
        middle = np.add(scan.truth.origin_px, (np.array(image.shape) - 1) / 2) + half_pixel(scan.patch_px)
        centre_m = (middle - (lowest + highest) / 2) * size
    row, column = centre_m.tolist()
    distance_m = size * scan.patch_px * DETECTOR_PIXEL_M * PHOTON_ENERGY_EV / _PLANCK_TIMES_LIGHT_EV_M
    return Product(
        indexes=np.arange(len(scan)),
        positions_m=from_middle * size,
        probe=probe[None],
        object=image[None],
        pixel_m=(size, size),
        centre_m=(row, column),
        probe_pixel_m=(size, size),
        attributes=DEFAULT_ATTRIBUTES
        | {
            "name": scan.name,
            "photon_energy_eV": PHOTON_ENERGY_EV,
            "detector_object_distance_m": distance_m,
            "probe_photon_count": scan.photons_per_pattern,
        },
        series=DEFAULT_SERIES,
    )


def _recognises(path: Path) -> bool:
    """Whether a folder contains one of the two files, or a file is one of them; reading refuses a missing one."""
    names = (DIFFRACTION_NAME, PRODUCT_NAME)
    return path.name in names if path.is_file() else any((path / name).is_file() for name in names)


FORMAT = Format(
    name=f"the folder with {DIFFRACTION_NAME} and {PRODUCT_NAME}",
    recognises=_recognises,
    files=list_workflow_files,
    read=read_workflow_directory,
    write=write_workflow_directory,
)
