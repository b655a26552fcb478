"""The client's workflow directory as a scan: `diffraction.h5` and `product.h5`, whatever else lies beside them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.make_scan import make_scan, to_true_object
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, ScanFileError
from ptycho_torch.formats.format import Format
from ptycho_torch.formats.ptychodus_diffraction import Diffraction, read_diffraction, write_diffraction
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME, Product, half_pixel, read_product, write_product

_log = logging.getLogger(__name__)

DIFFRACTION_NAME = "diffraction.h5"


def list_workflow_files(folder: Path) -> list[Path]:
    """The two files of a workflow directory; nothing where a folder holds neither.

    Raises:
        ScanFileError: it holds only one of them.
    """
    paths = [folder / DIFFRACTION_NAME, folder / PRODUCT_NAME]
    there = [path for path in paths if path.is_file()]
    if len(there) == 1:
        missing = next(path.name for path in paths if path not in there)
        raise ScanFileError(f"{folder}: holds {there[0].name} but no {missing}; both are needed")
    return there


def read_workflow_directory(
    folder: Path | str, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None
) -> Scan:
    """Read a scan from a workflow directory; its name is that of the folder.

    Args:
        folder: holds `diffraction.h5` and `product.h5`.
        settings: how the patterns are turned, and whatever else is not as the client writes it.
        probe: probe to use instead of the product's, (h, w) or (mode, h, w).

    Raises:
        ScanFileError: a file is missing or damaged, or no pattern has a position.
        ConfigError: a setting contradicts what the product says.
        DataError: the arrays do not make a scan.
    """
    folder, settings = Path(folder), settings or DataSettings()
    name = folder.resolve().name
    _refuse_contradictions(settings)
    if len(list_workflow_files(folder)) == 0:
        raise ScanFileError(f"{folder}: holds no {DIFFRACTION_NAME} and no {PRODUCT_NAME}")
    diffraction, product = read_diffraction(folder / DIFFRACTION_NAME), read_product(folder / PRODUCT_NAME)
    patch_px = diffraction.patterns.shape[-1]
    chosen, positions_px = _matched(diffraction.indexes, product, patch_px, name)
    return make_scan(
        name=name,
        stored=diffraction.patterns[chosen],
        positions_px=positions_px,
        settings=_as_the_client_means(settings, product),
        bad_pixels=diffraction.bad_pixels,
        probe=_first_probe(product) if probe is None else probe,
        truth=_truth(product, positions_px, patch_px, name),
        source=product,
    )


def _refuse_contradictions(settings: DataSettings) -> None:
    if settings.pixel_m is not None or settings.swap_positions:
        wrong = "swap_positions" if settings.swap_positions else "pixel_m"
        raise ConfigError(f"{wrong} is given, but {PRODUCT_NAME} says what rows, columns and pixels are; leave it out")


def _as_the_client_means(settings: DataSettings, product: Product) -> DataSettings:
    """What is detected in other files is agreed upon here: counts with the zero frequency in the middle."""
    height_m, width_m = product.pixel_m
    return replace(
        settings,
        units="counts" if settings.units == "auto" else settings.units,
        zero_frequency="centre" if settings.zero_frequency == "auto" else settings.zero_frequency,
        pixel_m=height_m if np.isclose(height_m, width_m, rtol=1e-6, atol=0) else None,
    )


def _matched(
    indexes: NDArray[np.int64], product: Product, patch_px: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which patterns have a position, and those positions; a position that was taken twice is the mean."""
    numbers, group = np.unique(product.indexes, return_inverse=True)
    each = np.bincount(group)
    positions = np.stack([np.bincount(group, column) / each for column in product.positions_px(patch_px).T], axis=1)
    chosen = np.flatnonzero(np.isin(indexes, numbers) & (indexes >= 0))
    if not len(chosen):
        spans = (f"{found.min()} to {found.max()}" if len(found) else "not at all" for found in (indexes, numbers))
        raise ScanFileError(
            f"{name}: no pattern has a position; patterns are numbered {next(spans)}, positions {next(spans)}"
        )
    lost, unused = len(indexes) - len(chosen), len(np.setdiff1d(numbers, indexes[chosen]))
    if lost or unused:
        _log.warning(
            "%s: %d patterns without a position and %d positions without a pattern are left out", name, lost, unused
        )
    return chosen, positions[np.searchsorted(numbers, indexes[chosen])]


def _first_probe(product: Product) -> NDArray[Any]:
    return product.probe[0] if product.probe.ndim == 4 else product.probe


def _truth(product: Product, positions_px: NDArray[np.float64], patch_px: int, name: str) -> Canvas | None:
    layers = product.object if product.object.ndim == 3 else product.object[None]
    if len(layers) > 1:
        _log.info("%s: the product's object has %d layers; only one can be compared with", name, len(layers))
        return None
    truth = to_true_object(layers[0], name)
    if truth is None:
        _log.info("%s: the product's object is constant, so there is nothing to compare with", name)
        return None
    if not truth.covers(positions_px, patch_px).all():
        _log.warning("%s: the product's object does not cover the scan and is not compared with", name)
        return None
    _log.info("%s: results are compared with the product's object", name)
    return truth


# the circumstances of a measurement that was none: usual ones, from which the distance of the detector follows
PHOTON_ENERGY_EV = 10_000.0
DETECTOR_PIXEL_M = 75e-6
OBJECT_PIXEL_M = 20e-9
_PLANCK_TIMES_LIGHT_EV_M = 1.239841984e-6


def write_workflow_directory(scan: Scan, folder: Path) -> None:
    """Write a scan as `diffraction.h5` and `product.h5`, which holds the true object where there is one.

    What a scan does not know is made up so that it fits together: photons of 10 keV, detector pixels of 75 µm, object
    pixels of 20 nm, and the distance at which a detector of N pixels gives object pixels of that size.

    Args:
        scan: photon counts in whole numbers, and a probe.
        folder: made where it is not there; other files in it are left alone.

    Raises:
        DataError: the counts are not whole numbers, or there is no probe.
        OutputError: it cannot be written there.
    """
    product, patterns = _product(scan), _whole(scan)
    indexes = np.arange(len(scan))
    pixel_m = (DETECTOR_PIXEL_M, DETECTOR_PIXEL_M)
    write_diffraction(
        Diffraction(patterns=patterns, indexes=indexes, bad_pixels=~scan.good_pixels, pixel_m=pixel_m),
        folder / DIFFRACTION_NAME,
    )
    write_product(product, folder / PRODUCT_NAME)


def _whole(scan: Scan) -> NDArray[Any]:
    patterns: NDArray[Any] = scan.counts.astype(np.min_scalar_type(int(scan.counts.max())))
    if not np.array_equal(patterns, scan.counts):
        raise DataError(
            f"{scan.name}: its counts are not whole numbers; {DIFFRACTION_NAME} is for counts of a detector"
        )
    return patterns


def _product(scan: Scan) -> Product:
    if scan.probe is None:
        raise DataError(f"{scan.name}: there is no probe; {PRODUCT_NAME} cannot be without one")
    size = OBJECT_PIXEL_M if scan.pixel_m is None else scan.pixel_m
    lowest, highest = scan.positions_px.min(axis=0), scan.positions_px.max(axis=0)
    # metres are counted from the middle of the scan, where the client lets its own objects lie
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
        name=scan.name,
        indexes=np.arange(len(scan)),
        positions_m=from_middle * size,
        probe=scan.probe[None],
        object=image[None],
        pixel_m=(size, size),
        centre_m=(row, column),
        probe_pixel_m=(size, size),
        photon_energy_ev=PHOTON_ENERGY_EV,
        detector_distance_m=size * scan.patch_px * DETECTOR_PIXEL_M * PHOTON_ENERGY_EV / _PLANCK_TIMES_LIGHT_EV_M,
        probe_photon_count=scan.photons_per_pattern,
    )


def _recognises(path: Path) -> bool:
    """Whether a folder holds one of the two files, or a file is one of them; a missing one is refused on reading."""
    names = (DIFFRACTION_NAME, PRODUCT_NAME)
    return path.name in names if path.is_file() else any((path / name).is_file() for name in names)


FORMAT = Format(
    name=f"the folder that holds {DIFFRACTION_NAME} and {PRODUCT_NAME}",
    recognises=_recognises,
    files=list_workflow_files,
    read=read_workflow_directory,
    write=write_workflow_directory,
)
