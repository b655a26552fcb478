"""CXI files that are NXcxi_ptycho files too: one layout with the names of CXI 1.6 and the classes of NeXus."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.data.geometry import ELECTRON_VOLT_J, photon_energy_ev
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored_counts import read_parts
from ptycho_torch.formats.conditions import complete_geometry
from ptycho_torch.storage.hdf5 import write_hdf5

_log = logging.getLogger(__name__)

_VERSION = 160
_CLASSES = {
    "entry_1": "NXentry",
    "entry_1/instrument_1": "NXinstrument",
    "entry_1/instrument_1/source_1": "NXsource",
    "entry_1/instrument_1/beam_1": "NXbeam",
    "entry_1/instrument_1/detector_1": "NXdetector",
    "entry_1/sample_1": "NXsample",
    "entry_1/sample_1/geometry_1": "NXcollection",
    "entry_1/data_1": "NXcollection",
}
_DETECTOR = "entry_1/instrument_1/detector_1"
_TRANSLATION = "entry_1/sample_1/geometry_1/translation"


def write_cxi(scan: Scan, path: Path) -> None:
    """Write a scan as CXI: the energy of the source is that of the photons, in joules; see `write_nexus`."""
    _write(scan, path, is_cxi=True)


def write_nexus(scan: Scan, path: Path) -> None:
    """Write a scan as NXcxi_ptycho, atomically; a true object is left out.

    Conditions of the measurement that are unknown are filled in, so that object pixels have their size.

    Raises:
        OutputError: the file cannot be written.
    """
    _write(scan, path, is_cxi=False)


def _write(scan: Scan, path: Path, *, is_cxi: bool) -> None:
    geometry = complete_geometry(scan)
    detector_pixel = geometry.detector_pixel_m
    if scan.truth is not None:
        _log.info("%s: the true object is left out; only NPZ files contain one", scan.name)
    energy_ev = photon_energy_ev(geometry.wavelength_m)
    rows, columns = scan.positions_px.T * geometry.object_pixel_m
    with write_hdf5(path) as file:
        for name, kind in _CLASSES.items():
            file.create_group(name).attrs["NX_class"] = kind
        file["cxi_version"] = _VERSION
        file["entry_1/title"], file["entry_1/definition"] = scan.name, "NXcxi_ptycho"
        _put(file, "entry_1/instrument_1/beam_1/incident_beam_energy", energy_ev, "eV")
        if is_cxi:
            _put(file, "entry_1/instrument_1/source_1/energy", energy_ev * ELECTRON_VOLT_J, "J")
        if scan.probe is not None:
            file["entry_1/instrument_1/source_1/illumination"] = scan.probe
        _put(file, f"{_DETECTOR}/distance", geometry.distance_m, "m")
        for axis in "xy":
            _put(file, f"{_DETECTOR}/{axis}_pixel_size", detector_pixel, "m")
        # rows run against y, columns against x
        file[f"{_DETECTOR}/basis_vectors"] = np.array([[0, -detector_pixel], [-detector_pixel, 0], [0, 0]])
        patterns = file.create_dataset(
            f"{_DETECTOR}/data", scan.counts.shape, _choose_type(scan), compression="gzip", compression_opts=4,
            shuffle=True, chunks=(1, scan.patch_px, scan.patch_px),
        )  # fmt: skip
        for part, counts in read_parts(scan.counts):
            patterns[part] = counts
        patterns.attrs["axes"] = "translation:y:x"
        file[f"{_DETECTOR}/mask"] = (~scan.good_pixels).astype(np.uint32)
        if scan.background is not None:
            file[f"{_DETECTOR}/background"] = scan.background
        # the sample moves against the probe, and so do rows and columns against y and x
        _put(file, _TRANSLATION, np.stack([columns, rows, 0 * rows], axis=1), "m")
        file[f"{_DETECTOR}/translation"] = file[_TRANSLATION]
        file["entry_1/data_1/data"], file["entry_1/data_1/translation"] = patterns, file[_TRANSLATION]


def _put(file: Any, name: str, value: Any, unit: str) -> None:  # noqa: ANN401 - h5py carries no annotations
    file[name] = value
    file[name].attrs["units"] = unit


def _choose_type(scan: Scan) -> np.dtype[Any]:
    """The smallest integer type for whole counts whose largest value, which marks bad pixels, is not reached."""
    highest = 0.0
    for _, counts in read_parts(scan.counts):
        if not bool((counts == np.round(counts)).all()):
            return counts.dtype
        highest = max(highest, float(counts.max()))
    return np.min_scalar_type(int(highest) + 1)
