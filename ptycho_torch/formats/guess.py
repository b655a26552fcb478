"""Files of named arrays in no known layout: NPZ, HDF5 and MATLAB files, searched by the names that are in use.

MATLAB and the programs written in it (PtychoShelves, fold_slice) store arrays column by column: patterns are (row,
column, pattern) there, which HDF5 shows in the reverse order. fold_slice keeps positions `ppX`, `ppY` in metres.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.geometry import Geometry, photon_wavelength_m
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.formats.arrays import MATLAB_5, ArrayTable, open_arrays
from ptycho_torch.formats.format import Format, RecordingReader, starts_with
from ptycho_torch.formats.named import order_positions, read_positions
from ptycho_torch.storage.hdf5_tree import is_hdf5
from ptycho_torch.storage.untrusted import abbreviate

_log = logging.getLogger(__name__)

_PATTERNS = (
    "diffraction", "diff3d", "diff4d", "diffraction_patterns", "diffraction_data", "diffamp", "patterns", "dp", "dps",
    "cbed", "cbeds", "data", "intensities", "intensity", "measured", "images", "frames", "arr_0",
)  # fmt: skip
_POSITIONS = (
    "positions", "probe_positions", "scan_positions", "position", "pos", "positions_px", "scan", "coords",
    "coordinates", "translation", "probe_positions_0", "positions_m",
)  # fmt: skip
# rows first
_PAIRS = (
    ("ppy", "ppx"), ("ycoords", "xcoords"), ("ycoords_start", "xcoords_start"),
    ("probe_position_y_m", "probe_position_x_m"),
    ("pos_y", "pos_x"), ("posy", "posx"), ("position_y", "position_x"), ("positions_y", "positions_x"),
    ("scan_y", "scan_x"), ("y", "x"), ("py", "px"),
)  # fmt: skip
_PROBES = ("probeguess", "probe", "initial_probe", "probe_guess", "probe_0", "probes", "illumination")
_MASKS = ("bad_pixels", "badpixels", "mask", "pixel_mask")
# set on good pixels
_GOOD_MASKS = ("fmask", "good_pixels", "mask_good")
_ENERGIES_KEV = ("energy_kev",)
_ENERGIES_EV = ("energy_ev", "photon_energy_ev")
_WAVELENGTHS = ("lambda", "wavelength", "wavelength_m")
_DISTANCES = ("distance", "distance_m", "detectordistance", "detector_distance", "detector_distance_m", "z")
_DETECTOR_PIXELS = ("psize", "detector_pixel_m", "detector_pixel_size", "det_pixel_size", "detectorpixel")
_OBJECT_PIXELS = ("dx", "dx_spec", "pixel_m", "object_pixel_m", "pixel_size", "pixelsize")
_FEWEST_POSITIONS = 3
_PATTERN_FILE, _PARAMETER_FILE = "_dp", "_para"
# written by MATLAB, although without its header
_FOLD_SLICE = "dp"


@contextlib.contextmanager
def open_any(path: Path, patterns: str | None = None, positions: str | None = None) -> Iterator[Recording]:
    """Open a file of named arrays, of which the settings may name the patterns and positions; see `guess_recording`."""
    count = None if positions is None else len(read_positions(positions, path))
    with open_arrays(path) as table:
        recording = guess_recording(table, patterns, count)
        parameters = _find_parameters(path)
        if recording.positions is None and parameters is not None:
            with open_arrays(parameters) as beside:
                geometry = read_geometry(beside)
                recording = replace(
                    recording,
                    positions=_find_positions(beside, ""),
                    geometry=geometry if geometry != Geometry() else recording.geometry,
                )
        yield recording


def _find_parameters(path: Path) -> Path | None:
    """The file of positions beside a file of patterns, `…_para` beside `…_dp`, as fold_slice names them."""
    if not path.stem.endswith(_PATTERN_FILE):
        return None
    beside = path.with_stem(path.stem.removesuffix(_PATTERN_FILE) + _PARAMETER_FILE)
    return beside if beside.is_file() else None


def _list_files(path: Path) -> list[Path]:
    parameters = _find_parameters(path)
    return [path] if parameters is None else [path, parameters]


def guess_recording(table: ArrayTable, patterns: str | None = None, count: int | None = None) -> Recording:
    """Make a recording of arrays by their names and shapes; every choice is logged.

    Args:
        table: the arrays.
        patterns: name of the patterns; None to search for them.
        count: number of the patterns, which tells their axis; None for the number of positions in the file.

    Raises:
        ScanFileError: no array can be the patterns; the message lists what there is.
    """
    name = table.path.name
    chosen = _find_patterns(table) if patterns is None else patterns
    source = table.find(chosen)
    if len(source.shape) not in (3, 4):
        shape = tuple(source.shape)
        raise table.make_error(
            f"{abbreviate(chosen)!r} has shape {shape}; patterns must have three axes, or four in a raster"
        )
    positions = _find_positions(table, chosen)
    if count is None and positions is not None:
        count = len(positions)
    stack = _orient(source, chosen, count, table)
    _log.info(
        "%s: %s %s are read as %d patterns of %d × %d px", name, chosen, tuple(source.shape), len(stack), *stack.frame
    )
    shape = stack.source.shape
    masks = _find_masks(table)
    return Recording(
        name=name,
        patterns=stack,
        positions=positions,
        raster=(shape[0], shape[1]) if len(shape) == 4 and shape[0] > 1 else None,
        geometry=read_geometry(table),
        probe=_find_probe(table, stack.frame),
        contents=table.describe(),
        bad_pixels=masks if masks is not None and np.squeeze(masks).shape == stack.frame else None,
    )


def _names(table: ArrayTable, wanted: tuple[str, ...]) -> list[str]:
    """Full names of the arrays whose last part is wanted, in the order of the wanted names."""
    last = {name: name.replace(".", "/").rpartition("/")[2].lower() for name in table.shapes}
    return [name for want in wanted for name in sorted(table.shapes) if last[name] == want]


def _find_patterns(table: ArrayTable) -> str:
    """Find the name of the patterns: a known one, or the largest array of at least three axes of real numbers."""
    possible = {
        name: shape
        for name, (shape, dtype) in table.shapes.items()
        if dtype.kind in "iuf" and len(shape) in (3, 4) and 0 not in shape
    }
    known = [name for name in _names(table, _PATTERNS) if name in possible]
    if known:
        return known[0]
    if not possible:
        raise table.make_error(
            f"is {'an' if table.kind[0] in 'HN' else 'a'} {table.kind} that must contain patterns, an array of real "
            f"numbers in three axes, but contains {table.describe()}; name them by --patterns"
        )
    return max(possible, key=lambda name: (int(np.prod(possible[name])), name))


def _orient(source: Any, name: str, count: int | None, table: ArrayTable) -> PatternStack:  # noqa: ANN401 - lazy
    """Tell which axis counts the patterns: by the number of positions, or else by the sides of the patterns."""
    shape = source.shape
    is_transposed = table.is_column_major or (table.kind == "HDF5 file" and name == _FOLD_SLICE)
    if len(shape) == 4 and table.kind == "MATLAB file" and not table.is_column_major:
        # (row, column, raster column, raster row): the third axis counts first
        return PatternStack(np.asarray(source).transpose(3, 2, 0, 1))
    if len(shape) != 3:
        return PatternStack(source, is_transposed=is_transposed)
    if count is not None and (shape[0] == count) != (shape[2] == count):
        is_last = shape[2] == count
    elif shape[0] == shape[1] and shape[1] != shape[2]:
        is_last = True
    else:
        is_last = table.kind == "MATLAB file" and not table.is_column_major
    # HDF5 shows the axes of a column-major array in reverse: (pattern, column, row)
    return PatternStack(source, is_last=is_last, is_transposed=is_transposed)


def _find_positions(table: ArrayTable, patterns: str) -> NDArray[np.float64] | None:
    for rows, columns in _PAIRS:
        found = [_names(table, (part,)) for part in (rows, columns)]
        if found[0] and found[1] and _length(table, found[0][0]) == _length(table, found[1][0]) >= _FEWEST_POSITIONS:
            pair = [np.ravel(table.read(names[0])) for names in found]
            if all(values.dtype.kind in "iuf" for values in pair):
                _log.info("%s: positions are read from %s and %s", table.path.name, found[0][0], found[1][0])
                return np.stack(pair, axis=1).astype(np.float64)
    for name in _names(table, _POSITIONS):
        shape, dtype = table.shapes[name]
        if name == patterns or dtype.kind not in "iuf" or not {2, 3} & set(shape):
            continue
        values = order_positions(table.read(name))
        if values.ndim == 2 and values.shape[1] == 2 and len(values) >= _FEWEST_POSITIONS:
            _log.info("%s: positions (row, column) are read from %s", table.path.name, name)
            return values.astype(np.float64)
    return None


def _length(table: ArrayTable, name: str) -> int:
    return int(np.prod(table.shapes[name][0]))


def _find_probe(table: ArrayTable, frame: tuple[int, int]) -> NDArray[Any] | None:
    for name in _names(table, _PROBES):
        if len(table.shapes[name][0]) < 2:
            continue
        # MATLAB lists complex values as real ones
        probe = table.read(name)
        if probe.dtype.kind != "c":
            continue
        # modes come last in programs that store arrays column by column
        if probe.shape[-2:] != frame and probe.shape[:2] == frame:
            probe = np.moveaxis(probe.reshape(*frame, -1), -1, 0)
        if probe.shape[-2:] == frame:
            return probe.reshape(-1, *frame)
    return None


def _find_masks(table: ArrayTable) -> NDArray[Any] | None:
    for name in _names(table, _MASKS):
        if table.shapes[name][1].kind in "biuf":
            return table.read(name) != 0
    for name in _names(table, _GOOD_MASKS):
        if table.shapes[name][1].kind in "biuf":
            return table.read(name) == 0
    return None


def read_geometry(table: ArrayTable) -> Geometry:
    """Read wavelength, distance and pixel sizes of usual names, in metres; what must be in another unit is ignored."""
    wavelength = _read_number(table, _WAVELENGTHS)
    for names, factor in ((_ENERGIES_KEV, 1e3), (_ENERGIES_EV, 1.0)):
        energy = _read_number(table, names)
        if wavelength is None and energy is not None:
            wavelength = photon_wavelength_m(energy * factor)
    return Geometry(
        wavelength_m=wavelength if wavelength is not None and wavelength < 1e-4 else None,
        distance_m=_read_number(table, _DISTANCES),
        detector_pixel_m=_below(_read_number(table, _DETECTOR_PIXELS), 1e-2),
        object_pixel_m=_below(_read_number(table, _OBJECT_PIXELS), 1e-3),
    )


def _below(value: float | None, limit: float) -> float | None:
    """A length in metres, or None if it must be in another unit."""
    return value if value is not None and value < limit else None


def _read_number(table: ArrayTable, names: tuple[str, ...]) -> float | None:
    for name in _names(table, names):
        shape, dtype = table.shapes[name]
        if dtype.kind in "iuf" and int(np.prod(shape)) in (1, 2):
            value = float(np.ravel(table.read(name))[0])
            if np.isfinite(value) and value > 0:
                return value
    return None


MATLAB_FORMAT = Format(
    name="MATLAB (PtychoShelves, fold_slice)",
    recognises=lambda path: starts_with(path, MATLAB_5),
    files=_list_files,
    read=RecordingReader(open_any),
    endings=(".mat",),
)
HDF5_FORMAT = Format(
    name="any HDF5 with arrays of usual names",
    recognises=is_hdf5,
    files=_list_files,
    read=RecordingReader(open_any),
    endings=(".h5", ".hdf5", ".nxs", ".hdf"),
)
