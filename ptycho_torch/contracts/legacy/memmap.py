"""MemmapDatasetBridge: grouped data from a file that is larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptycho_torch.contracts.legacy.parameters import LegacyTask
from ptycho_torch.contracts.legacy.raw_data import RawDataTorch
from ptycho_torch.data.conventions import move_patterns_first
from ptycho_torch.data.make_scan import find_good_pixels
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.npz import measure_export_shift, read_coordinates
from ptycho_torch.storage.archive import map_arrays
from ptycho_torch.storage.npy import clear_bad_pixels
from ptycho_torch.storage.untrusted import explain_damage

_PATTERNS = ("diff3d", "diffraction")
_NEEDED = ("xcoords", "ycoords")
_OPTIONAL = ("probeGuess", "scan_index", "objectGuess", "xcoords_start", "ycoords_start")
_POSITIONS = (*_NEEDED, "xcoords_start", "ycoords_start")
_BAD = "bad_pixels"


class MemmapDatasetBridge:
    """The groups that `RawDataTorch` makes, from a file whose patterns stay on disk.

    The file is opened anew each time and nothing is kept between two calls: a file that was replaced gives new data.

    Args:
        npz_path: NPZ file in the canonical layout; the patterns may have the older name `diffraction`.
        config: what is not said when groups are asked for.
    """

    def __init__(self, npz_path: Path | str, config: LegacyTask | None = None) -> None:
        self.npz_path = Path(npz_path)
        self.config = config

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
        """What `RawDataTorch.generate_grouped_data` returns, bit for bit, and with the same arguments.

        Raises:
            ScanFileError: the file cannot be read, or lacks an array.
            DataError: its arrays do not make a scan.
            GroupingError: the groups cannot be made from these patterns.
        """
        return self.raw_data().generate_grouped_data(
            N, K, nsamples, gridsize, seed=seed, sequential_sampling=sequential_sampling
        )

    def raw_data(self) -> RawDataTorch:
        """The file as it is now; arrays that need no conversion stay in it.

        As in `read_npz`, bad pixels count nothing, and positions of a client's export are moved by half a pixel.

        Raises:
            ScanFileError: the file cannot be read, or lacks an array.
            DataError: its arrays do not make a scan.
        """
        with explain_damage(self.npz_path, "NPZ file", ScanFileError), self.npz_path.open("rb") as file:
            arrays = map_arrays(file, (*_PATTERNS, *_NEEDED, *_OPTIONAL, _BAD))
        patterns = [arrays.pop(name) for name in _PATTERNS if name in arrays]
        missing = [*([] if patterns else ["diff3d"]), *(name for name in _NEEDED if name not in arrays)]
        if missing:
            raise ScanFileError(
                f"{self.npz_path}: {missing[0]} is missing; diff3d (or the older diffraction), xcoords and ycoords are "
                "needed"
            )
        name = self.npz_path.name
        stored = move_patterns_first(patterns[0], arrays["xcoords"].size, name)
        shift_px = measure_export_shift(arrays, stored, name)
        if shift_px:
            arrays |= {key: read_coordinates(self.npz_path, arrays, key) + shift_px for key in _POSITIONS}
        if _BAD in arrays:
            stored = clear_bad_pixels(stored, find_good_pixels(arrays.pop(_BAD), stored, name))
        return RawDataTorch(diff3d=stored, config=self.config, **arrays)
