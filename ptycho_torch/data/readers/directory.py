"""Folders of measured data: scans in one, probes perhaps in another."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.readers.npz import load_arrays, read_npz
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError

_log = logging.getLogger(__name__)

_PROBE_KEYS = ("probeGuess", "probe")


def read_scans(
    source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None
) -> list[Scan]:
    """Read one file, or every NPZ file of a folder in the order of their names.

    Args:
        source: an NPZ file or a folder of them; folders inside it are not searched.
        settings: how to read them.
        probes: an NPZ or NPY file, or a folder of them. One probe serves all scans; several belong to the scans of the
            same name. Without it each file's own probe is used.

    Raises:
        ScanFileError: nothing can be read there, or probes do not belong to the scans.
        DataError: the arrays do not make a scan, or scans differ in size.
    """
    paths = scan_files(source)
    found = _read_probes(Path(probes)) if probes is not None else {}
    if len(found) > 1:
        missing = [path.name for path in paths if path.stem not in found]
        if missing:
            raise ScanFileError(f"{probes}: no probe is named like the scan {missing[0]}; one that serves all would do")
    scans = []
    for path in paths:
        probe = found.get(path.stem) if len(found) > 1 else next(iter(found.values()), None)
        scans.append(read_npz(path, settings, probe=probe))
    sizes = {scan.patch_px for scan in scans}
    if len(sizes) > 1:
        listing = ", ".join(f"{scan.name} {scan.patch_px} px" for scan in scans)
        raise ScanFileError(f"{source}: patterns of different sizes cannot be used together ({listing})")
    return scans


def read_one_scan(source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None) -> Scan:
    """Read the only scan of a file or a folder.

    Raises:
        ScanFileError: nothing can be read there, or the folder holds several scans.
        DataError: the arrays do not make a scan.
    """
    paths = scan_files(source)
    if len(paths) > 1:
        raise ScanFileError(f"{source}: the folder holds {len(paths)} scans; name one of them, such as {paths[0].name}")
    return read_scans(source, settings, probes)[0]


def scan_files(source: Path | str) -> list[Path]:
    """The NPZ files that `read_scans` reads: the file itself, or those of a folder in the order of their names.

    Raises:
        ScanFileError: there are none.
    """
    return _files(Path(source), (".npz",))


def read_probe(path: Path | str) -> NDArray[Any]:
    """A probe from an NPY file, or from an NPZ file under `probeGuess` or `probe`.

    Raises:
        ScanFileError: there is none.
    """
    path = Path(path)
    if path.suffix == ".npy":
        try:
            probe: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ScanFileError(f"{path}: is not a readable NPY file ({type(error).__name__})") from error
        return probe
    arrays = load_arrays(path)
    for key in _PROBE_KEYS:
        if key in arrays:
            return arrays[key]
    raise ScanFileError(
        f"{path}: no probe among its keys {', '.join(sorted(arrays))}; {' or '.join(_PROBE_KEYS)} is needed"
    )


def _read_probes(source: Path) -> dict[str, NDArray[Any]]:
    probes = {path.stem: read_probe(path) for path in _files(source, (".npz", ".npy"))}
    _log.info("%s: %d probe(s): %s", source, len(probes), ", ".join(probes))
    return probes


def _files(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ScanFileError(f"{source}: there is no such file or folder")
    paths = sorted(path for path in source.iterdir() if path.suffix in suffixes and path.is_file())
    if not paths:
        raise ScanFileError(f"{source}: the folder holds no {' or '.join(suffixes)} file")
    return paths
