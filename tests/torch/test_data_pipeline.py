"""The data pipeline of the contract against brute force, as specs/data_pipeline.md has it; most of it without torch."""

from __future__ import annotations

import os
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_grouping import grouped, is_group, nearest, on_grid
from torch_optional import requires_torch

from ptycho_torch.api.data_bridge import MemmapDatasetBridge, PtychoDataContainerTorch, RawDataTorch
from ptycho_torch.contracts.legacy.parameters import LegacyInference, LegacyModel, LegacyTraining
from ptycho_torch.errors import ConfigError, DataError, GroupingError, ScanFileError
from ptycho_torch.formats import read_npz

N = 16
PATTERNS = 30
EVERYONE = list(range(PATTERNS))
KEYS = {
    "diffraction",
    "X_full",
    "Y",
    "coords_nn",
    "coords_offsets",
    "coords_relative",
    "coords_start_nn",
    "coords_start_offsets",
    "coords_start_relative",
    "nn_indices",
    "objectGuess",
}


def arrays() -> dict[str, NDArray[Any]]:
    """A jittered raster of 6 × 5 over an object wider than high; nominal positions differ from corrected ones."""
    rng = np.random.default_rng(8)
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(5) * 6.0, np.arange(6) * 7.0, indexing="ij"))
    jitter = rng.uniform(-1.5, 1.5, (4, PATTERNS))
    return {
        "xcoords": 12 + x + jitter[0],
        "ycoords": 11 + y + jitter[1],
        "xcoords_start": 12 + x + jitter[2],
        "ycoords_start": 11 + y + jitter[3],
        "diff3d": rng.uniform(0, 9, (PATTERNS, N, N)).astype(np.float32),
        "probeGuess": (rng.normal(size=(N, N)) + 1j * rng.normal(size=(N, N))).astype(np.complex64),
        "objectGuess": (rng.normal(size=(48, 60)) + 1j * rng.normal(size=(48, 60))).astype(np.complex64),
        "scan_index": np.zeros(PATTERNS, np.int64),
    }


ARRAYS = arrays()


def training(gridsize: int = 2, **values: Any) -> LegacyTraining:
    return LegacyTraining(train_data_file=Path("train.npz"), model=LegacyModel(gridsize=gridsize), **values)


def raw(config: Any = None, without: tuple[str, ...] = (), **changed: Any) -> RawDataTorch:
    given = {name: array for name, array in {**ARRAYS, **changed}.items() if name not in without}
    return RawDataTorch(config=config or training(), **given)


def reference(found: dict[str, Any], amplitude: NDArray[Any] = ARRAYS["diff3d"]) -> dict[str, Any]:
    return grouped(
        amplitude.astype(np.float64),
        (ARRAYS["xcoords_start"], ARRAYS["ycoords_start"]),
        (ARRAYS["xcoords"], ARRAYS["ycoords"]),
        ARRAYS["objectGuess"].astype(complex),
        found["nn_indices"],
    )


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Bit for bit, types included."""
    assert one.keys() == other.keys() >= KEYS
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def members(found: dict[str, Any]) -> list[list[int]]:
    table: list[list[int]] = found["nn_indices"].tolist()
    return table


def near(centre: int, count: int, among: list[int] | None = None) -> set[int]:
    return nearest(ARRAYS["xcoords"], ARRAYS["ycoords"], centre, count, among or EVERYONE)


def is_drawn(group: list[int], centre: int, neighbours: int, among: list[int] | None = None) -> bool:
    return is_group(ARRAYS["xcoords"], ARRAYS["ycoords"], group, centre, neighbours, among or EVERYONE)


class TestRawDataTorchAdapter:
    # this holds [DP-3.1] [DP-3.2] [DP-3.3] [DP-3.4]
    def test_raw_data_torch_matches_reference(self) -> None:
        found = raw().generate_grouped_data(N, K=6, nsamples=20, gridsize=2)
        assert set(found) == KEYS
        wanted = reference(found)
        for name, array in wanted.items():
            assert found[name].shape == array.shape, name
            np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-9, err_msg=name)
        assert found["diffraction"].shape == (20, N, N, 4)
        kinds = {name: found[name].dtype.name for name in ("diffraction", "X_full", "Y", "coords_relative")}
        assert kinds == {"diffraction": "float32", "X_full": "float32", "Y": "complex64", "coords_relative": "float64"}
        np.testing.assert_array_equal(found["objectGuess"], ARRAYS["objectGuess"])

    # the same test under the name that the selector map has for it
    test_raw_data_torch_matches_tensorflow = test_raw_data_torch_matches_reference

    # this holds [DP-2.1]
    @pytest.mark.parametrize(("gridsize", "neighbours"), [(1, 4), (2, 3), (2, 4), (2, 7), (3, 8), (3, 12), (5, 29)])
    def test_raw_data_groups_are_a_pattern_and_some_of_its_nearest(self, gridsize: int, neighbours: int) -> None:
        found = members(raw().generate_grouped_data(N, K=neighbours, gridsize=gridsize))
        assert len(found) == PATTERNS
        for centre, group in enumerate(found):
            assert len(group) == gridsize**2
            assert is_drawn(group, centre, neighbours), (centre, group)

    # this holds [DP-2.2]
    @pytest.mark.parametrize("gridsize", [2, 3])
    def test_raw_data_without_a_choice_is_exactly_what_brute_force_finds(self, gridsize: int) -> None:
        found = members(raw().generate_grouped_data(N, K=gridsize**2 - 1, gridsize=gridsize))
        x, y = ARRAYS["xcoords"], ARRAYS["ycoords"]
        wanted = [on_grid(x, y, [centre, *near(centre, gridsize**2 - 1)], gridsize) for centre in range(PATTERNS)]
        assert found == wanted

    @pytest.mark.parametrize(
        ("x", "y", "wanted"),
        [
            ([26, 20, 20, 26], [25, 20, 25, 20], [1, 3, 2, 0]),
            ([30, 20, 26, 20], [20, 20, 20, 25], [1, 2, 3, 0]),
        ],
        ids=["square", "three_in_a_row"],
    )
    def test_raw_data_channels_run_row_major(self, x: list[int], y: list[int], wanted: list[int]) -> None:
        small = RawDataTorch(x, y, ARRAYS["diff3d"][:4])
        found = small.generate_grouped_data(N, K=3, gridsize=2, nsamples=1)
        assert members(found) == [wanted]
        assert found["coords_nn"][0, 0].tolist() == [[axis[pattern] for pattern in wanted] for axis in (x, y)]

    def test_raw_data_of_the_same_place_keeps_the_order_of_numbers(self) -> None:
        heap = raw(xcoords=np.full(PATTERNS, 20.0), ycoords=np.full(PATTERNS, 20.0))
        found = members(heap.generate_grouped_data(N, K=9, gridsize=2))
        assert len(found) == PATTERNS
        assert all(group == sorted(set(group)) for group in found)
        assert all(centre in group for centre, group in enumerate(found))

    # this holds [DP-3.3] once more, with numbers that can be read off
    def test_raw_data_offsets_point_from_the_pattern_to_the_mean(self) -> None:
        found = raw(
            without=("objectGuess",), xcoords=20 + 4.0 * np.arange(PATTERNS), ycoords=np.full(PATTERNS, 30.0)
        ).generate_grouped_data(N, K=3, nsamples=1, gridsize=2, sequential_sampling=True)
        assert members(found) == [[0, 1, 2, 3]]
        assert found["coords_offsets"][0, 0, :, 0].tolist() == [26.0, 30.0]
        assert found["coords_relative"][0, 0].tolist() == [[6.0, 2.0, -2.0, -6.0], [0.0, 0.0, 0.0, 0.0]]

    def test_raw_data_of_single_patterns_have_no_offset(self) -> None:
        found = raw().generate_grouped_data(N, gridsize=1)
        assert members(found) == [[centre] for centre in range(PATTERNS)]
        assert not found["coords_relative"].any()
        np.testing.assert_array_equal(found["coords_offsets"][:, 0, 0, 0], ARRAYS["xcoords"])

    def test_raw_data_without_nominal_positions_takes_the_corrected_ones(self) -> None:
        found = raw(without=("xcoords_start", "ycoords_start")).generate_grouped_data(N, K=4)
        for part in ("nn", "offsets", "relative"):
            np.testing.assert_array_equal(found[f"coords_start_{part}"], found[f"coords_{part}"])
        assert found["coords_nn"].any()

    def test_raw_data_normalised_have_a_quarter_of_the_pixels_as_power(self) -> None:
        found = raw().generate_grouped_data(N, K=6, nsamples=7)["X_full"].astype(float)
        assert np.square(found).sum(axis=(1, 2)).mean() == pytest.approx((N / 2) ** 2, rel=1e-6)

    # this holds [DP-2.3]
    def test_raw_data_groups_have_different_centres(self) -> None:
        found = members(raw().generate_grouped_data(N, gridsize=1, nsamples=12))
        centres = [group[0] for group in found]
        assert len(set(centres)) == 12
        assert centres == sorted(centres)
        assert centres != list(range(12))

    # this holds [DP-2.4]
    def test_raw_data_oversampled_are_different_groups_of_each_pattern(self) -> None:
        asked: dict[str, Any] = {"K": 5, "nsamples": 2 * PATTERNS + 10, "gridsize": 2}
        found = members(raw().generate_grouped_data(N, **asked, sequential_sampling=True))
        assert len(found) == 70
        for centre in range(PATTERNS):
            start, count = (3 * centre, 3) if centre < 10 else (30 + 2 * (centre - 10), 2)
            own = found[start : start + count]
            assert all(is_drawn(group, centre, 5) for group in own), centre
            assert len({frozenset(group) for group in own}) == count
        assert len(members(raw().generate_grouped_data(N, **asked))) == 70

    def test_raw_data_oversampled_to_the_last_choice(self) -> None:
        found = members(raw().generate_grouped_data(N, K=4, nsamples=4 * PATTERNS, gridsize=2))
        for centre in range(PATTERNS):
            own = {frozenset(group) for group in found[4 * centre : 4 * centre + 4]}
            assert own == {frozenset({centre} | near(centre, 4) - {left_out}) for left_out in near(centre, 4)}

    @pytest.mark.parametrize(
        ("asked", "most"),
        [
            ({"K": 3, "nsamples": 31, "gridsize": 2}, "30 patterns with 3 neighbours each make at most 30 different"),
            ({"K": 4, "nsamples": 121, "gridsize": 2}, "at most 120 different groups of 4"),
            ({"K": 4, "nsamples": 31, "gridsize": 1}, "at most 30 different groups of 1"),
        ],
    )
    def test_raw_data_oversampled_beyond_what_there_is_are_refused(self, asked: dict[str, Any], most: str) -> None:
        with pytest.raises(GroupingError, match=most):
            raw().generate_grouped_data(N, **asked)

    # this holds [DP-2.5]
    @pytest.mark.parametrize("through_config", [True, False])
    def test_raw_data_in_sequence_are_the_first_ones(self, through_config: bool) -> None:
        config = training(gridsize=1, sequential_sampling=through_config, n_subsample=20)
        asked = None if through_config else True
        found = members(raw(config).generate_grouped_data(N, nsamples=9, sequential_sampling=asked))
        assert found == [[centre] for centre in range(9)]
        more = raw(config).generate_grouped_data(N, K=6, nsamples=23, gridsize=2, sequential_sampling=asked)
        first = members(more)[:6]
        for number, group in enumerate(first):
            assert is_drawn(group, number // 2, 6, list(range(20)))
        assert {pattern for group in members(more) for pattern in group} <= set(range(20))

    # this holds [DP-2.6]
    def test_raw_data_are_subsampled_before_they_are_grouped(self) -> None:
        config = training(gridsize=1, n_subsample=11, subsample_seed=4)
        kept = [group[0] for group in members(raw(config).generate_grouped_data(N))]
        assert len(set(kept)) == 11
        assert kept != list(range(11))
        pairs = members(raw(config).generate_grouped_data(N, K=4, gridsize=2))
        assert len(pairs) == 11
        for centre, group in zip(kept, pairs, strict=True):
            assert is_drawn(group, centre, 4, kept)
        fewer = {pattern for group in members(raw(config).generate_grouped_data(N, nsamples=5)) for pattern in group}
        assert fewer < set(kept)

    def test_raw_data_cannot_be_subsampled_to_more_than_there_are(self) -> None:
        with pytest.raises(GroupingError, match="n_subsample is 31; there are 30 patterns"):
            raw(training(n_subsample=31)).generate_grouped_data(N)

    # this holds [DP-2.7]
    def test_raw_data_follow_from_the_seed_alone(self) -> None:
        def drawn(configured: int | None, seed: int | None = None) -> list[list[int]]:
            config = training(subsample_seed=configured, n_subsample=25)
            return members(raw(config).generate_grouped_data(N, K=6, nsamples=10, seed=seed))

        assert drawn(3) == drawn(3) == drawn(None, seed=3)
        assert drawn(None) == drawn(0)
        assert drawn(3) != drawn(0)
        np.random.seed(5)  # noqa: NPY002 - the state that must not matter
        assert drawn(3) == drawn(5, seed=3)

    # this holds [DP-2.8]
    def test_raw_data_take_from_the_configuration_what_is_not_said(self) -> None:
        inference = LegacyInference(
            model_path=Path("m"), model=LegacyModel(gridsize=3), neighbor_count=9, n_groups=8, subsample_seed=2
        )
        told = raw(inference).generate_grouped_data(N)
        assert told["diffraction"].shape == (8, N, N, 9)
        assert_same(told, raw().generate_grouped_data(N, 9, 8, 3, seed=2))
        assert raw(inference).generate_grouped_data(N, 6, 5, 2)["nn_indices"].shape == (5, 4)
        alone = RawDataTorch(ARRAYS["xcoords"], ARRAYS["ycoords"], ARRAYS["diff3d"], ARRAYS["probeGuess"])
        assert alone.generate_grouped_data(N)["nn_indices"].shape == (PATTERNS, 1)

    # this holds [DP-1.1]
    @pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float64])
    def test_raw_data_of_counts_become_amplitudes(self, kind: type[np.generic]) -> None:
        counts = np.random.default_rng(2).poisson(40, (PATTERNS, N, N)).astype(kind)
        found = raw(diff3d=counts).generate_grouped_data(N, K=4)
        wanted = reference(found, np.sqrt(counts.astype(float)))
        np.testing.assert_allclose(found["diffraction"], wanted["diffraction"], rtol=1e-6)
        assert found["diffraction"].dtype == np.float32

    def test_raw_data_of_few_whole_floats_are_amplitudes(self) -> None:
        faint = np.random.default_rng(2).integers(0, 50, (PATTERNS, N, N)).astype(np.float32)
        found = raw(diff3d=faint).generate_grouped_data(N, gridsize=1)["diffraction"]
        np.testing.assert_array_equal(found[..., 0], faint)

    # this holds [DP-1.2]
    def test_raw_data_in_the_old_order_are_turned(self) -> None:
        old = raw(diff3d=np.moveaxis(ARRAYS["diff3d"], 0, 2)).generate_grouped_data(N, K=4)
        assert old["diffraction"].shape == (PATTERNS, N, N, 4)
        assert_same(old, raw().generate_grouped_data(N, K=4))

    def test_raw_data_that_fit_both_orders_are_in_the_new_one(self) -> None:
        cube = ARRAYS["diff3d"][:N]
        given = {name: ARRAYS[name][:N] for name in ("xcoords", "ycoords", "xcoords_start", "ycoords_start")}
        found = raw(without=("scan_index",), diff3d=cube, **given).generate_grouped_data(N, gridsize=1)
        np.testing.assert_array_equal(found["diffraction"][..., 0], cube)

    # this holds [DP-1.4]
    def test_raw_data_keep_the_scan_index_and_group_without_it(self) -> None:
        several = raw(scan_index=np.arange(PATTERNS))
        assert several.scan_index.tolist() == list(range(PATTERNS))
        assert_same(several.generate_grouped_data(N, K=4), raw().generate_grouped_data(N, K=4))

    def test_raw_data_are_seen_as_a_scan_too(self) -> None:
        scan = raw().scan()
        np.testing.assert_allclose(scan.counts, ARRAYS["diff3d"].astype(float) ** 2, rtol=1e-6)
        np.testing.assert_array_equal(scan.positions_px, np.stack([ARRAYS["ycoords"], ARRAYS["xcoords"]], axis=1))
        assert scan.probe is not None
        assert scan.probe.shape == (1, N, N)
        assert scan.truth is not None

    def test_raw_data_are_looked_at_only_where_groups_need_them(self) -> None:
        broken = ARRAYS["diff3d"].copy()
        broken[20:] = np.nan
        found = raw(diff3d=broken).generate_grouped_data(N, gridsize=1, nsamples=20, sequential_sampling=True)
        assert np.isfinite(found["diffraction"]).all()
        with pytest.raises(DataError, match="contain NaN"):
            raw(diff3d=broken).generate_grouped_data(N, gridsize=1, nsamples=21, sequential_sampling=True)

    # this holds [DP-1.5]
    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"ycoords": np.arange(29.0)}, r"ycoords has shape \(29,\), xcoords \(30,\)"),
            ({"xcoords_start": np.arange(3.0)}, r"xcoords_start has shape \(3,\)"),
            ({"scan_index": np.array(0)}, r"scan_index has shape \(\)"),
            ({"diff3d": ARRAYS["diff3d"][:7]}, r"diff3d has shape \(7, 16, 16\), xcoords \(30,\)"),
            ({"diff3d": np.zeros(PATTERNS)}, r"diff3d has shape \(30,\); .*\(pattern, N, N\)"),
            ({"diff3d": ARRAYS["diff3d"].astype(complex)}, "diff3d is of type complex128; .*integer counts or float"),
            ({"diff3d": -ARRAYS["diff3d"]}, "diff3d goes down to -"),
            ({"diff3d": -np.ones((PATTERNS, N, N), int)}, "diff3d goes down to -1"),
            ({"diff3d": np.full((PATTERNS, N, N), 1e200)}, "30 patterns contain NaN or infinite"),
            ({"diff3d": np.zeros((PATTERNS, N, N))}, "no photons"),
            ({"xcoords": np.full(PATTERNS, np.nan)}, "xcoords .* finite"),
            ({"ycoords": np.array(["a"] * PATTERNS)}, "ycoords .* finite"),
            (
                {"xcoords": ARRAYS["xcoords"] * 1e-9, "ycoords": ARRAYS["ycoords"] * 1e-9},
                "seem to be in metres",
            ),
            ({"probeGuess": np.ones((8, 8), complex)}, r"the probe has shape \(1, 8, 8\)"),
            ({"objectGuess": ARRAYS["objectGuess"][:30]}, r"positions lie outside the object of shape \(30, 60\)"),
            ({"objectGuess": np.full((48, 60), np.nan + 0j)}, "finite and two-dimensional"),
        ],
    )
    def test_raw_data_that_make_no_scan_are_refused_by_name(self, changed: dict[str, Any], complaint: str) -> None:
        with pytest.raises(DataError, match=complaint):
            raw(**changed).generate_grouped_data(N, gridsize=1)

    @pytest.mark.parametrize(
        ("asked", "error", "complaint"),
        [
            ({"N": 64}, DataError, r"the patterns of diff3d are \(16, 16\) px; N is 64"),
            ({"N": N, "K": 2, "gridsize": 2}, GroupingError, "2 neighbours .* a group of 4 needs at least 3"),
            ({"N": N, "K": 40, "gridsize": 6}, GroupingError, "a group is 36; the scan has 30"),
            ({"N": N, "K": 0}, ConfigError, "neighbor_count is 0; it must be at least 1"),
            ({"N": N, "nsamples": 0}, ConfigError, "n_groups is 0; it must be at least 1"),
            ({"N": N, "gridsize": 0}, ConfigError, "gridsize is 0; it must be at least 1"),
            ({"N": N, "seed": -1}, ConfigError, "subsample_seed is -1; it must be at least 0"),
        ],
    )
    def test_raw_data_requests_that_cannot_be_met_are_refused(
        self, asked: dict[str, Any], error: type[Exception], complaint: str
    ) -> None:
        with pytest.raises(error, match=complaint):
            raw().generate_grouped_data(**asked)

    # this holds [DP-1.3]
    @pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
    def test_raw_data_y_dtype_real_objects_are_refused_by_name(self, kind: type[np.generic]) -> None:
        with pytest.raises(DataError, match=r"objectGuess is of type \w+; it must be complex.*DATA-001"):
            raw(objectGuess=ARRAYS["objectGuess"].real.astype(kind))

    @pytest.mark.parametrize("kind", [np.complex64, np.complex128])
    def test_raw_data_y_dtype_is_complex64(self, kind: type[np.generic]) -> None:
        found = raw(objectGuess=ARRAYS["objectGuess"].astype(kind)).generate_grouped_data(N, K=4)
        assert found["Y"].dtype == found["objectGuess"].dtype == np.complex64
        np.testing.assert_array_equal(found["Y"], reference(found)["Y"].astype(np.complex64))

    def test_raw_data_y_dtype_patches_are_cut_around_the_nearest_pixel(self) -> None:
        specimen = (np.arange(48)[:, None] + 1j * np.arange(60)[None, :]).astype(np.complex64)
        rows, columns = np.tile([20.4, 20.6, 20.5, 21.5, 24.0], 6), np.tile([30.6, 30.4, 31.5, 30.5, 12.0], 6)
        found = raw(objectGuess=specimen, xcoords=columns, ycoords=rows).generate_grouped_data(N, gridsize=1)
        assert found["Y"].shape == (PATTERNS, N, N, 1)
        centres = found["Y"][:5, N // 2, N // 2, 0]
        assert centres.tolist() == [20 + 31j, 21 + 30j, 20 + 32j, 22 + 30j, 24 + 12j]
        assert found["Y"][4, 0, 0, 0] == 16 + 4j

    def test_raw_data_without_an_object_have_no_patches(self) -> None:
        found = raw(without=("objectGuess",)).generate_grouped_data(N, K=4)
        assert found.get("Y", "missing") is None
        assert found.get("objectGuess", "missing") is None


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torch were not installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


class TestDataContainerTorch:
    # this holds [DP-4.1]
    @pytest.mark.usefixtures("no_torch")
    def test_data_container_has_thirteen_arrays_of_the_shapes_and_types_of_the_contract(self) -> None:
        container = PtychoDataContainerTorch(raw().generate_grouped_data(N, K=6, nsamples=7), ARRAYS["probeGuess"])
        images, offsets = (7, N, N, 4), (7, 1, 2, 4)
        assert {name: (array.shape, array.dtype.name) for name, array in vars(container).items()} == {
            "X": (images, "float32"),
            "Y": (images, "complex64"),
            "Y_I": (images, "float32"),
            "Y_phi": (images, "float32"),
            "coords_nominal": (offsets, "float32"),
            "coords_true": (offsets, "float32"),
            "coords": (offsets, "float32"),
            "probe": ((N, N), "complex64"),
            "nn_indices": ((7, 4), "int32"),
            "global_offsets": ((7, 1, 2, 1), "float64"),
            "local_offsets": (offsets, "float64"),
            "norm_Y_I": ((), "float32"),
            "YY_full": ((48, 60), "complex64"),
        }

    @pytest.mark.usefixtures("no_torch")
    def test_data_container_holds_what_brute_force_finds(self) -> None:
        found = raw().generate_grouped_data(N, K=6, nsamples=7)
        container, wanted = PtychoDataContainerTorch(found, ARRAYS["probeGuess"]), reference(found)
        pairs = {
            "X": wanted["X_full"],
            "Y": wanted["Y"],
            "Y_I": np.abs(wanted["Y"]),
            "Y_phi": np.arctan2(wanted["Y"].imag, wanted["Y"].real),
            "coords_nominal": wanted["coords_start_relative"],
            "coords_true": wanted["coords_relative"],
            "coords": wanted["coords_start_relative"],
            "probe": ARRAYS["probeGuess"],
            "nn_indices": found["nn_indices"],
            "global_offsets": wanted["coords_offsets"],
            "local_offsets": wanted["coords_relative"],
            "YY_full": ARRAYS["objectGuess"],
        }
        for name, array in pairs.items():
            np.testing.assert_allclose(getattr(container, name), array, rtol=2e-6, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(container.X * container.norm_Y_I, wanted["diffraction"], rtol=1e-5)

    @pytest.mark.usefixtures("no_torch")
    def test_data_container_offsets_give_the_positions_back(self) -> None:
        found = raw().generate_grouped_data(N, K=6)
        container = PtychoDataContainerTorch(found, ARRAYS["probeGuess"])
        positions = np.asarray(container.global_offsets) - np.asarray(container.local_offsets)
        assert positions.shape == (PATTERNS, 1, 2, 4)
        np.testing.assert_allclose(positions[:, 0, 0], ARRAYS["xcoords"][found["nn_indices"]], rtol=1e-14)
        np.testing.assert_allclose(positions[:, 0, 1], ARRAYS["ycoords"][found["nn_indices"]], rtol=1e-14)

    # this holds [DP-4.2]
    @requires_torch
    def test_data_container_holds_tensors_where_torch_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch  # noqa: PLC0415 - only where it is installed

        found = raw().generate_grouped_data(N, K=6, nsamples=7)
        tensors = vars(PtychoDataContainerTorch(found, ARRAYS["probeGuess"]))
        monkeypatch.setitem(sys.modules, "torch", None)
        plain = vars(PtychoDataContainerTorch(found, ARRAYS["probeGuess"]))
        assert tensors.keys() == plain.keys()
        assert len(plain) == 13
        for name, tensor in tensors.items():
            assert isinstance(tensor, torch.Tensor), name
            assert isinstance(plain[name], np.ndarray), name
            assert str(tensor.dtype) == f"torch.{plain[name].dtype.name}", name
            np.testing.assert_array_equal(tensor.numpy(), plain[name], err_msg=name)

    @pytest.mark.usefixtures("no_torch")
    def test_data_container_shares_no_memory_with_the_dictionary(self) -> None:
        found = raw().generate_grouped_data(N, K=6, nsamples=7)
        container = vars(PtychoDataContainerTorch(found, ARRAYS["probeGuess"]))
        assert len(container) == 13
        for name, array in container.items():
            assert array.flags.writeable, name
            assert not any(np.shares_memory(array, other) for other in found.values()), name

    # this holds [DP-4.3]
    @pytest.mark.parametrize("kind", [np.float32, np.complex128])
    def test_data_container_y_dtype_other_than_complex64_is_refused(self, kind: type[np.generic]) -> None:
        found = raw().generate_grouped_data(N, K=4, nsamples=3)
        found["Y"] = np.abs(found["Y"]).astype(kind)
        with pytest.raises(DataError, match=rf"Y is of type {kind.__name__}; .* complex64 \(DATA-001\)"):
            PtychoDataContainerTorch(found, ARRAYS["probeGuess"])

    @pytest.mark.usefixtures("no_torch")
    def test_data_container_without_an_object_has_no_patches(self) -> None:
        found = raw(without=("objectGuess",)).generate_grouped_data(N, K=4, nsamples=3)
        container = vars(PtychoDataContainerTorch(found, ARRAYS["probeGuess"]))
        assert {name for name, array in container.items() if array is None} == {"Y", "Y_I", "Y_phi", "YY_full"}
        assert len(container) == 13

    # this holds [DP-4.4]
    @pytest.mark.usefixtures("no_torch")
    def test_data_container_has_room_for_one_mode(self) -> None:
        found = raw().generate_grouped_data(N, K=4, nsamples=3)
        probe = ARRAYS["probeGuess"]
        single = PtychoDataContainerTorch(found, probe[None].astype(complex)).probe
        np.testing.assert_array_equal(np.asarray(single), probe)
        for wrong in (np.stack([probe, probe]), probe[:8, :8], probe[0]):
            with pytest.raises(DataError, match=r"the probe has shape .* one mode of \(16, 16\)"):
                PtychoDataContainerTorch(found, wrong)

    @pytest.mark.parametrize("name", ["X_full", "Y", "objectGuess", "coords_start_relative"])
    def test_data_container_names_what_is_missing(self, name: str) -> None:
        found = raw().generate_grouped_data(N, K=4, nsamples=3)
        del found[name]
        with pytest.raises(DataError, match=f"grouped data lack '{name}'"):
            PtychoDataContainerTorch(found, ARRAYS["probeGuess"])


def stored(
    path: Path, changed: dict[str, Any] | None = None, *, without: tuple[str, ...] = (), compressed: bool = False
) -> Path:
    given: dict[str, Any] = {**ARRAYS, **(changed or {})}
    kept = {name: array for name, array in given.items() if name not in without}
    (np.savez_compressed if compressed else np.savez)(path, **kept)
    return path


class TestMemmapBridgeParity:
    # this holds [DP-5.1] [DP-5.2]
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        ("config", "asked"),
        [
            (training(subsample_seed=3), {"K": 6, "nsamples": 20}),
            (training(gridsize=1, n_subsample=13), {}),
            (training(gridsize=3, sequential_sampling=True, neighbor_count=9, n_groups=70), {}),
        ],
        ids=["drawn", "single", "oversampled"],
    )
    def test_memmap_equals_raw_data_bit_for_bit(
        self, tmp_path: Path, compressed: bool, config: LegacyTraining, asked: dict[str, Any]
    ) -> None:
        path = stored(tmp_path / "scan.npz", compressed=compressed)
        found = MemmapDatasetBridge(path, config).generate_grouped_data(N, **asked)
        assert_same(found, raw(config).generate_grouped_data(N, **asked))

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        "changed",
        [
            {"diff3d": np.asfortranarray(ARRAYS["diff3d"])},
            {"diff3d": ARRAYS["diff3d"].astype(">f8")},
            {"diff3d": np.random.default_rng(2).poisson(40, (PATTERNS, N, N)).astype(np.uint16)},
            {"diff3d": np.moveaxis(ARRAYS["diff3d"], 0, 2)},
            {"objectGuess": ARRAYS["objectGuess"].astype(complex), "probeGuess": ARRAYS["probeGuess"][None]},
        ],
        ids=["columns_first", "other_byte_order", "counts", "old_order", "complex128"],
    )
    def test_memmap_reads_every_kind_of_array(self, tmp_path: Path, compressed: bool, changed: dict[str, Any]) -> None:
        path = stored(tmp_path / "scan.npz", changed, compressed=compressed)
        found = MemmapDatasetBridge(path, training()).generate_grouped_data(N, K=5)
        assert_same(found, raw(**changed).generate_grouped_data(N, K=5))

    def test_memmap_knows_the_older_name_of_the_patterns(self, tmp_path: Path) -> None:
        path = stored(tmp_path / "old.npz", {"diffraction": ARRAYS["diff3d"]}, without=("diff3d", "scan_index"))
        found = MemmapDatasetBridge(path, training()).generate_grouped_data(N, K=5)
        assert_same(found, raw().generate_grouped_data(N, K=5))

    # this holds [DP-5.3]
    @pytest.mark.parametrize("compressed", [False, True])
    def test_deterministic_generation_validation(self, tmp_path: Path, compressed: bool) -> None:
        path = stored(tmp_path / "scan.npz", compressed=compressed)
        before = sorted(tmp_path.iterdir())
        bridge = MemmapDatasetBridge(path, training(subsample_seed=9))
        first = bridge.generate_grouped_data(N, K=7, nsamples=18)
        assert_same(first, bridge.generate_grouped_data(N, K=7, nsamples=18))
        assert_same(first, MemmapDatasetBridge(str(path), training(subsample_seed=9)).generate_grouped_data(N, 7, 18))
        other = bridge.generate_grouped_data(N, K=7, nsamples=18, seed=10)
        assert (other["nn_indices"] != first["nn_indices"]).any()
        assert sorted(tmp_path.iterdir()) == before

    def test_memmap_sees_that_a_file_was_replaced(self, tmp_path: Path) -> None:
        path = stored(tmp_path / "scan.npz")
        bridge = MemmapDatasetBridge(path, training())
        old = bridge.generate_grouped_data(N, K=5)
        kept = {name: array.copy() for name, array in old.items()}
        stamp = path.stat().st_mtime
        stored(tmp_path / "new.npz", {"diff3d": 2 * ARRAYS["diff3d"]}).replace(path)
        os.utime(path, (stamp, stamp))
        np.testing.assert_allclose(bridge.generate_grouped_data(N, K=5)["diffraction"], 2 * old["diffraction"])
        assert_same(old, kept)

    def test_memmap_results_outlive_the_file(self, tmp_path: Path) -> None:
        path = stored(tmp_path / "scan.npz")
        found = MemmapDatasetBridge(path, training()).generate_grouped_data(N, K=5)
        kept = {name: array.copy() for name, array in found.items()}
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
        assert_same(found, kept)

    @pytest.mark.parametrize("fails", [False, True])
    def test_memmap_leaves_no_temporary_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
    ) -> None:
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        changed = {"diff3d": np.full((PATTERNS, N, N), -1.0)} if fails else {}
        bridge = MemmapDatasetBridge(stored(tmp_path / "scan.npz", changed, compressed=True), training())
        if fails:
            with pytest.raises(DataError, match="diff3d goes down to -1"):
                bridge.generate_grouped_data(N, K=5)
        else:
            assert bridge.generate_grouped_data(N, K=5)["nn_indices"].shape == (PATTERNS, 4)
        assert not list(folder.iterdir())

    def test_memmap_reads_only_the_patterns_it_needs(self, tmp_path: Path) -> None:
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(40.0), np.arange(25.0)))
        path = tmp_path / "scan.npz"
        np.savez(path, diff3d=np.full((1000, 64, 64), 0.5, np.float32), xcoords=x, ycoords=y)  # 16 MB
        tracemalloc.start()
        try:
            found = MemmapDatasetBridge(path).generate_grouped_data(64, 4, 10, 2)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found["diffraction"].shape == (10, 64, 64, 4)
        assert most < 10e6

    # this holds [DP-5.5]
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("bad", [(), ((3, 5), (8, 8), (8, 9), (15, 0))], ids=["all good", "some bad"])
    @pytest.mark.parametrize("kind", ["counts", "amplitudes", "old order"])
    def test_memmap_reads_an_export_as_the_reader_does(
        self, tmp_path: Path, compressed: bool, bad: tuple[tuple[int, int], ...], kind: str
    ) -> None:
        mask = np.zeros((N, N), bool)
        for row, column in bad:
            mask[row, column] = True
        whole = np.random.default_rng(2).poisson(40, (PATTERNS, N, N)).astype(np.uint16)
        patterns = whole if kind == "counts" else ARRAYS["diff3d"].copy()
        patterns[:, mask] = 60_000
        given = {"diff3d": np.moveaxis(patterns, 0, 2) if kind == "old order" else patterns, "bad_pixels": mask}
        path = stored(tmp_path / "export.npz", given, compressed=compressed)
        corrected: dict[str, Any] = {
            name: ARRAYS[name] + 0.5 for name in ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
        }
        clean = patterns.copy()
        clean[:, mask] = 0
        found = MemmapDatasetBridge(path, training()).generate_grouped_data(N, K=5)
        assert_same(found, raw(diff3d=clean, **corrected).generate_grouped_data(N, K=5))
        scan = read_npz(path)
        np.testing.assert_array_equal(MemmapDatasetBridge(path).raw_data().scan().positions_px, scan.positions_px)

    # this holds [DP-5.5]
    def test_memmap_moves_nothing_in_a_canonical_file_with_bad_pixels(self, tmp_path: Path) -> None:
        mask = np.zeros((1, N, N), np.uint8)
        mask[0, 2, 3] = 1
        path = stored(tmp_path / "scan.npz", {"bad_pixels": mask}, without=("ycoords_start",))
        found = MemmapDatasetBridge(path, training()).generate_grouped_data(N, K=5)
        wanted = raw(diff3d=ARRAYS["diff3d"] * ~mask.astype(bool), without=("ycoords_start",))
        assert_same(found, wanted.generate_grouped_data(N, K=5))

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"bad_pixels": np.zeros((8, 8), bool)}, r"the mask has shape \(8, 8\)"),
            ({"bad_pixels": np.full((N, N), "a")}, "the mask is of type"),
            ({"xcoords_start": np.full(PATTERNS, "a")}, "xcoords_start is of type"),
            ({"diff3d": np.array(3.0)}, "mask has shape"),
        ],
    )
    def test_memmap_refuses_exports_that_do_not_fit(
        self, tmp_path: Path, changed: dict[str, Any], complaint: str
    ) -> None:
        path = stored(tmp_path / "export.npz", {"bad_pixels": np.zeros((N, N), bool)} | changed)
        with pytest.raises(ScanFileError, match=complaint):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    def test_memmap_leaves_no_copy_of_patterns_with_bad_pixels(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        path = stored(tmp_path / "export.npz", {"bad_pixels": np.eye(N, dtype=bool)})
        data = MemmapDatasetBridge(path).raw_data()
        assert isinstance(data.diff3d, np.memmap) or isinstance(data.diff3d.base, np.memmap)
        assert not list(folder.iterdir())

    # this holds [DP-5.4]
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"diff3d": np.array([{"run": "me"}], dtype=object)}, "contains pickled objects"),
            ({"xcoords": np.array([None])}, "contains pickled objects"),
        ],
        ids=["patterns", "positions"],
    )
    def test_memmap_never_opens_pickled_objects(
        self, tmp_path: Path, compressed: bool, changed: dict[str, Any], complaint: str
    ) -> None:
        path = stored(tmp_path / "scan.npz", changed, compressed=compressed)
        with pytest.raises(ScanFileError, match=complaint):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    @pytest.mark.parametrize("missing", ["diff3d", "xcoords", "ycoords"])
    def test_memmap_names_the_array_that_is_missing(self, tmp_path: Path, missing: str) -> None:
        path = stored(tmp_path / "scan.npz", without=(missing,))
        with pytest.raises(ScanFileError, match=rf"scan\.npz: .*{missing}"):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            ("(900000, 16, 16)", "does not fill"),
            ("(-2, -16, 16)", "does not fill"),
            ("(1, 16, 16)", "does not fill"),
            ("(True, 'x')", "is not a readable NPZ"),
            ("((((((((((", "is not a readable NPZ"),
        ],
    )
    def test_memmap_believes_no_shape(self, tmp_path: Path, compressed: bool, header: str, complaint: str) -> None:
        path = stored(tmp_path / "scan.npz")
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {header}, }}".ljust(117).encode() + b"\n"
        member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4 * 256 * 2)
        method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("diff3d.npy", member)
        with pytest.raises(ScanFileError, match=complaint):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    def test_memmap_refuses_files_that_claim_too_much(self, tmp_path: Path) -> None:
        path = tmp_path / "scan.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("diff3d.npy", b"")
            archive.infolist()[0].file_size = 2**37
        with pytest.raises(ScanFileError, match=r"diff3d\.npy .* 128 GiB; .* 64 GiB"):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    @pytest.mark.parametrize(
        "content", [None, b"", b"no archive", b"PK\x03\x04 no more"], ids=["missing", "empty", "text", "cut"]
    )
    def test_memmap_refuses_what_is_no_npz_file(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "scan.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ScanFileError, match=r"scan\.npz: (the file does not exist|is not a readable NPZ file)"):
            MemmapDatasetBridge(path).generate_grouped_data(N)

    @pytest.mark.parametrize("compressed", [False, True])
    def test_memmap_survives_any_damage(self, tmp_path: Path, compressed: bool) -> None:
        whole = stored(tmp_path / "scan.npz", compressed=compressed).read_bytes()
        rng = np.random.default_rng(4)
        refused = 0
        for number in range(60):
            content = bytearray(whole)
            ends = (rng.integers(0, 250), len(whole) - 1 - rng.integers(0, 600), rng.integers(len(whole)))
            content[int(ends[number % 3])] ^= int(rng.integers(1, 256))
            path = tmp_path / f"{number}.npz"
            path.write_bytes(content)
            try:
                MemmapDatasetBridge(path).generate_grouped_data(N, gridsize=1)
            except DataError:
                refused += 1
        assert 5 < refused < 60
