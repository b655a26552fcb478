"""The settings of reading a file of measured data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """How to read a file of measured data; what it does not specify is detected and logged."""

    units: Literal["auto", "counts", "amplitude", "log", "log10"] = setting(
        "auto",
        help="units of the patterns; auto: integers above 50 are counts, anything else amplitudes; log and log10: "
        "logarithms of counts + 1",
    )
    zero_frequency: Literal["auto", "centre", "corner"] = setting(
        "auto", help="where the direct beam lies; auto compares the two places"
    )
    transpose: bool = setting(False, help="exchange rows and columns of the patterns")
    flip_rows: bool = setting(False, help="reverse the rows of the patterns (after transpose)")
    flip_columns: bool = setting(False, help="reverse the columns of the patterns (after transpose)")
    swap_positions: bool = setting(False, help="exchange row and column of the positions")
    photons: float | None = setting(
        None, unit="photons", above=0, at_most=1e12, help="mean photons per pattern, if amplitudes are normalised"
    )
    gain: float = setting(1.0, above=0, help="values of the detector for each photon")
    saturation: float | None = setting(None, above=0, help="value from which on a detector pixel is saturated, and bad")
    patterns: str | None = setting(None, help="name of the patterns in the file, such as entry/data")
    positions: str | None = setting(
        None,
        help="name of the positions (row, column) in the file, or ROWS,COLUMNS, two names; also FILE or FILE:NAME, "
        "in another file (NPY, NPZ, MAT, HDF5, TXT, CSV)",
    )
    mask: str | None = setting(
        None, help="name of the mask in the file, True on bad pixels, or FILE or FILE:NAME (also an image)"
    )
    dark: str | None = setting(None, help="values of the detector without light, to subtract: NAME, FILE or FILE:NAME")
    flat: str | None = setting(None, help="relative sensitivity of the pixels, to divide by: NAME, FILE or FILE:NAME")
    background: str | None = setting(
        None, help="mean values that do not come from the sample, added to the model: NAME, FILE or FILE:NAME"
    )
    fluorescence: str | None = setting(
        None,
        help="values of a second detector for each pattern (pattern, channel), mapped beside the object: NAME, FILE or "
        "FILE:NAME",
    )
    position_unit: Literal["auto", "px", "m", "mm", "um", "nm", "step"] = setting(
        "auto", help="unit of the positions; auto: that of the format, or the one that makes usual steps"
    )
    position_scale: float = setting(1.0, above=0, help="factor for the positions")
    position_rotation_deg: float = setting(
        0.0, unit="deg", at_least=-360, at_most=360, help="angle by which positions are turned from rows to columns"
    )
    flip_position_rows: bool = setting(False, help="reverse the rows of the positions")
    flip_position_columns: bool = setting(False, help="reverse the columns of the positions")
    position_offset: int = setting(
        0,
        at_least=-1_000_000,
        at_most=1_000_000,
        help="pattern k was taken at position k + position_offset; patterns without a position are left out",
    )
    leave_out: str | None = setting(None, help="numbers of patterns to leave out, such as 3,17,40-52")
    raster_columns: int | None = setting(
        None, at_least=1, help="positions in a row of a raster, which replaces the positions of the file"
    )
    step_m: float | None = setting(None, unit="m", above=0, at_most=1, help="distance of neighbours in a raster")
    step_px: float | None = setting(None, unit="px", above=0, help="the same in object pixels, instead of step_m")
    energy_ev: float | None = setting(None, unit="eV", above=0, help="energy of the photons")
    electron_energy_ev: float | None = setting(None, unit="eV", above=0, help="energy of the electrons")
    wavelength_m: float | None = setting(None, unit="m", above=0, at_most=1, help="wavelength, instead of an energy")
    distance_m: float | None = setting(None, unit="m", above=0, help="distance from the sample to the detector")
    detector_pixel_m: float | None = setting(None, unit="m", above=0, at_most=1, help="side of a detector pixel")
    detector_pixel_mrad: float | None = setting(
        None,
        unit="mrad",
        above=0,
        help="angle of a detector pixel, instead of distance_m and detector_pixel_m",
    )
    pixel_m: float | None = setting(
        None, unit="m", above=0, at_most=1, help="side of an object pixel, as far as nothing else specifies it"
    )
    centre_row_px: float | None = setting(None, unit="px", at_least=0, help="row of the direct beam in the patterns")
    centre_column_px: float | None = setting(None, unit="px", at_least=0, help="column of the direct beam")
    crop_px: int | None = setting(None, unit="px", at_least=16, help="side of the part of the patterns to use")
    pad_px: int | None = setting(
        None, unit="px", at_least=16, at_most=8192, help="side to which patterns are padded by unmeasured pixels"
    )
    bin: int = setting(1, at_least=1, at_most=64, help="detector pixels along each axis to add up to one")
