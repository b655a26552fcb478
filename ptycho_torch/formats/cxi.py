"""CXI files (coherent X-ray imaging data bank, version 1.6) and NeXus files of the kinds NXcxi_ptycho and NXptycho.

Both describe the translation of the sample in a frame in which z follows the beam and y points upwards, and the axes of
the detector by two vectors, slow axis first; by default rows run against y and columns against x. The probe moves over
the sample against the translation, so that a position is −t · e along each axis of the detector, and (row, column) is
(y, x) of the translation by default. Lengths are in metres, energies in joules; a mask of bits is zero on good pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.geometry import ELECTRON_VOLT_J, Geometry, photon_wavelength_m
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.cxi_writer import write_cxi
from ptycho_torch.formats.format import Format, RecordingReader
from ptycho_torch.storage.hdf5_tree import Hdf5Tree, contains, open_tree

# the only bit that does not disqualify a pixel: it has more signal than the background
_HAS_SIGNAL = 0x1000
_ENTRIES = ("entry_1", "entry")
_LENGTHS = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "microns": 1e-6, "nm": 1e-9, "pm": 1e-12}
_LENGTHS |= {"angstrom": 1e-10, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0, "cm": 1e-2}
_ENERGIES = {"j": 1 / ELECTRON_VOLT_J, "joule": 1 / ELECTRON_VOLT_J, "ev": 1.0, "kev": 1e3, "mev": 1e6}
# energies of photons for diffraction, eV
_USUAL_EV = (1.0, 1e6)


class _Entry:
    """One measurement of a file; groups are named with the number 1 (CXI) or without (NXptycho)."""

    def __init__(self, tree: Hdf5Tree) -> None:
        self._tree = tree
        entry = next((name for name in _ENTRIES if tree.has_group(name)), _ENTRIES[0])
        self.entry = entry
        self.instrument = self._first(entry, "instrument_1", "instrument")
        self.detector = self._first(self.instrument, "detector_1", "detector")
        self.beam = self._first(self.instrument, "beam_1", "beam")
        self.source = self._first(self.instrument, "source_1", "source")
        self.sample = self._first(entry, "sample_1", "sample")
        self.data = self._first(entry, "data_1", "data")

    def _first(self, parent: str, *names: str) -> str:
        return next(
            (f"{parent}/{name}" for name in names if self._tree.has_group(f"{parent}/{name}")), f"{parent}/{names[0]}"
        )

    def find_patterns(self) -> Any:  # noqa: ANN401 - a dataset of h5py, which carries no annotations
        """Find the patterns, (pattern, row, column) or (raster row, raster column, row, column).

        Raises:
            PtychoError: there are none, or the file contains an image only.
        """
        names = (f"{self.detector}/data", f"{self.data}/data", f"{self.entry}/image_1/data", f"{self.entry}/data")
        found = self._tree.find(*names)
        if found is None:
            raise self._tree.make_error(
                f"is a CXI or NeXus file without patterns in {names[0]} or {names[1]}; name them by --patterns"
            )
        if found.ndim < 3:
            shape = " × ".join(map(str, found.shape))
            raise self._tree.make_error(
                f"contains one image of {shape} px and no scan; ptychography needs many patterns with their positions"
            )
        return found

    def read_translation(self, patterns: int) -> NDArray[np.float64] | None:
        """Read the translation (pattern, 2 or 3), x first, in metres; None if there is none."""
        groups = (self.data, f"{self.sample}/geometry_1", f"{self.sample}/geometry", self.detector)
        for name in (f"{group}/translation" for group in groups):
            values = self._tree.read(name)
            if values is not None and values.dtype.kind in "iuf" and values.ndim >= 2:
                if values.shape[-1] not in (2, 3) and values.shape[0] in (2, 3):
                    values = np.moveaxis(values, 0, -1)
                return values.reshape(-1, values.shape[-1]) * self._scale(name, _LENGTHS, 1.0)
        pair = [self._read_axis(axis, patterns) for axis in "xy"]
        if pair[0] is None or pair[1] is None:
            return None
        return np.stack([pair[0], pair[1]], axis=1)

    def _read_axis(self, axis: str, patterns: int) -> NDArray[np.float64] | None:
        names = [f"{self.sample}/transformations/{axis}{end}" for end in ("", "_translation", "_fine_translation")]
        number = "12"["xy".index(axis)]
        names += [f"{self.data}/{axis}", f"{self.sample}/positioner_{number}/raw_value"]
        for name in names:
            values = self._tree.read(name)
            if values is not None and values.dtype.kind in "iuf" and values.size == patterns:
                return np.ravel(values) * self._scale(name, _LENGTHS, 1.0)
        return None

    def read_axes(self) -> NDArray[np.float64]:
        """Read the directions of rows and columns, (2, 3), unit vectors."""
        default = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
        vectors = self._tree.read(f"{self.detector}/basis_vectors")
        if vectors is None or vectors.dtype.kind not in "iuf":
            return default
        while vectors.ndim > 2:
            vectors = vectors[0]
        if vectors.shape == (3, 2):
            vectors = vectors.T
        lengths = np.linalg.norm(vectors, axis=-1) if vectors.shape == (2, 3) else np.zeros(2)
        return vectors / lengths[:, None] if lengths.all() and np.isfinite(lengths).all() else default

    def read_geometry(self) -> Geometry:
        """Read wavelength, distance and pixel size, as far as they are stated."""
        pixels = [self._read_length(f"{self.detector}/{axis}_pixel_size") for axis in "yx"]
        known = [pixel for pixel in pixels if pixel]
        if len(known) == 2 and not np.isclose(known[0], known[1], rtol=1e-3):
            raise self._tree.make_error(f"detector pixels are {known[0]:g} × {known[1]:g} m; they must be square")
        distance = self._read_length(f"{self.detector}/distance")
        if not distance:
            corner = self._tree.read(f"{self.detector}/corner_position")
            distance = float(abs(np.ravel(corner)[-1])) if corner is not None and corner.size == 3 else None
        return Geometry(
            wavelength_m=self._read_wavelength(),
            distance_m=abs(distance) if distance else None,
            detector_pixel_m=known[0] if known else None,
        )

    def _read_wavelength(self) -> float | None:
        """Wavelength, or that of the energy of the beam; the source's energy may be that of its electrons."""
        for group in (self.beam, self.source):
            wavelength = self._read_length(f"{group}/wavelength", f"{group}/incident_wavelength")
            if wavelength:
                return wavelength
        for name in (f"{self.beam}/incident_beam_energy", f"{self.beam}/incident_energy", f"{self.beam}/energy",
                     f"{self.source}/energy"):  # fmt: skip
            energy = self._tree.read_number(name)
            if not energy or energy <= 0:
                continue
            # without a unit: joules by the definition, otherwise electronvolts
            energy *= self._scale(name, _ENERGIES, 1 / ELECTRON_VOLT_J if energy < 1e-9 else 1.0)
            if _USUAL_EV[0] <= energy <= _USUAL_EV[1]:
                return photon_wavelength_m(energy)
        return None

    def _read_length(self, *names: str) -> float | None:
        for name in names:
            value = self._tree.read_number(name)
            if value:
                return value * self._scale(name, _LENGTHS, 1.0)
        return None

    def _scale(self, name: str, table: dict[str, float], default: float) -> float:
        """Factor of the unit in which a dataset is stored."""
        unit = self._tree.read_text(name, "units") or self._tree.read_text(name, "unit")
        return table.get(unit.strip().lower(), default)

    def read_bad_pixels(self) -> NDArray[np.bool_] | None:
        """Read the mask, True on bad pixels."""
        for name in (f"{self.detector}/mask", f"{self.detector}/pixel_mask", f"{self.entry}/image_1/mask"):
            mask = self._tree.read(name)
            if mask is not None and mask.dtype.kind in "biuf":
                bits = np.where(np.isfinite(mask), mask, 1).astype(np.int64)
                bad = (bits & ~_HAS_SIGNAL) != 0
                return bad.any(axis=tuple(range(bad.ndim - 2)))
        return None

    def read_probe(self) -> NDArray[Any] | None:
        """Read the probe at the sample, if the file has one."""
        names = [f"{self.source}/{key}" for key in ("illumination", "probe", "data_illumination")]
        names += [f"{self.instrument}/probe", f"{self.detector}/probe", f"{self.detector}/Probe", f"{self.entry}/probe"]
        for name in names:
            probe = self._tree.read(name)
            if probe is not None and probe.dtype.names is not None and len(probe.dtype.names) == 2:
                real, imaginary = probe.dtype.names
                probe = probe[real] + 1j * probe[imaginary]
            if probe is not None and probe.dtype.kind == "c" and probe.ndim >= 2:
                return probe
        return None

    def read_beam_centre(self, frame: tuple[int, int]) -> tuple[float, float] | None:
        """Read where the direct beam hits the detector, in pixels, if it lies on the detector."""
        row, column = (self._tree.read_number(f"{self.detector}/beam_center_{axis}") or 0.0 for axis in "yx")
        return (row, column) if 0 < row < frame[0] and 0 < column < frame[1] else None


@contextlib.contextmanager
def open_cxi(path: Path) -> Iterator[Recording]:
    """Open the first entry of a file.

    Raises:
        ScanFileError: the file is damaged, or contains no scan.
    """
    with open_tree(path, ScanFileError) as tree:
        entry = _Entry(tree)
        stack = PatternStack(entry.find_patterns())
        translation = entry.read_translation(len(stack))
        positions = None
        if translation is not None:
            axes = entry.read_axes()[:, : translation.shape[1]]
            positions = -translation @ axes.T
        dark = tree.find(f"{entry.detector}/data_dark")
        shape = stack.source.shape
        yield Recording(
            name=path.name,
            patterns=stack,
            positions=positions,
            position_unit="m",
            raster=(shape[0], shape[1]) if len(shape) == 4 else None,
            units="counts",
            geometry=entry.read_geometry(),
            beam_centre_px=entry.read_beam_centre(stack.frame),
            bad_pixels=entry.read_bad_pixels(),
            probe=entry.read_probe(),
            dark=None if dark is None else np.asarray(dark[()]).reshape(-1, *dark.shape[-2:]).mean(axis=0),
            background=tree.read(f"{entry.detector}/background"),
            flat=tree.read(f"{entry.detector}/qe_mask", f"{entry.detector}/flatfield"),
        )


FORMAT = Format(
    name="CXI or NeXus (NXcxi_ptycho, NXptycho)",
    recognises=lambda path: contains(
        path, "entry_1/data_1", "entry_1/instrument_1", "entry_1/image_1", "entry/instrument/detector/x_pixel_size"
    ),
    files=lambda path: [path],
    read=RecordingReader(open_cxi),
    write=write_cxi,
    endings=(".cxi",),
)
