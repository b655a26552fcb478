from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.config import TrainingSettings
from ptycho_torch.data.grouping import group_nearest
from ptycho_torch.data.scan import Scan
from ptycho_torch.training.batches import BatchSampler
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.dataset import GroupDataset


def test_a_group_holds_its_patterns_and_their_places(small_scan: Scan) -> None:
    groups = group_nearest(small_scan.positions_px, 5)
    dataset = GroupDataset([small_scan], [groups])
    assert len(dataset) == len(small_scan)
    for number in (0, 17, 48):
        group = dataset[number]
        np.testing.assert_array_equal(group.counts.numpy(), small_scan.counts[groups[number]])
        assert group.corners_px.amin(dim=0).tolist() == [0, 0]
        places = group.corners_px.numpy() + group.shifts_px.numpy()
        wanted = small_scan.positions_px[groups[number]]
        np.testing.assert_allclose(places - places[0], wanted - wanted[0], atol=1e-5)
        assert group.shifts_px.abs().max() <= 0.5


def test_groups_of_several_scans_follow_one_another(small_scan: Scan) -> None:
    scans = [small_scan.take(slice(0, 10)), small_scan.take(slice(10, 30)), small_scan.take(slice(30, 49))]
    groups = [group_nearest(scan.positions_px, 4) for scan in scans]
    dataset = GroupDataset(scans, groups)
    assert len(dataset) == 49
    for item, scan_number, first in ((0, 0, 0), (9, 0, 9), (10, 1, 10), (29, 1, 29), (30, 2, 30), (48, 2, 48)):
        group = dataset[item]
        assert int(group.scan_index) == scan_number
        np.testing.assert_array_equal(group.counts[0].numpy(), small_scan.counts[first])


@pytest.mark.parametrize("item", [-1, 49])
def test_items_beyond_the_end_do_not_exist(small_scan: Scan, item: int) -> None:
    dataset = GroupDataset([small_scan], [group_nearest(small_scan.positions_px, 4)])
    with pytest.raises(IndexError):
        dataset[item]


def test_batches_see_each_pattern_about_once_an_epoch(small_scan: Scan) -> None:
    module = ScanDataModule([small_scan], TrainingSettings(group_size=6, batch_size=2, validation_share=0.1))
    batches = list(module.train_dataloader())
    assert len(batches) == module.steps_per_epoch
    seen = sum(len(batch.counts) for batch in batches) * 6
    assert seen == pytest.approx(len(small_scan), rel=0.2)
    assert batches[0].counts.shape == (2, 6, 32, 32)
    assert batches[0].corners_px.shape == batches[0].shifts_px.shape == (2, 6, 2)
    assert batches[0].scan_index.shape == (2,)


def test_the_order_follows_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = BatchSampler(np.ones(20, np.int64), 12, 5, seed=seed, position=lambda: (epoch, 0))
        assert len(sampler) == 3
        return [draw.item for batch in sampler for draw in batch]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
    assert len(set(order(1, 0))) == 12
    assert set(order(1, 0)) <= set(range(20))


def test_groups_shrink_to_a_small_scan_with_a_warning(small_scan: Scan, caplog: pytest.LogCaptureFixture) -> None:
    module = ScanDataModule([small_scan.take(slice(0, 3))], TrainingSettings(group_size=16))
    assert next(iter(module.train_dataloader())).counts.shape[1] == 3
    module.warn_small()
    assert "groups shrink from 16 to 3" in caplog.text
    assert "validation uses training patterns" in caplog.text


def test_the_index_tells_which_patterns_were_grouped(small_scan: Scan, tmp_path: Path) -> None:
    module = ScanDataModule([small_scan], TrainingSettings(group_size=4, validation_share=0.1))
    module.write_index(tmp_path / "index.npz")
    with np.load(tmp_path / "index.npz") as arrays:
        assert arrays["scans"].tolist() == [small_scan.name]
        np.testing.assert_array_equal(arrays["positions_px_0"], small_scan.positions_px)
        np.testing.assert_array_equal(arrays["training_0"], module.splits[0].training)
        np.testing.assert_array_equal(arrays["validation_0"], module.splits[0].validation)
