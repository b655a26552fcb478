"""Scans and probes in files and folders; the table of formats."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.recording import Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import cxi, cxi_writer, dectris, guess, hugging_face, npz, ptychodus_folder, ptyd, stem, tiff
from ptycho_torch.formats.arrays import open_arrays
from ptycho_torch.formats.fluorescence import add_fluorescence
from ptycho_torch.formats.format import Format, Reader, RecordingReader
from ptycho_torch.formats.kinds import describe
from ptycho_torch.formats.probes import read_probe

_log = logging.getLogger(__name__)

# the first format that recognises a path reads it
FORMATS: tuple[Format, ...] = (
    npz.FORMAT,
    ptychodus_folder.FORMAT,
    ptyd.FORMAT,
    dectris.FORMAT,
    cxi.FORMAT,
    stem.EMD_FORMAT,
    stem.MERLIN_FORMAT,
    stem.BLOCK_FORMAT,
    stem.EMPAD_FORMAT,
    hugging_face.FORMAT,
    tiff.FOLDER_FORMAT,
    tiff.FILE_FORMAT,
    guess.MATLAB_FORMAT,
    # what no format above recognises
    guess.HDF5_FORMAT,
)

# by the ending of the file to write
WRITERS: dict[str, Callable[[Scan, Path], None]] = {
    ".npz": npz.write_scan,
    ".cxi": cxi_writer.write_cxi,
    ".nxs": cxi_writer.write_nexus,
}

_PROBE_ENDINGS = (".npz", ".npy", ".ptyr", ".mat", ".h5", ".hdf5")


def read_scans(
    source: Path | str, settings: DataSettings | None = None, probes: Path | str | None = None
) -> list[Scan]:
    """Read one scan, or all scan files of a folder in the order of their names.

    Args:
        source: a file or folder in one of `FORMATS`, or a folder of such files. Subfolders are not searched.
        settings: conventions of the files; None to detect them.
        probes: file that contains a probe, a folder of such files, or the name of an array in the scan's file. One
            probe is used for all scans, several for the scans of the same names; None to use the probes of the scans.

    Raises:
        ScanFileError: nothing can be read there, probes do not belong to the scans, or scans differ in size.
        ConfigError: a setting contradicts a file.
        DataError: the arrays do not form a usable scan.
    """
    places = find_scans(source)
    is_name = probes is not None and not Path(probes).exists()
    found = _read_probes(Path(probes)) if probes is not None and not is_name else {}
    if len(found) > 1:
        missing = [place.name for place, _ in places if place.stem not in found]
        if missing:
            raise ScanFileError(
                f"{probes}: contains no probe named like {missing[0]}; a single probe is used for all scans"
            )
    scans = []
    for place, format in places:
        probe = found.get(place.stem) if len(found) > 1 else next(iter(found.values()), None)
        if is_name:
            probe = _read_named_probe(place, str(probes))
        scan = _choose_reader(format, settings)(place, settings, probe=probe)
        scans.append(add_fluorescence(scan, settings.fluorescence, place) if settings else scan)
    sizes = {scan.patch_px for scan in scans}
    if len(sizes) > 1:
        listing = ", ".join(f"{scan.name} {scan.patch_px} px" for scan in scans)
        raise ScanFileError(
            f"{source}: patterns must have the same size in all scans ({listing}); "
            f"--crop_px {min(sizes)} cuts them to it"
        )
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


@contextlib.contextmanager
def open_recording(source: Path | str, settings: DataSettings) -> Iterator[Recording]:
    """Open the only scan of a file or a folder as the recording of which `read_one_scan` makes a scan.

    Raises:
        ScanFileError: there is none, its format has no recordings, or an array that the settings name does not exist.
        ConfigError: a setting contradicts the format.
    """
    place, format = find_scans(source)[0]
    reader = _choose_reader(format, settings)
    if not isinstance(reader, RecordingReader):
        raise ScanFileError(f"{place}: its stored values cannot be read; write it in another format by convert")
    with reader.open_recording(place, settings) as recording:
        yield recording


def list_scan_files(source: Path | str) -> list[Path]:
    """List the files that `read_scans` reads.

    Raises:
        ScanFileError: there are none.
    """
    return [path for place, format in find_scans(source) for path in format.files(place)]


def find_scans(source: Path | str) -> list[tuple[Path, Format]]:
    """Find the path and the format of each scan.

    Files in a folder are listed by their endings, so that a truncated one is refused and not skipped. If there are NPZ
    files, the others are ignored.

    Raises:
        ScanFileError: there are none.
    """
    source = Path(source)
    if source.is_dir():
        archives = _list_files(source, npz.FORMAT.endings)
        if archives:
            return [(path, npz.FORMAT) for path in archives]
        whole = next((format for format in FORMATS if not format.endings and format.recognises(source)), None)
        return [(source, whole)] if whole else _find_in_folder(source)
    if not source.is_file():
        if source.is_symlink():
            raise ScanFileError(f"{source}: is a link to a file that does not exist")
        raise ScanFileError(f"{source}: the file or folder does not exist")
    known = recognise(source)
    if known is None:
        raise ScanFileError(f"{source}: {describe(source)}; readable are {list_names()}")
    return [(source if known.endings else source.parent, known)]


def list_names() -> str:
    """List the names of all formats for a message."""
    return "; ".join(format.name for format in FORMATS)


def recognise(path: Path) -> Format | None:
    """The format of a file or folder; None if no format recognises it."""
    return next((format for format in FORMATS if format.recognises(path)), None)


def _find_in_folder(folder: Path) -> list[tuple[Path, Format]]:
    by_ending = {ending: format for format in reversed(FORMATS) for ending in format.endings}
    paths = _list_files(folder, tuple(by_ending))
    if not paths:
        raise ScanFileError(
            f"{folder}: the folder contains no .npz file and no other file of a scan; readable are {list_names()}"
        )
    found = [(path, recognise(path) or by_ending[path.suffix]) for path in paths]
    # files that belong to the scan of another one
    parts = {part for path, format in found for part in _list_parts(path, format)}
    return [(path, format) for path, format in found if path not in parts]


def _list_parts(path: Path, format: Format) -> list[Path]:
    try:
        return [part for part in format.files(path) if part != path]
    except ScanFileError:
        # reading will refuse it
        return []


def _choose_reader(format: Format, settings: DataSettings | None) -> Reader:
    """The reader of a format, or, if the settings name the patterns, that of files of named arrays."""
    if settings is None or settings.patterns is None:
        return format.read
    patterns, positions = settings.patterns, settings.positions
    return RecordingReader(lambda path: guess.open_any(path, patterns, positions))


def _read_named_probe(path: Path, name: str) -> NDArray[Any]:
    """Read the probe of a name in the file of a scan.

    Raises:
        ScanFileError: the file has no array of that name.
    """
    if not path.is_file():
        raise ScanFileError(f"{name}: the file or folder does not exist")
    try:
        with open_arrays(path) as table:
            return table.read(name)
    except ScanFileError as error:
        raise ScanFileError(
            f"{name}: the file or folder does not exist, and as the name of an array: {error}"
        ) from error


def _read_probes(source: Path) -> dict[str, NDArray[Any]]:
    paths = _list_files(source, _PROBE_ENDINGS) if source.is_dir() else [source]
    if not paths:
        raise ScanFileError(f"{source}: the folder contains no {' or '.join(_PROBE_ENDINGS)} file")
    probes = {path.stem: read_probe(path) for path in paths}
    _log.info("%s: contains %d probe(s): %s", source, len(probes), ", ".join(probes))
    return probes


def _list_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())
