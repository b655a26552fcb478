"""RawDataTorch: patterns and positions under the names of the contract, grouped as specs/data_pipeline.md says."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ptycho_torch.config.fields import Settings
from ptycho_torch.contracts.legacy.parameters import LegacyTask, LegacyTraining
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.conventions import check_pixels, detect_units, move_patterns_first
from ptycho_torch.data.grouping import choose, draw_groups, sort_row_major
from ptycho_torch.data.make_scan import to_modes
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, GroupingError

S = TypeVar("S", bound=Settings)

_NAME = "raw data"


class RawDataTorch:
    """Diffraction patterns of a sample with the positions they were taken at.

    The patterns are not copied and only looked at where groups need them, so that they may lie in a mapped file. In
    this class positions are (x, y) = (column, row) of the object pixel under patch pixel [N//2, N//2].

    Args:
        xcoords: (pattern,) corrected x of the positions, in object pixels.
        ycoords: (pattern,) corrected y.
        diff3d: (pattern, N, N), or (N, N, pattern) as in old files; integers are counts, floats are amplitudes unless
            all are whole and the largest exceeds 50.
        probeGuess: (N, N) or (mode, N, N) complex, or None where it is unknown.
        scan_index: (pattern,) which scan each is from; kept, and not used for grouping.
        objectGuess: (rows, columns) complex object whose pixel [0, 0] lies at (0, 0), or None.
        config: what is not said when groups are asked for.
        xcoords_start: (pattern,) nominal x, before any correction; the corrected one where it is not given.
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
        self.xcoords, self.ycoords = _numbers("xcoords", xcoords), _numbers("ycoords", ycoords)
        self.xcoords_start = self.xcoords if xcoords_start is None else _numbers("xcoords_start", xcoords_start)
        self.ycoords_start = self.ycoords if ycoords_start is None else _numbers("ycoords_start", ycoords_start)
        patterns = len(self.xcoords)
        self.scan_index = np.zeros(patterns, np.int64) if scan_index is None else np.asarray(scan_index)
        self.diff3d = move_patterns_first(np.asarray(diff3d), patterns, _NAME)
        self.probeGuess = None if probeGuess is None else np.asarray(probeGuess)
        self.objectGuess = None if objectGuess is None else _complex_object(np.asarray(objectGuess))
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
        """Groups of C = gridsize² neighbouring patterns; what is not said here is taken from the configuration.

        Args:
            N: side of the patterns; it must be that of the data.
            K: neighbours that a group is drawn from (`neighbor_count`).
            nsamples: groups (`n_groups`); without any number one for each pattern.
            gridsize: side of the grid of a group.
            seed: of all draws (`subsample_seed`, or 0).
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
        task = _with(self.config, neighbor_count=K, n_groups=nsamples, subsample_seed=seed)
        grid = _with(task.model, gridsize=gridsize).gridsize
        if sequential_sampling is None:
            sequential_sampling = isinstance(task, LegacyTraining) and task.sequential_sampling
        groups = self._groups(task, grid, sequential=sequential_sampling)
        drawn, place = np.unique(groups, return_inverse=True)
        scan = self.scan(drawn)
        diffraction = _channels_last(np.sqrt(scan.counts), place)
        return {
            "diffraction": diffraction,
            "X_full": _normalised(diffraction),
            "Y": None if scan.truth is None else _channels_last(_patches(scan, scan.truth), place),
            **_coordinates("coords", self.xcoords, self.ycoords, groups),
            **_coordinates("coords_start", self.xcoords_start, self.ycoords_start, groups),
            "nn_indices": groups,
            "objectGuess": self.objectGuess,
        }

    def scan(self, patterns: NDArray[np.int64] | slice = slice(None)) -> Scan:
        """The project's own view of some of the patterns, or of all: checked, in counts and (row, column).

        Raises:
            DataError: they do not make a scan.
        """
        stored = self.diff3d[patterns]
        if float(np.min(stored)) < 0:
            raise DataError(f"diff3d goes down to {float(np.min(stored)):g}; neither counts nor amplitudes can do so")
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
                raise DataError(f"{name} has shape {shape}, xcoords {self.xcoords.shape}; as many of each are needed")
        if self.diff3d.ndim != 3 or patterns == 0:
            raise DataError(f"diff3d has shape {self.diff3d.shape}; (pattern, N, N) with at least one is needed")
        if self.diff3d.dtype.kind not in "iuf":
            raise DataError(f"diff3d is of type {self.diff3d.dtype}; integer counts or float amplitudes are needed")
        check_pixels(self._positions_px, _NAME)
        if self.objectGuess is not None:
            Canvas(self.objectGuess).find_patch_corners(self._positions_px, self.diff3d.shape[1], _NAME)

    @cached_property
    def _units(self) -> str:
        return detect_units(self.diff3d)[0]

    @cached_property
    def _positions_px(self) -> NDArray[np.float64]:
        return np.stack([self.ycoords, self.xcoords], axis=1)

    def _groups(self, task: LegacyTask, grid: int, *, sequential: bool) -> NDArray[np.int64]:
        """Numbers of the patterns of each group, (group, channel)."""
        patterns, seed = len(self.xcoords), task.subsample_seed or 0
        kept = patterns if task.n_subsample is None else task.n_subsample
        pool = kept_patterns(patterns, kept, seed, in_order=sequential)
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


def kept_patterns(patterns: int, kept: int, seed: int | None, *, in_order: bool) -> NDArray[np.int64]:
    """Which patterns a sub-sample keeps: the first ones, or some that the seed chooses.

    Raises:
        GroupingError: there are not so many.
    """
    if kept > patterns:
        raise GroupingError(f"n_subsample is {kept}; there are {patterns} patterns")
    return choose(patterns, kept, None if in_order else np.random.default_rng((seed or 0, 2)))


def _with(section: S, **given: int | None) -> S:
    """The section with what was given, checked like everything in it."""
    return replace(section, **{name: value for name, value in given.items() if value is not None})


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values).ravel()
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise DataError(f"{name} holds something else than finite numbers (type {found.dtype})")
    return found.astype(np.float64)


def _complex_object(guess: NDArray[Any]) -> NDArray[np.complex64]:
    if guess.dtype.kind != "c":
        raise DataError(f"objectGuess is of type {guess.dtype}; it must be complex, or its phase is lost (DATA-001)")
    return guess.astype(np.complex64)


def _channels_last(images: NDArray[Any], place: NDArray[np.intp]) -> NDArray[Any]:
    """Images (pattern, N, N) at places (group, channel), as (group, N, N, channel)."""
    return np.ascontiguousarray(np.moveaxis(images[place], 1, -1))


def _normalised(diffraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled so that the mean over all patterns of the summed squares is (N/2)²."""
    power = np.square(diffraction, dtype=np.float64).sum(axis=(1, 2)).mean()
    return diffraction * np.float32(diffraction.shape[1] / 2 / np.sqrt(power))


def _patches(scan: Scan, truth: Canvas) -> NDArray[np.complex64]:
    rows, columns = truth.find_patch_corners(scan.positions_px, scan.patch_px, scan.name).T
    windows: NDArray[np.complex64] = sliding_window_view(truth.pixels, (scan.patch_px, scan.patch_px))
    return windows[rows, columns]


def _coordinates(
    prefix: str, x: NDArray[np.float64], y: NDArray[np.float64], groups: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    positions = np.stack([x[groups], y[groups]], axis=1)[:, None]
    means = positions.mean(axis=-1, keepdims=True)
    return {f"{prefix}_nn": positions, f"{prefix}_offsets": means, f"{prefix}_relative": means - positions}
