"""The client's workflow directory, a folder with `diffraction.h5`, `product.h5` and possibly other files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.geometry import Geometry, photon_energy_ev
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, ScanFileError
from ptycho_torch.formats.conditions import CompleteGeometry, complete_geometry
from ptycho_torch.formats.format import Format, RecordingReader
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
    return FORMAT.read(Path(folder), settings, probe=probe)


def _check_settings(settings: DataSettings) -> None:
    if settings.pixel_m is not None or settings.swap_positions:
        name = "swap_positions" if settings.swap_positions else "pixel_m"
        raise ConfigError(f"DataSettings.{name} would contradict {PRODUCT_NAME}; leave it out")


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[Recording]:
    diffraction_file, product_file = list_workflow_files(folder)
    diffraction, product = read_diffraction(diffraction_file), read_product(product_file)
    name = folder.resolve().name
    chosen, positions_px = _match(diffraction.indexes, product, diffraction.patterns.shape[-1], name)
    height_m, width_m = product.pixel_m
    yield Recording(
        name=name,
        patterns=PatternStack(diffraction.patterns, chosen=chosen),
        positions=positions_px,
        position_unit="px",
        # the client always writes counts with the zero frequency in the middle
        units="counts",
        zero_frequency="centre",
        geometry=Geometry(object_pixel_m=height_m if np.isclose(height_m, width_m, rtol=1e-6, atol=0) else None),
        bad_pixels=diffraction.bad_pixels,
        probe=product.probe[0] if product.probe.ndim == 4 else product.probe,
        true_object=product.object,
        object_may_be_small=True,
        is_far_field=bool(product.attributes["far_field"]),
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


def write_workflow_directory(scan: Scan, folder: Path) -> None:
    """Write a scan as `diffraction.h5` and `product.h5`, with the true object if it is known.

    Unknown conditions are filled in consistently; see `complete_geometry`.

    Args:
        scan: a scan with integer counts and a probe, and no background, which the files cannot contain.
        folder: created if it does not exist; other files in it stay unchanged.

    Raises:
        DataError: the counts are not integers, the scan has no probe, or it has a background.
        OutputError: a file cannot be written.
    """
    if scan.background is not None:
        raise DataError(f"{scan.name}: {DIFFRACTION_NAME} cannot contain its background; write an NPZ file instead")
    geometry = complete_geometry(scan)
    product = _make_product(scan, geometry)
    counts = np.asarray(scan.counts)
    patterns: NDArray[Any] = counts.astype(np.min_scalar_type(int(counts.max())))
    if not np.array_equal(patterns, counts):
        raise DataError(f"{scan.name}: counts must be integers to be written to {DIFFRACTION_NAME}")
    diffraction = Diffraction(
        patterns=patterns,
        indexes=product.indexes,
        bad_pixels=~scan.good_pixels,
        pixel_m=(geometry.detector_pixel_m, geometry.detector_pixel_m),
    )
    write_diffraction(diffraction, folder / DIFFRACTION_NAME)
    write_product(product, folder / PRODUCT_NAME)


def _make_product(scan: Scan, geometry: CompleteGeometry) -> Product:
    probe = scan.require_probe()
    size = geometry.object_pixel_m
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
            "photon_energy_eV": photon_energy_ev(geometry.wavelength_m),
            "detector_object_distance_m": geometry.distance_m,
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
    read=RecordingReader(_open_folder, _check_settings),
    write=write_workflow_directory,
)
