"""Files and folders of measured data: scans in one, probes perhaps in another; the table of formats."""

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

# the first that recognises a path reads it
FORMATS: tuple[Format, ...] = (npz.FORMAT, ptychodus_folder.FORMAT)

_PROBE_ENDINGS = (".npz", ".npy")
_PROBE_KEYS = ("probeGuess", "probe")


def read_scans(
    source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None
) -> list[Scan]:
    """Read one scan, or every scan file of a folder in the order of their names.

    Args:
        source: a file or a folder in one of `FORMATS`, or a folder of files with one of their endings. Folders inside a
            folder are not searched.
        settings: how to read them.
        probes: an NPZ or NPY file, or a folder of them. One probe serves all scans; several belong to the scans of the
            same name. Without it each scan's own probe is used.

    Raises:
        ScanFileError: nothing can be read there, or probes do not belong to the scans.
        ConfigError: a setting contradicts what a file says.
        DataError: the arrays do not make a scan, or scans differ in size.
    """
    places = find_scans(source)
    found = _read_probes(Path(probes)) if probes is not None else {}
    if len(found) > 1:
        missing = [place.name for place, _ in places if place.stem not in found]
        if missing:
            raise ScanFileError(f"{probes}: no probe is named like the scan {missing[0]}; one that serves all would do")
    scans = []
    for place, format in places:
        probe = found.get(place.stem) if len(found) > 1 else next(iter(found.values()), None)
        scans.append(format.read(place, settings, probe=probe))
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
    places = find_scans(source)
    if len(places) > 1:
        raise ScanFileError(
            f"{source}: the folder holds {len(places)} scans; name one of them, such as {places[0][0].name}"
        )
    return read_scans(source, settings, probes)[0]


def list_scan_files(source: Path | str) -> list[Path]:
    """The files that `read_scans` reads.

    Raises:
        ScanFileError: there are none.
    """
    return [path for place, format in find_scans(source) for path in format.files(place)]


def find_scans(source: Path | str) -> list[tuple[Path, Format]]:
    """The path of each scan, and its format.

    Files in a folder belong to a format by their endings, so that one which is cut off is refused and not skipped.

    Raises:
        ScanFileError: there is none.
    """
    source = Path(source)
    by_ending = {ending: format for format in reversed(FORMATS) for ending in format.endings}
    if source.is_dir():
        paths = _inside(source, tuple(by_ending))
        if paths:
            return [(path, by_ending[path.suffix]) for path in paths]
    elif not source.is_file():
        raise ScanFileError(f"{source}: there is no such file or folder")
    known = next((format for format in FORMATS if format.recognises(source)), None)
    if known:
        return [(source if known.endings or source.is_dir() else source.parent, known)]
    what = f"the folder holds no {' or '.join(by_ending)} file" if source.is_dir() else describe(source)
    raise ScanFileError(f"{source}: {what}; name {', or name '.join(format.name for format in FORMATS)}")


def read_probe(path: Path | str) -> NDArray[Any]:
    """A probe from an NPY file, or from an NPZ file under `probeGuess` or `probe`.

    Raises:
        ScanFileError: there is none.
    """
    path = Path(path)
    if path.suffix == ".npy":
        with explain_damage(path, "NPY file", ScanFileError), path.open("rb") as file:
            return read_array(file, path.stat().st_size)
    arrays = npz.load_arrays(path)
    for key in _PROBE_KEYS:
        if key in arrays:
            return arrays[key]
    raise ScanFileError(
        f"{path}: no probe among its keys {join_names(arrays) or '(none)'}; {' or '.join(_PROBE_KEYS)} is needed"
    )


def _read_probes(source: Path) -> dict[str, NDArray[Any]]:
    if not source.exists():
        raise ScanFileError(f"{source}: there is no such file or folder")
    paths = _inside(source, _PROBE_ENDINGS) if source.is_dir() else [source]
    if not paths:
        raise ScanFileError(f"{source}: the folder holds no {' or '.join(_PROBE_ENDINGS)} file")
    probes = {path.stem: read_probe(path) for path in paths}
    _log.info("%s: %d probe(s): %s", source, len(probes), ", ".join(probes))
    return probes


def _inside(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())
