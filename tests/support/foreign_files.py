"""One scan written as other programs write theirs, by their published layouts and not by this package.

Every function writes the same patterns (pattern, N, N), positions in object pixels (row, column) and probe to a folder
and returns the path to read. Arrays are NumPy's; lengths in files follow from `PIXEL_M`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

# 8.8 keV; the distance follows from N so that object pixels are PIXEL_M wide
WAVELENGTH_M = 1.4089e-10
DETECTOR_PIXEL_M = 75e-6
PIXEL_M = 20e-9
SIDE = 32
RASTER = (5, 7)
STEP_PX = 3.0
GEOMETRY: dict[str, Any] = {
    "wavelength_m": WAVELENGTH_M,
    "detector_pixel_m": DETECTOR_PIXEL_M,
    "distance_m": PIXEL_M * SIDE * DETECTOR_PIXEL_M / WAVELENGTH_M,
}
_JOULE_PER_EV = 1.602176634e-19
_HC_EV_M = 1.23984198e-6


@dataclass(frozen=True, eq=False)
class Written:
    """What the files contain.

    Attributes:
        counts: (pattern, N, N) whole numbers, zero frequency at [N//2, N//2].
        positions_px: (pattern, 2) row and column.
        probe: (N, N) complex.
        raster: rows and columns, if the positions form a raster of `step_px`.
        step_px: step of the raster.
    """

    counts: NDArray[np.float32]
    positions_px: NDArray[np.float64]
    probe: NDArray[np.complex64]
    raster: tuple[int, int] = (0, 0)
    step_px: float = 0.0

    @property
    def distance_m(self) -> float:
        return PIXEL_M * self.counts.shape[-1] * DETECTOR_PIXEL_M / WAVELENGTH_M

    @property
    def lengths_m(self) -> dict[str, float]:
        """As NeXus names them."""
        return {"distance": self.distance_m, "x_pixel_size": DETECTOR_PIXEL_M, "y_pixel_size": DETECTOR_PIXEL_M}


def make_written() -> Written:
    """Whole counts with no symmetry: every turn, flip, exchange and shift of the patterns or positions changes them."""
    rng = np.random.default_rng(5)
    rows, columns = np.divmod(np.arange(RASTER[0] * RASTER[1]), RASTER[1])
    offset = np.arange(SIDE) - SIDE // 2
    beam = 40 * np.exp(-(offset[:, None] ** 2 / 18 + offset**2 / 8))
    beam += 6 * np.exp(-((offset[:, None] - 6) ** 2 + offset**2) / 9)
    counts = rng.poisson(beam * rng.uniform(0.8, 1.2, (len(rows), 1, 1))).astype(np.float32)
    counts[:, SIDE // 2, SIDE // 2] += 100
    return Written(
        counts=counts,
        positions_px=STEP_PX * np.stack([rows, columns], axis=1).astype(np.float64),
        probe=(rng.normal(size=(SIDE, SIDE)) + 1j * rng.normal(size=(SIDE, SIDE))).astype(np.complex64),
        raster=RASTER,
        step_px=STEP_PX,
    )


def write_cxi(scan: Written, folder: Path) -> Path:
    """CXI 1.6: translation of the sample (x, y, z) in metres, energy in joules, links from data_1."""
    path = folder / "scan.cxi"
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector.create_dataset("data", data=scan.counts.astype(np.uint16), compression="gzip")
        detector["distance"], detector["x_pixel_size"] = scan.distance_m, DETECTOR_PIXEL_M
        detector["y_pixel_size"] = DETECTOR_PIXEL_M
        file["entry_1/instrument_1/source_1/energy"] = _HC_EV_M / WAVELENGTH_M * _JOULE_PER_EV
        file["entry_1/instrument_1/source_1/illumination"] = scan.probe
        rows, columns = scan.positions_px.T * PIXEL_M
        file["entry_1/sample_1/geometry_1/translation"] = np.stack([columns, rows, 0 * rows], axis=1)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        file["entry_1/data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")
    return path


def write_cxi_turned(scan: Written, folder: Path) -> Path:
    """CXI whose detector stands turned: its rows run along +x and its columns along +y; translation (3, pattern)."""
    path = write_cxi(scan, folder)
    with h5py.File(path, "a") as file:
        detector = file["entry_1/instrument_1/detector_1"]
        detector["basis_vectors"] = np.array([[1.0, 0, 0], [0, 1.0, 0]]).T * DETECTOR_PIXEL_M
        rows, columns = scan.positions_px.T * PIXEL_M
        del file["entry_1/sample_1/geometry_1/translation"]
        # the probe moves against the sample
        file["entry_1/sample_1/geometry_1/translation"] = np.stack([-rows, -columns, 0 * rows])
    return path


def write_cxi_compressed(scan: Written, folder: Path) -> Path:
    """CXI with the filter that Dectris detectors use, in an optional package."""
    import hdf5plugin  # noqa: PLC0415

    path = write_cxi(scan, folder)
    with h5py.File(path, "a") as file:
        detector = file["entry_1/instrument_1/detector_1"]
        del detector["data"]
        detector.create_dataset("data", data=scan.counts.astype(np.uint16), compression=hdf5plugin.Bitshuffle())
    return path


def write_nxcxi(scan: Written, folder: Path) -> Path:
    """NXcxi_ptycho: the energy of the machine beside that of the beam, units as attributes, motors in millimetres."""
    path = folder / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["entry_1/definition"] = "NXptycho"
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"] = scan.counts.astype(np.int32)
        for key, value in scan.lengths_m.items():
            detector[key] = value * 1e3
            detector[key].attrs["units"] = "mm"
        file["entry_1/instrument_1/source_1/energy"] = 3.0
        file["entry_1/instrument_1/source_1/energy"].attrs["units"] = "GeV"
        file["entry_1/instrument_1/source_1/probe"] = "photon"
        file["entry_1/instrument_1/beam_1/incident_beam_energy"] = _HC_EV_M / WAVELENGTH_M / 1e3
        file["entry_1/instrument_1/beam_1/incident_beam_energy"].attrs["units"] = "keV"
        for axis, values in zip("yx", scan.positions_px.T * PIXEL_M * 1e3, strict=True):
            file[f"entry_1/sample_1/transformations/{axis}"] = values
            file[f"entry_1/sample_1/transformations/{axis}"].attrs["units"] = "mm"
    return path


def write_nxptycho(scan: Written, folder: Path) -> Path:
    """NXptycho of 2023: groups without numbers, positioners in metres, energy in electronvolts."""
    path = folder / "scan.nx"
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXptycho"
        detector = file.create_group("entry/instrument/detector")
        detector["data"] = scan.counts.astype(np.uint32)
        for key, value in scan.lengths_m.items():
            detector[key] = value
            detector[key].attrs["unit"] = "m"
        file["entry/instrument/beam/energy"] = _HC_EV_M / WAVELENGTH_M
        file["entry/instrument/beam/energy"].attrs["units"] = "eV"
        for number, values in zip("21", scan.positions_px.T * PIXEL_M, strict=True):
            file[f"entry/sample/positioner_{number}/raw_value"] = values
    return path


def write_ptyd(scan: Written, folder: Path) -> Path:
    """PtyPy 0.9: chunks with weights, positions (row, column) in metres, energy in keV."""
    path = folder / "scan.ptyd"
    with h5py.File(path, "w") as file:
        half = len(scan.counts) // 2
        for number, part in enumerate((slice(0, half), slice(half, None))):
            chunk = file.create_group(f"chunks/{number}")
            chunk["data"], chunk["positions"] = scan.counts[part].astype(np.int32), scan.positions_px[part] * PIXEL_M
            chunk["weights"] = np.ones(scan.counts[part].shape)
            chunk["indices"] = np.arange(len(scan.counts))[part]
        side = scan.counts.shape[-1]
        file["meta/energy"], file["meta/distance"] = _HC_EV_M / WAVELENGTH_M / 1e3, scan.distance_m
        file["meta/psize"], file["meta/center"] = np.full(2, DETECTOR_PIXEL_M), np.full(2, side / 2)
        file["meta/num_frames"], file["meta/shape"] = len(scan.counts), np.full(2, side)
    return path


def write_ptychopinn(scan: Written, folder: Path) -> Path:
    """PtychoPINN: amplitudes, positions in pixels by axis."""
    path = folder / "scan.npz"
    np.savez(
        path,
        diffraction=np.sqrt(scan.counts),
        xcoords=scan.positions_px[:, 1],
        ycoords=scan.positions_px[:, 0],
        xcoords_start=scan.positions_px[:, 1],
        ycoords_start=scan.positions_px[:, 0],
        probeGuess=scan.probe,
        objectGuess=np.ones((64, 64), complex),
    )
    return path


def write_ptychopinn_old(scan: Written, folder: Path) -> Path:
    """PtychoPINN before FORMAT-001: (N, N, pattern)."""
    path = folder / "scan.npz"
    rows, columns = scan.positions_px.T
    patterns = np.moveaxis(np.sqrt(scan.counts), 0, -1)
    np.savez(path, diff3d=patterns, xcoords=columns, ycoords=rows, probeGuess=scan.probe)
    return path


def write_ptychonn(scan: Written, folder: Path) -> Path:
    """PtychoNN, as its users combine patterns and positions: counts and positions under other names."""
    path = folder / "scan.npz"
    positions = scan.positions_px * PIXEL_M
    np.savez(path, diffraction_data=scan.counts, positions=positions, probe=scan.probe, pixel_m=PIXEL_M)
    return path


def write_matlab_5(scan: Written, folder: Path) -> Path:
    """MATLAB 5: (row, column, pattern), positions in metres, a structure with the probe's modes last."""
    path = folder / "scan.mat"
    contents: dict[str, Any] = {
        "dp": np.moveaxis(scan.counts.astype(np.uint16), 0, -1),
        "ppX": scan.positions_px[:, 1:] * PIXEL_M,
        "ppY": scan.positions_px[:, :1] * PIXEL_M,
        "p": {"probe": scan.probe, "dx_spec": np.full((1, 2), PIXEL_M)},
    }
    savemat(path, contents)
    return path


def write_matlab_7(scan: Written, folder: Path) -> Path:
    """MATLAB 7.3: HDF5 after a header, axes in reverse, complex values as pairs."""
    path = folder / "scan.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        # MATLAB's (row, column, pattern) is (pattern, column, row) to others
        file["dp"] = np.ascontiguousarray(scan.counts.swapaxes(1, 2))
        file["dp"].attrs["MATLAB_class"] = np.bytes_("single")
        file["ppX"], file["ppY"] = scan.positions_px[:, 1][None] * PIXEL_M, scan.positions_px[:, 0][None] * PIXEL_M
        pairs = np.zeros(scan.probe.shape, [("real", "f8"), ("imag", "f8")])
        pairs["real"], pairs["imag"] = scan.probe.T.real, scan.probe.T.imag
        file["probe"] = pairs
        file["dx"] = np.full((1, 1), PIXEL_M)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Tue Jan  6 10:00:00 2026 HDF5 schema 1.00 ."
    with path.open("r+b") as raw:
        raw.write(header.ljust(124) + struct.pack("<HH", 0x0200, 0x4D49))
    return path


def write_fold_slice(scan: Written, folder: Path) -> Path:
    """fold_slice: patterns and positions in two files."""
    path = folder / "data_roi0_dp.hdf5"
    with h5py.File(path, "w") as file:
        patterns = scan.counts.swapaxes(1, 2)
        file.create_dataset("dp", data=patterns, compression="gzip", chunks=(1, *patterns.shape[1:]))
    with h5py.File(folder / "data_roi0_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = scan.positions_px[:, 1] * PIXEL_M, scan.positions_px[:, 0] * PIXEL_M
        file["lambda"], file["dx"] = WAVELENGTH_M, PIXEL_M
    return path


def write_hdf5(scan: Written, folder: Path) -> Path:
    """An HDF5 file of a home-made layout, positions in micrometres."""
    path = folder / "scan.h5"
    with h5py.File(path, "w") as file:
        file["measurement/eiger/images"] = scan.counts.astype(np.uint16)
        file["measurement/stage"] = scan.positions_px * PIXEL_M * 1e6
        file["start/illumination"] = scan.probe
    return path


def write_tiffs(scan: Written, folder: Path) -> Path:
    """A folder of one TIFF a pattern, and positions as text."""
    path = folder / "frames"
    path.mkdir()
    for number, pattern in enumerate(scan.counts):
        Image.fromarray(pattern.astype(np.uint16)).save(path / f"frame_{number}.tif")
    text = "# row column\n" + "\n".join(f"{row:.9f}, {column:.9f}" for row, column in scan.positions_px)
    (folder / "positions.csv").write_text(text)
    return path


def write_dectris(scan: Written, folder: Path) -> Path:
    """Dectris: a master file with links to files of patterns, the gap marked by the largest value."""
    half = len(scan.counts) // 2
    for number, part in enumerate((slice(0, half), slice(half, None)), 1):
        with h5py.File(folder / f"scan_data_{number:06}.h5", "w") as file:
            file["entry/data/data"] = scan.counts[part].astype(np.uint32)
    path = folder / "scan_master.h5"
    with h5py.File(path, "w") as file:
        for number in (1, 2):
            file[f"entry/data/data_{number:06}"] = h5py.ExternalLink(f"scan_data_{number:06}.h5", "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        for key, value in scan.lengths_m.items():
            key = key.replace("distance", "detector_distance")
            detector[key] = value
            detector[key].attrs["units"] = "m"
        file["entry/instrument/beam/incident_wavelength"] = WAVELENGTH_M * 1e10
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
    return path


def write_empad(scan: Written, folder: Path) -> Path:
    """EMPAD: frames of 130 × 128 float32, the last two rows not part of the pattern; here 0 around smaller patterns."""
    path = folder / "scan_x7_y5.raw"
    frames = np.zeros((len(scan.counts), 130, 128), "<f4")
    low = 64 - scan.counts.shape[-1] // 2
    frames[:, low : low + scan.counts.shape[-1], low : low + scan.counts.shape[-1]] = scan.counts
    frames[:, 128:] = np.nan
    frames.tofile(path)
    return path


def write_merlin(scan: Written, folder: Path) -> Path:
    """Merlin: frames of 16-bit counts after a header of 384 bytes each, big-endian, last row first."""
    path = folder / "scan.mib"
    side = scan.counts.shape[-1]
    with path.open("wb") as file:
        for number, pattern in enumerate(scan.counts, 1):
            head = f"MQ1,{number:06},00384,01,{side:04},{side:04},U16,   1x1,01,"
            tail = "2026-01-06 10:00:00.000000000,0.001000,0,0,0,MQ1A,2026-01-06T10:00:00.000000000Z,1000000ns,12,"
            file.write((head + tail).ljust(384).encode())
            file.write(pattern[::-1].astype(">u2").tobytes())
    return path


def write_block(scan: Written, folder: Path) -> Path:
    """A block file of NanoMEGAS: a header, an image of the raster, then 8-bit counts with their numbers."""
    path, side = folder / "scan.blo", scan.counts.shape[-1]
    rows, columns = scan.raster
    start = 4096 + rows * columns
    step_nm = scan.step_px * PIXEL_M * 1e9
    sizes = (4096, start, 131141, side, 0, columns, rows, 0)
    head = struct.pack("<6sHIIIHHHHHddIHI", b"IMGBLO", 0x102, *sizes, step_nm, step_nm, 0, 0, 0)
    with path.open("wb") as file:
        file.write(head.ljust(start, b"\0"))
        for number, pattern in enumerate(scan.counts):
            file.write(struct.pack("<HI", 0x55AA, number) + pattern.astype(np.uint8).tobytes())
    return path


def write_emd(scan: Written, folder: Path) -> Path:
    """EMD of Berkeley Lab: an array of four axes with one array of coordinates and its unit for each."""
    path, side = folder / "scan.emd", scan.counts.shape[-1]
    with h5py.File(path, "w") as file:
        file.attrs["version_major"] = 0
        file["version_major"] = 0
        group = file.create_group("data/datacubes/datacube_0")
        group.attrs["emd_group_type"] = 1
        group["data"] = scan.counts.astype(np.uint16).reshape(*scan.raster, side, side)
        step, inverse = scan.step_px * PIXEL_M * 1e9, 1 / (side * PIXEL_M * 1e9)
        sizes = [(length, step, "[n_m]") for length in scan.raster] + 2 * [(side, inverse, "[n_m^-1]")]
        for number, (size, scale, unit) in enumerate(sizes, 1):
            group[f"dim{number}"] = np.arange(size) * scale
            group[f"dim{number}"].attrs["units"] = unit
    return path


def write_workflow_folder(scan: Written, folder: Path) -> Path:
    """Ptychodus: assembled patterns and a product; positions are those of the middle of a patch, in metres."""
    path = folder / "sample"
    path.mkdir()
    side = scan.counts.shape[-1]
    with h5py.File(path / "diffraction.h5", "w") as file:
        file["patterns"] = scan.counts.astype(np.uint16)
        file["patterns"].attrs.update({f"detector_pixel_{side}_m": DETECTOR_PIXEL_M for side in ("height", "width")})
        file["indexes"], file["bad_pixels"] = np.arange(len(scan.counts)), np.zeros((side, side), bool)
    with h5py.File(path / "product.h5", "w") as file:
        file.attrs.update({"detector_object_distance_m": scan.distance_m, "photon_energy_eV": _HC_EV_M / WAVELENGTH_M})
        file["probe_position_indexes"] = np.arange(len(scan.counts))
        file["probe_position_y_m"], file["probe_position_x_m"] = scan.positions_px.T * PIXEL_M
        file["probe"], file["object"] = scan.probe[None, None], np.ones((1, 80, 80), complex)
        for name in ("probe", "object"):
            file[name].attrs.update({"pixel_height_m": PIXEL_M, "pixel_width_m": PIXEL_M})
        file["object"].attrs.update({"center_y_m": 0.0, "center_x_m": 0.0})
    return path
