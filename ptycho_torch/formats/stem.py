"""4D-STEM: EMPAD (.raw, .xml), Merlin (.mib), block files (.blo) and EMD, scanned in a raster.

RosettaSciIO reads EMPAD's XML and Merlin's files; EMPAD's raw values, block files and EMD are read here. Steps of the
raster and the scale of the patterns are taken from the files if they contain them, and otherwise from the settings.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.data.geometry import Geometry, electron_wavelength_m
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, RecordingReader, starts_with
from ptycho_torch.formats.kinds import read_start
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, contains, open_tree
from ptycho_torch.storage.untrusted import explain_damage

_log = logging.getLogger(__name__)

_PACKAGE = "rsciio"
# rows of a frame of EMPAD, of which the last two do not belong to the pattern, and columns
_EMPAD_ROWS, _EMPAD_COLUMNS, _EMPAD_SIDE = 130, 128, 128
_EMPAD_FRAME_BYTES = _EMPAD_ROWS * _EMPAD_COLUMNS * 4
_LENGTHS = {"m": 1.0, "mm": 1e-3, "µm": 1e-6, "um": 1e-6, "nm": 1e-9, "a": 1e-10, "å": 1e-10, "pm": 1e-12}
_LENGTHS |= {"angstrom": 1e-10, "[n_m]": 1e-9, "[u_m]": 1e-6}
_PER_LENGTH = {"1/nm": 1e9, "nm^-1": 1e9, "[n_m^-1]": 1e9, "1/å": 1e10, "å^-1": 1e10, "a^-1": 1e10, "1/a": 1e10}
_MERLIN_KIND = "a Merlin file (.mib)"
_MERLIN, _BLOCK = b"MQ1,", b"IMGBLO"
# of NanoMEGAS; the rest of the header describes distortions
_BLOCK_HEADER = np.dtype(
    {
        "names": ["start", "side", "columns", "rows", "column_step_nm", "row_step_nm", "energy_ev", "per_metre",
                  "distance_tenths_mm"],
        "formats": ["<u4", "<u2", "<u2", "<u2", "<f8", "<f8", "<u4", "<u2", "<u4"],
        "offsets": [12, 20, 24, 26, 30, 38, 46, 50, 52],
        "itemsize": 56,
    }
)  # fmt: skip
_DATA_NAMES = ("data", "datacube", "datacube_0")


def _read_signal(path: Path, module: str, kind: str) -> dict[str, Any]:
    """Read a file by RosettaSciIO, the values lazily.

    Raises:
        ScanFileError: the package is not installed, or the file is damaged.
    """
    reader = _import(path, module, kind).file_reader
    with explain_damage(path, kind.partition(" ")[2], ScanFileError):
        logging.getLogger(_PACKAGE).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: dict[str, Any] = reader(str(path), lazy=True)[0]
        return found


def _import(path: Path, module: str, kind: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(f"{_PACKAGE}.{module}")
    except ImportError as error:
        raise ScanFileError(
            f"{path}: is {kind}, which needs {error.name}; `python -m pip install rosettasciio` adds it"
        ) from error


def _make_recording(path: Path, signal: Mapping[str, Any]) -> Recording:
    data, axes = signal["data"], signal["axes"]
    if len(data.shape) < 3:
        raise ScanFileError(f"{path}: contains one pattern of {data.shape} px and no scan")
    scan, frame = axes[:-2], axes[-2:]
    return Recording(
        name=path.name,
        patterns=PatternStack(data),
        raster=(data.shape[0], data.shape[1]) if len(data.shape) == 4 else None,
        step_m=_read_steps([(axis.get("scale"), axis.get("units")) for axis in scan]),
        units="counts",
        geometry=_read_scale([(axis.get("scale"), axis.get("units")) for axis in frame], data.shape[-2]),
    )


def _read_steps(axes: Sequence[tuple[Any, Any]]) -> tuple[float, float] | None:
    """Steps of a raster in metres; None unless both axes have a length as unit."""
    steps = [abs(float(scale)) * _LENGTHS.get(str(unit).strip().lower(), 0.0) for scale, unit in axes if scale]
    return (steps[0], steps[1]) if len(steps) == 2 and all(steps) else None


def _read_scale(axes: Sequence[tuple[Any, Any]], rows: int) -> Geometry:
    """The object pixel, if the axes of the patterns are in inverse lengths, or the angle of a detector pixel."""
    scale, unit = axes[0]
    unit = str(unit).strip().lower()
    if scale and unit in _PER_LENGTH:
        return Geometry(object_pixel_m=1 / (rows * abs(float(scale)) * _PER_LENGTH[unit]))
    if scale and unit == "mrad":
        return Geometry(detector_pixel_rad=abs(float(scale)) * 1e-3)
    return Geometry()


@contextlib.contextmanager
def open_merlin(path: Path) -> Iterator[Recording]:
    """Open a Merlin file; the shape of its raster is taken from its .hdr file, if there is one beside it.

    The last row of a pattern is stored first, as RosettaSciIO reads it.
    """
    if path.suffix == ".mib":
        yield _make_recording(path, _read_signal(path, "quantumdetector", _MERLIN_KIND))
        return
    # the package derives the name of the .hdr file from the ending
    load = _import(path, "quantumdetector", _MERLIN_KIND).load_mib_data
    with explain_damage(path, "Merlin file", ScanFileError):
        frames = load(str(path), lazy=True)
        yield Recording(name=path.name, patterns=PatternStack(frames[..., ::-1, :]), units="counts")


@contextlib.contextmanager
def open_block(path: Path) -> Iterator[Recording]:
    """Open a block file: a header, then patterns of bytes in a raster, each after its number.

    Raises:
        ScanFileError: the file is damaged or truncated.
    """
    with explain_damage(path, "block file", ScanFileError):
        header = np.fromfile(path, _BLOCK_HEADER, 1)[0]
        side, rows, columns = (int(header[key]) for key in ("side", "rows", "columns"))
        frame = np.dtype([("mark", "<u2"), ("number", "<u4"), ("values", "u1", (side, side))])
        frames = np.memmap(path, frame, "r", int(header["start"]), (rows, columns))
        steps = [(float(header[key]), "nm") for key in ("row_step_nm", "column_step_nm")]
        energy, per_metre, tenths_mm = (int(header[key]) for key in ("energy_ev", "per_metre", "distance_tenths_mm"))
        yield Recording(
            name=path.name,
            patterns=PatternStack(frames["values"]),
            raster=(rows, columns),
            step_m=_read_steps(steps),
            units="counts",
            geometry=Geometry(
                wavelength_m=electron_wavelength_m(energy) if energy else None,
                distance_m=tenths_mm * 1e-4 or None,
                detector_pixel_m=1 / per_metre if per_metre else None,
            ),
        )


@contextlib.contextmanager
def open_empad(path: Path) -> Iterator[Recording]:
    """Open EMPAD's raw values, or its XML file, which names them; square rasters need no XML file.

    Raises:
        ScanFileError: a file is damaged or missing, or the XML file names one elsewhere.
    """
    xml = path if path.suffix == ".xml" else _find_xml(path)
    if xml is not None:
        _locate_raw(xml)
        yield _make_recording(xml, _read_signal(xml, "empad", "an EMPAD file"))
        return
    frames = path.stat().st_size // _EMPAD_FRAME_BYTES
    with explain_damage(path, "EMPAD file", ScanFileError):
        values = np.memmap(path, "<f4", "r", 0, (frames, _EMPAD_ROWS, _EMPAD_COLUMNS))
    side = math.isqrt(frames)
    if side**2 == frames:
        _log.info("%s: %d patterns without an XML file are read as a raster of %d × %d", path.name, frames, side, side)
    yield Recording(
        name=path.name,
        patterns=PatternStack(values[:, :_EMPAD_SIDE]),
        raster=(side, side) if side**2 == frames else None,
        units="counts",
    )


def _is_empad(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".xml":
        return b"raw_file" in path.read_bytes()[: 2**16]
    size = path.stat().st_size
    return path.suffix == ".raw" and size > 0 and size % _EMPAD_FRAME_BYTES == 0


def _find_xml(path: Path) -> Path | None:
    """The XML file beside raw values that names them."""
    for xml in sorted(path.parent.glob("*.xml")):
        if _is_empad(xml) and path.name.encode() in xml.read_bytes()[: 2**16]:
            return xml
    return None


def _locate_raw(xml: Path) -> Path:
    """The file of raw values beside an XML file.

    Raises:
        ScanFileError: it does not exist, or is named with a folder.
    """
    text = read_start(xml).decode("utf-8", "replace") + xml.read_text("utf-8", "replace")[: 2**16]
    found = re.search(r'raw_file[^>]*filename\s*=\s*"([^"]*)"', text)
    name = found[1] if found else ""
    if not name or Path(name).name != name or name in (".", ".."):
        raise ScanFileError(f"{xml}: is an EMPAD file that does not name its raw values beside it, but {name[:60]!r}")
    if not (xml.parent / name).is_file():
        raise ScanFileError(f"{xml}: names {name[:60]!r}, which does not exist; copy the raw values beside this file")
    return xml.parent / name


@contextlib.contextmanager
def open_emd(path: Path) -> Iterator[Recording]:
    """Open an EMD file of Berkeley Lab's layout, also as py4DSTEM writes it: `data` with an array for each axis.

    Raises:
        ScanFileError: the file is damaged, or has no array of four axes.
    """
    with open_tree(path, ScanFileError) as tree:
        for name, (shape, dtype) in tree.list_arrays().items():
            group, _, last = name.rpartition("/")
            if last in _DATA_NAMES and len(shape) == 4 and dtype.kind in "iuf":
                axes = [_read_axis(tree, group, number) for number in range(4)]
                yield Recording(
                    name=path.name,
                    patterns=PatternStack(tree.find(name)),
                    raster=(shape[0], shape[1]),
                    step_m=_read_steps(axes[:2]),
                    units="counts",
                    geometry=_read_scale(axes[2:], shape[2]),
                )
                return
        raise tree.make_error("is an EMD file without patterns (data with four axes); name them by --patterns")


def _read_axis(tree: Hdf5Tree, group: str, number: int) -> tuple[float | None, str]:
    """Step and unit of an axis: `dim0` … in py4DSTEM's files, `dim1` … in others."""
    first = 0 if tree.find(f"{group}/dim0") is not None else 1
    name = f"{group}/dim{number + first}"
    values = tree.read(name)
    if values is None or values.dtype.kind not in "iuf" or values.size < 2:
        return None, ""
    step = float(np.ravel(values)[1] - np.ravel(values)[0])
    return step, tree.read_text(name, "units")


def _is_emd(path: Path) -> bool:
    return contains(path, "4DSTEM_experiment", "data/datacubes", "datacube_root/datacube", "version_major") or (
        path.suffix == ".emd" and contains(path, "data", "experiment", "experiments")
    )


EMPAD_FORMAT = Format(
    name="EMPAD (.raw, .xml)",
    recognises=_is_empad,
    files=lambda path: [path, _locate_raw(path)] if path.suffix == ".xml" else [path],
    read=RecordingReader(open_empad),
    endings=(".raw", ".xml"),
)
MERLIN_FORMAT = Format(
    name="Merlin (.mib)",
    recognises=lambda path: starts_with(path, _MERLIN),
    files=lambda path: [path],
    read=RecordingReader(open_merlin),
    endings=(".mib",),
)
BLOCK_FORMAT = Format(
    name="block files (.blo)",
    recognises=lambda path: starts_with(path, _BLOCK),
    files=lambda path: [path],
    read=RecordingReader(open_block),
    endings=(".blo",),
)
EMD_FORMAT = Format(
    name="EMD (4D-STEM)",
    recognises=_is_emd,
    files=lambda path: [path],
    read=RecordingReader(open_emd),
    endings=(".emd",),
)
