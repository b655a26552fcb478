"""Files and folders of measured data: scans in one, probes perhaps in another."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.npz import load_arrays, read_npz
from ptycho_torch.formats.ptychodus_folder import DIFFRACTION_NAME, read_workflow_directory, workflow_files
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME
from ptycho_torch.storage.claims import listed, reading
from ptycho_torch.storage.npy import read_array

_log = logging.getLogger(__name__)

_PROBE_KEYS = ("probeGuess", "probe")


def read_scans(
    source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None
) -> list[Scan]:
    """Read one file, every NPZ file of a folder in the order of their names, or a client's workflow directory.

    Args:
        source: an NPZ file, a folder of them, or a folder that holds none but `diffraction.h5` and `product.h5`; either
            of these two files stands for its folder. Folders inside a folder are not searched.
        settings: how to read them.
        probes: an NPZ or NPY file, or a folder of them. One probe serves all scans; several belong to the scans of the
            same name. Without it each scan's own probe is used.

    Raises:
        ScanFileError: nothing can be read there, or probes do not belong to the scans.
        ConfigError: a setting contradicts what a file says.
        DataError: the arrays do not make a scan, or scans differ in size.
    """
    places = _places(Path(source))
    found = _read_probes(Path(probes)) if probes is not None else {}
    if len(found) > 1:
        missing = [place.name for place in places if place.stem not in found]
        if missing:
            raise ScanFileError(f"{probes}: no probe is named like the scan {missing[0]}; one that serves all would do")
    scans = []
    for place in places:
        probe = found.get(place.stem) if len(found) > 1 else next(iter(found.values()), None)
        read = read_workflow_directory if place.is_dir() else read_npz
        scans.append(read(place, settings, probe=probe))
    sizes = {scan.patch_px for scan in scans}
    if len(sizes) > 1:
        listing = ", ".join(f"{scan.name} {scan.patch_px} px" for scan in scans)
        raise ScanFileError(f"{source}: patterns of different sizes cannot be used together ({listing})")
    return scans


def read_one_scan(source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None) -> Scan:
    """Read the only scan of a file or a folder.

    Raises:
        ScanFileError: nothing can be read there, or the folder holds several scans.
        ConfigError: a setting contradicts what a file says.
        DataError: the arrays do not make a scan.
    """
    places = _places(Path(source))
    if len(places) > 1:
        raise ScanFileError(
            f"{source}: the folder holds {len(places)} scans; name one of them, such as {places[0].name}"
        )
    return read_scans(source, settings, probes)[0]


def scan_files(source: Path | str) -> list[Path]:
    """The files that `read_scans` reads.

    Raises:
        ScanFileError: there are none.
    """
    return [path for place in _places(Path(source)) for path in (workflow_files(place) or [place])]


def read_probe(path: Path | str) -> NDArray[Any]:
    """A probe from an NPY file, or from an NPZ file under `probeGuess` or `probe`.

    Raises:
        ScanFileError: there is none.
    """
    path = Path(path)
    if path.suffix == ".npy":
        with reading(path, "NPY file", ScanFileError), path.open("rb") as file:
            return read_array(file, path.stat().st_size)
    arrays = load_arrays(path)
    for key in _PROBE_KEYS:
        if key in arrays:
            return arrays[key]
    raise ScanFileError(
        f"{path}: no probe among its keys {listed(arrays) or '(none)'}; {' or '.join(_PROBE_KEYS)} is needed"
    )


def _read_probes(source: Path) -> dict[str, NDArray[Any]]:
    probes = {path.stem: read_probe(path) for path in _files(source, (".npz", ".npy"))}
    _log.info("%s: %d probe(s): %s", source, len(probes), ", ".join(probes))
    return probes


def _places(source: Path) -> list[Path]:
    """One path a scan: an NPZ file, or a workflow directory."""
    if source.is_file() and source.suffix == ".h5":
        if source.name not in (DIFFRACTION_NAME, PRODUCT_NAME):
            raise ScanFileError(
                f"{source}: is no scan by itself; name the folder that holds {DIFFRACTION_NAME} and {PRODUCT_NAME}"
            )
        return [source.parent] if workflow_files(source.parent) else []
    has_npz = source.is_dir() and any(path.suffix == ".npz" for path in source.iterdir())
    if source.is_dir() and not has_npz and workflow_files(source):
        return [source]
    return _files(source, (".npz",), f", and no {DIFFRACTION_NAME} with {PRODUCT_NAME}")


def _files(source: Path, suffixes: tuple[str, ...], alternative: str = "") -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ScanFileError(f"{source}: there is no such file or folder")
    paths = sorted(path for path in source.iterdir() if path.suffix in suffixes and path.is_file())
    if not paths:
        raise ScanFileError(f"{source}: the folder holds no {' or '.join(suffixes)} file{alternative}")
    return paths
