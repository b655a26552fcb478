"""Patterns and positions under the names of the contract, grouped as specs/data_pipeline.md specifies."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.contracts.legacy.parameters import LegacyTask
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.conventions import check_pixels, detect_units, move_patterns_first
from ptycho_torch.data.grouping import choose, draw_groups, sort_row_major
from ptycho_torch.data.make_scan import find_good_pixels, to_modes
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, GroupingError, ScanFileError
from ptycho_torch.formats.npz import measure_export_shift, to_coordinates
from ptycho_torch.storage.archive import map_arrays
from ptycho_torch.storage.npy import clear_bad_pixels
from ptycho_torch.storage.untrusted import explain_damage

_NAME = "raw data"
_REQUIRED = ("diff3d", "xcoords", "ycoords")
_POSITIONS = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
_OTHERS = ("diff3d", "diffraction", "probeGuess", "scan_index", "objectGuess", "bad_pixels")


class RawDataTorch:
    """Diffraction patterns of a sample with their positions.

    The patterns are not copied and only read when groups need them, so that they may be memory-mapped. In this class
    positions are (x, y) = (column, row) of the object pixel under patch pixel [N//2, N//2].

    Args:
        xcoords: (pattern,) corrected x of the positions, in object pixels.
        ycoords: (pattern,) corrected y.
        diff3d: (pattern, N, N), or (N, N, pattern) as in old files; integers are counts, floats are amplitudes unless
            all are whole numbers and the largest exceeds 50.
        probeGuess: (N, N) or (mode, N, N) complex, or None if unknown.
        scan_index: (pattern,) number of the scan of each pattern; kept, and not used for grouping.
        objectGuess: (rows, columns) complex object whose pixel [0, 0] lies at (0, 0), or None.
        config: values for what is not given when groups are made.
        xcoords_start: (pattern,) nominal x, before any correction; by default the corrected one.
        ycoords_start: likewise for y.

    Raises:
        DataError: an array has an unusable shape, type or value.
    """

    def __init__(
        self,
        xcoords: ArrayLike,
        ycoords: ArrayLike,
        diff3d: NDArray[Any],
        probeGuess: ArrayLike | None = None,
        scan_index: ArrayLike | None = None,
        objectGuess: ArrayLike | None = None,
        config: LegacyTask | None = None,
        *,
        xcoords_start: ArrayLike | None = None,
        ycoords_start: ArrayLike | None = None,
    ) -> None:
        self.config = config or LegacyTask()
        self.xcoords, self.ycoords = _check_numbers("xcoords", xcoords), _check_numbers("ycoords", ycoords)
        self.xcoords_start = self.xcoords if xcoords_start is None else _check_numbers("xcoords_start", xcoords_start)
        self.ycoords_start = self.ycoords if ycoords_start is None else _check_numbers("ycoords_start", ycoords_start)
        patterns = len(self.xcoords)
        self.scan_index = np.zeros(patterns, np.int64) if scan_index is None else np.asarray(scan_index)
        self.diff3d = move_patterns_first(np.asarray(diff3d), patterns, _NAME)
        self.probeGuess = None if probeGuess is None else np.asarray(probeGuess)
        self.objectGuess = None if objectGuess is None else _check_object(np.asarray(objectGuess))
        self._check(patterns)

    def generate_grouped_data(
        self,
        N: int,
        K: int | None = None,
        nsamples: int | None = None,
        gridsize: int | None = None,
        *,
        seed: int | None = None,
        sequential_sampling: bool | None = None,
    ) -> dict[str, Any]:
        """Groups of C = gridsize² neighbouring patterns; what is not given here is taken from the configuration.

        Args:
            N: side of the patterns; it must be that of the data.
            K: neighbours that a group is drawn from (`neighbor_count`).
            nsamples: number of groups (`n_groups`); by default one per pattern.
            gridsize: side of the grid of a group.
            seed: of all random draws (`subsample_seed`, or 0).
            sequential_sampling: take the first patterns instead of random ones.

        Returns:
            `diffraction` (B, N, N, C) float32 amplitude and `X_full`, the same normalised; `Y` (B, N, N, C) complex64
            patches of the object or None; `nn_indices` (B, C) pattern numbers; `coords_nn` (B, 1, 2, C) positions,
            `coords_offsets` (B, 1, 2, 1) their means, `coords_relative` (B, 1, 2, C) mean minus position; the same
            three of the nominal positions under `coords_start_nn` and so on; `objectGuess`.

        Raises:
            DataError: the patterns, or the object, do not make a scan.
            GroupingError: the groups cannot be made from these patterns.
            ConfigError: a number is out of its range.
        """
        if self.diff3d.shape[1:] != (N, N):
            raise DataError(f"the patterns of diff3d are {self.diff3d.shape[1:]} px; N is {N}")
        model = self.config.model if gridsize is None else replace(self.config.model, gridsize=gridsize)
        asked: dict[str, Any] = {"model": model, "neighbor_count": K, "n_groups": nsamples, "subsample_seed": seed}
        task = replace(self.config, **{name: value for name, value in asked.items() if value is not None})
        if sequential_sampling is None:
            sequential_sampling = getattr(task, "sequential_sampling", False)
        groups = self._draw_groups(task, sequential=sequential_sampling)
        drawn, place = np.unique(groups, return_inverse=True)
        scan = self.scan(drawn)
        diffraction = _gather(np.sqrt(scan.counts), place)
        return {
            "diffraction": diffraction,
            "X_full": _normalise(diffraction),
            "Y": None if scan.truth is None else _gather(_cut_patches(scan, scan.truth), place),
            **_make_coordinates("coords", self.xcoords, self.ycoords, groups),
            **_make_coordinates("coords_start", self.xcoords_start, self.ycoords_start, groups),
            "nn_indices": groups,
            "objectGuess": self.objectGuess,
        }

    def scan(self, patterns: NDArray[np.int64] | slice = slice(None)) -> Scan:
        """Some of the patterns, or all, as a scan of this package; DataError if they do not make one."""
        stored = self.diff3d[patterns]
        if float(np.min(stored)) < 0:
            raise DataError(f"diff3d goes down to {float(np.min(stored)):g}; it must not be negative")
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            counts = stored if self._units == "counts" else np.square(stored, dtype=np.float64)
            counts = counts.astype(np.float32)
        return Scan(
            counts=counts,
            positions_px=self._positions_px[patterns],
            probe=None if self.probeGuess is None else to_modes(self.probeGuess, _NAME),
            truth=None if self.objectGuess is None else Canvas(self.objectGuess),
            name=_NAME,
        )

    def _check(self, patterns: int) -> None:
        for name in ("ycoords", "xcoords_start", "ycoords_start", "scan_index", "diff3d"):
            shape = getattr(self, name).shape
            if shape[:1] != (patterns,):
                raise DataError(f"{name} has shape {shape}, xcoords {self.xcoords.shape}; they must have equal length")
        if self.diff3d.ndim != 3 or patterns == 0:
            raise DataError(f"diff3d has shape {self.diff3d.shape}; it must be (pattern, N, N) with at least one")
        if self.diff3d.dtype.kind not in "iuf":
            raise DataError(f"diff3d is of type {self.diff3d.dtype}; it must be integer counts or float amplitudes")
        check_pixels(self._positions_px, _NAME)
        if self.objectGuess is not None:
            Canvas(self.objectGuess).find_patch_corners(self._positions_px, self.diff3d.shape[1], _NAME)

    @cached_property
    def _units(self) -> str:
        return detect_units(self.diff3d)[0]

    @cached_property
    def _positions_px(self) -> NDArray[np.float64]:
        return np.stack([self.ycoords, self.xcoords], axis=1)

    def _draw_groups(self, task: LegacyTask, *, sequential: bool) -> NDArray[np.int64]:
        """Numbers of the patterns of each group, (group, channel)."""
        patterns, seed, grid = len(self.xcoords), task.subsample_seed or 0, task.model.gridsize
        kept = patterns if task.n_subsample is None else task.n_subsample
        pool = sample_patterns(patterns, kept, seed, in_order=sequential)
        positions = self._positions_px[pool]
        groups = draw_groups(
            positions,
            grid**2,
            neighbours=task.neighbor_count,
            groups=task.n_groups or kept,
            sequential=sequential,
            seed=seed,
        )
        return pool[sort_row_major(positions, groups, grid)]


class MemmapDatasetBridge:
    """The groups that `RawDataTorch` makes, from a file whose patterns stay on disk.

    The file is opened anew each time and nothing is kept between two calls: a file that was replaced gives new data.

    Args:
        npz_path: NPZ file in the canonical layout; the patterns may have the older name `diffraction`.
        config: values for what is not given when groups are made.
    """

    def __init__(self, npz_path: Path | str, config: LegacyTask | None = None) -> None:
        self.npz_path = Path(npz_path)
        self.config = config

    def generate_grouped_data(self, N: int, *arguments: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """The result of `RawDataTorch.generate_grouped_data` with the same arguments, bit for bit; see `raw_data`."""
        return self.raw_data().generate_grouped_data(N, *arguments, **options)

    def raw_data(self) -> RawDataTorch:
        """The file in its present state; arrays that need no conversion stay in it.

        As in `read_npz`, bad pixels count nothing, and positions of a client's export are moved by half a pixel.

        Raises:
            ScanFileError: the file cannot be read, or lacks an array.
            DataError: its arrays do not make a scan.
        """
        with explain_damage(self.npz_path, "NPZ file", ScanFileError), self.npz_path.open("rb") as file:
            arrays = map_arrays(file, (*_POSITIONS, *_OTHERS))
        if "diffraction" in arrays:
            arrays.setdefault("diff3d", arrays.pop("diffraction"))
        missing = [name for name in _REQUIRED if name not in arrays]
        if missing:
            raise ScanFileError(
                f"{self.npz_path}: lacks {missing[0]}; it must contain diff3d (or the older diffraction), xcoords and "
                "ycoords"
            )
        name = self.npz_path.name
        stored = move_patterns_first(arrays.pop("diff3d"), arrays["xcoords"].size, name)
        shift_px = measure_export_shift(arrays, stored.shape, name)
        if shift_px:
            arrays |= {key: to_coordinates(arrays[key], key, self.npz_path) + shift_px for key in _POSITIONS}
        if "bad_pixels" in arrays:
            stored = clear_bad_pixels(stored, find_good_pixels(arrays.pop("bad_pixels"), stored.shape[1:], name))
        return RawDataTorch(diff3d=stored, config=self.config, **arrays)


def sample_patterns(patterns: int, kept: int, seed: int | None, *, in_order: bool) -> NDArray[np.int64]:
    """Choose the patterns to keep, the first or random ones; GroupingError if there are fewer than that."""
    if kept > patterns:
        raise GroupingError(f"n_subsample is {kept}; there are {patterns} patterns")
    return choose(patterns, kept, None if in_order else np.random.default_rng((seed or 0, 2)))


def _check_numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values).ravel()
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise DataError(f"{name} of type {found.dtype} contains values that are not finite numbers")
    return found.astype(np.float64)


def _check_object(guess: NDArray[Any]) -> NDArray[np.complex64]:
    if guess.dtype.kind != "c":
        raise DataError(f"objectGuess is of type {guess.dtype}; it must be complex, or its phase is lost (DATA-001)")
    return guess.astype(np.complex64)


def _gather(images: NDArray[Any], place: NDArray[np.intp]) -> NDArray[Any]:
    """Images (pattern, N, N) at places (group, channel), as (group, N, N, channel)."""
    return np.ascontiguousarray(np.moveaxis(images[place], 1, -1))


def _normalise(diffraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale patterns so that the mean over all of the summed squares is (N/2)²."""
    power = np.square(diffraction, dtype=np.float64).sum(axis=(1, 2)).mean()
    return diffraction * np.float32(diffraction.shape[1] / 2 / np.sqrt(power))


def _cut_patches(scan: Scan, truth: Canvas) -> NDArray[np.complex64]:
    rows, columns = truth.find_patch_corners(scan.positions_px, scan.patch_px, scan.name).T
    windows: NDArray[np.complex64] = sliding_window_view(truth.pixels, (scan.patch_px, scan.patch_px))
    return windows[rows, columns]


def _make_coordinates(
    prefix: str, x: NDArray[np.float64], y: NDArray[np.float64], groups: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    positions = np.stack([x[groups], y[groups]], axis=1)[:, None]
    means = positions.mean(axis=-1, keepdims=True)
    return {f"{prefix}_nn": positions, f"{prefix}_offsets": means, f"{prefix}_relative": means - positions}
