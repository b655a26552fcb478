"""Scans and probes in files and folders; the table of formats."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import npz, ptychodus_folder
from ptycho_torch.formats.format import Format, describe
from ptycho_torch.storage.npy import read_array
from ptycho_torch.storage.untrusted import explain_damage, join_names

_log = logging.getLogger(__name__)

# the first format that recognises a path reads it
FORMATS: tuple[Format, ...] = (npz.FORMAT, ptychodus_folder.FORMAT)

_PROBE_ENDINGS = (".npz", ".npy")
_PROBE_KEYS = ("probeGuess", "probe")


def read_scans(
    source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None
) -> list[Scan]:
    """Read one scan, or all scan files of a folder in the order of their names.

    Args:
        source: a file or folder in one of `FORMATS`, or a folder of files with one of their endings. Subfolders are not
            searched.
        settings: conventions of the files; None to detect them.
        probes: NPZ or NPY file, or a folder of such files. One probe is used for all scans, several for the scans of
            the same names; None to use the probes of the scans.

    Raises:
        ScanFileError: nothing can be read there, probes do not belong to the scans, or scans differ in size.
        ConfigError: a setting contradicts a file.
        DataError: the arrays do not form a usable scan.
    """
    places = find_scans(source)
    found = _read_probes(Path(probes)) if probes is not None else {}
    if len(found) > 1:
        missing = [place.name for place, _ in places if place.stem not in found]
        if missing:
            raise ScanFileError(
                f"{probes}: contains no probe named like {missing[0]}; a single probe is used for all scans"
            )
    scans = []
    for place, format in places:
        probe = found.get(place.stem) if len(found) > 1 else next(iter(found.values()), None)
        scans.append(format.read(place, settings, probe=probe))
    sizes = {scan.patch_px for scan in scans}
    if len(sizes) > 1:
        listing = ", ".join(f"{scan.name} {scan.patch_px} px" for scan in scans)
        raise ScanFileError(f"{source}: patterns must have the same size in all scans ({listing})")
    return scans


def read_one_scan(source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None) -> Scan:
    """Read the only scan of a file or a folder; arguments and errors are those of `read_scans`.

    Raises:
        ScanFileError: the folder contains several scans.
    """
    places = find_scans(source)
    if len(places) > 1:
        raise ScanFileError(
            f"{source}: the folder contains {len(places)} scans; name one of them, such as {places[0][0].name}"
        )
    return read_scans(source, settings, probes)[0]


def list_scan_files(source: Path | str) -> list[Path]:
    """List the files that `read_scans` reads.

    Raises:
        ScanFileError: there are none.
    """
    return [path for place, format in find_scans(source) for path in format.files(place)]


def find_scans(source: Path | str) -> list[tuple[Path, Format]]:
    """Find the path and the format of each scan.

    Files in a folder are assigned to a format by their endings, so that a truncated one is refused and not skipped.

    Raises:
        ScanFileError: there are none.
    """
    source = Path(source)
    by_ending = {ending: format for format in reversed(FORMATS) for ending in format.endings}
    if source.is_dir():
        paths = _list_files(source, tuple(by_ending))
        if paths:
            return [(path, by_ending[path.suffix]) for path in paths]
    elif not source.is_file():
        raise ScanFileError(f"{source}: the file or folder does not exist")
    known = next((format for format in FORMATS if format.recognises(source)), None)
    if known:
        return [(source if known.endings or source.is_dir() else source.parent, known)]
    what = f"the folder contains no {' or '.join(by_ending)} file" if source.is_dir() else describe(source)
    raise ScanFileError(f"{source}: {what}; name {', or name '.join(format.name for format in FORMATS)}")


def read_probe(path: Path | str) -> NDArray[Any]:
    """Read a probe from an NPY file, or from the key `probeGuess` or `probe` of an NPZ file.

    Raises:
        ScanFileError: the file contains no probe.
    """
    path = Path(path)
    if path.suffix == ".npy":
        with explain_damage(path, "NPY file", ScanFileError), path.open("rb") as file:
            return read_array(file, path.stat().st_size)
    arrays = npz.load_arrays(path)
    for key in _PROBE_KEYS:
        if key in arrays:
            return arrays[key]
    raise ScanFileError(f"{path}: must contain {' or '.join(_PROBE_KEYS)}, but contains {join_names(arrays)}")


def _read_probes(source: Path) -> dict[str, NDArray[Any]]:
    if not source.exists():
        raise ScanFileError(f"{source}: the file or folder does not exist")
    paths = _list_files(source, _PROBE_ENDINGS) if source.is_dir() else [source]
    if not paths:
        raise ScanFileError(f"{source}: the folder contains no {' or '.join(_PROBE_ENDINGS)} file")
    probes = {path.stem: read_probe(path) for path in paths}
    _log.info("%s: contains %d probe(s): %s", source, len(probes), ", ".join(probes))
    return probes


def _list_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())
