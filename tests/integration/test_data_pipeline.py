"""From measured data to the batches of a training: what is read, how it is put together, and that it stays in order."""

from __future__ import annotations

import importlib
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy_physics
import pytest
import torch
from numpy.typing import NDArray
from numpy_samples import compact_probe, complex_noise
from torch.utils.data import Dataset

import ptycho_torch as pt
from ptycho_torch.config import DataSettings, Experiment, RefineSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, PtychoError
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.training.build import build_objective
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.fit import prepare
from ptycho_torch.workflows.reconstruction import reconstruct_scan

MakeScan = Callable[..., Scan]
TRAINING: dict[str, Any] = {"group_size": 4, "batch_size": 3, "bootstrap_epochs": 0, "validation_share": 0.2}
CPU = torch.device("cpu")


def load(scans: list[Scan], workers: int = 0, epoch: int = 0, **settings: Any) -> list[Batch]:
    """The training batches of an epoch."""
    data = ScanDataModule(scans, TrainingSettings.from_dict(TRAINING | settings), workers)
    data._find_position = lambda: (epoch, 0)  # type: ignore[method-assign] # without a trainer
    return list(data.train_dataloader())


def require(name: str, what: str) -> Any:
    """What a test needs of the package, by its name; asserted, so that its absence is told as what is missing."""
    module, _, member = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(f"ptycho_torch.{module}" if module else "ptycho_torch"), member, None)
    except ModuleNotFoundError:
        found = None
    assert found is not None, what
    return found


def add_mode(scan: Scan) -> Scan:
    """The scan with a second, weaker mode of its probe."""
    probe = scan.require_probe()
    second = 0.3 * probe * np.linspace(-1, 1, probe.shape[-1])[:, None]
    return replace(scan, probe=np.concatenate([probe, second.astype(np.complex64)]))


def test_data_loading_with_collators(make_scan: MakeScan, integration_tmp_dir: Path) -> None:
    """Scans with other numbers of patterns, doses, modes and detectors train one network together."""
    scans = [make_scan(), make_scan(photons=1e4, step_px=6, seed=5), add_mode(make_scan(seed=6))]
    wide = make_scan(patch_px=48, object_px=96, seed=7)
    folder = integration_tmp_dir / "scans"
    for number, scan in enumerate([*scans, wide]):
        write_scan(scan, folder / f"{number}.npz")
    with pytest.raises(PtychoError, match=r"same size in all scans .* --crop_px 32 "):
        pt.read_scans(folder)
    read = pt.read_scans(folder, DataSettings(crop_px=32))
    assert [scan.patch_px for scan in read] == [32] * 4
    # a smaller part of a detector means larger pixels of the object
    step = np.ptp(read[3].positions_px, axis=0) / np.ptp(wide.positions_px, axis=0)
    np.testing.assert_allclose(step, 32 / 48)
    experiment = Experiment(training=TrainingSettings.from_dict(TRAINING | {"epochs": 1}))
    try:
        data, module = prepare(read, [scan.require_probe() for scan in read], experiment, CPU)
    except ValueError as error:
        pytest.fail(f"probes with other numbers of modes are not put together: {error}")
    assert len({len(scan) for scan in read}) > 1
    seen = set()
    for batch in data.train_dataloader():
        for index, counts in zip(batch.scan_index.tolist(), batch.counts, strict=True):
            stored = np.asarray(read[index].counts)
            assert all((stored == pattern.numpy()).all(axis=(1, 2)).any() for pattern in counts), "of another scan"
            seen.add(index)
        assert torch.isfinite(module.compute_loss(batch))
    assert seen == {0, 1, 2, 3}
    result = pt.train_network(read, integration_tmp_dir / "run", experiment, device="cpu", track=False)
    trained = load_network(result.last)
    np.testing.assert_allclose(trained.photons, [scan.photons_per_pattern for scan in read], rtol=1e-5)
    # the empty second mode of a probe with one changes nothing and leaves nothing
    found = reconstruct_scan(trained, read[0], device="cpu", polish=RefineSettings(epochs=1))
    assert found.probe.shape == (1, 32, 32)


def test_huggingface_datasets_integration(tiny_scan: Scan, integration_tmp_dir: Path) -> None:
    """A data set that the library of Hugging Face saved is read as a scan, from the disk alone."""
    hugging_face = pytest.importorskip("datasets")
    features = hugging_face.Features(
        pattern=hugging_face.Array2D((32, 32), "float32"),
        position_px=hugging_face.Sequence(hugging_face.Value("float64"), length=2),
    )
    rows = {"pattern": list(tiny_scan.counts), "position_px": list(tiny_scan.positions_px)}
    hugging_face.Dataset.from_dict(rows, features=features).save_to_disk(integration_tmp_dir / "set")
    np.save(integration_tmp_dir / "probe.npy", tiny_scan.require_probe())
    settings = DataSettings(units="counts")
    try:
        [scan] = pt.read_scans(integration_tmp_dir / "set", settings, integration_tmp_dir / "probe.npy")
    except PtychoError as error:
        pytest.fail(f"a data set of Hugging Face is not read: {error}")
    np.testing.assert_array_equal(scan.counts, tiny_scan.counts)
    np.testing.assert_allclose(scan.positions_px, tiny_scan.positions_px)
    collect_scan = require("collect_scan", "records are not collected to a scan")
    # one in memory, shuffled and filtered with the library's own means
    chosen = hugging_face.Dataset.from_dict(rows, features=features).shuffle(seed=1).select(range(20))
    collected = collect_scan(chosen, probe=tiny_scan.probe, settings=settings)
    assert len(collected) == 20
    assert all((np.asarray(tiny_scan.counts) == pattern).all(axis=(1, 2)).any() for pattern in collected.counts)
    assert len(load([scan], epochs=1)) == len(load([tiny_scan], epochs=1))
    (integration_tmp_dir / "set" / "dataset_info.json").write_text("{")
    with pytest.raises(PtychoError, match="set: is not a readable data set") as refused:
        pt.read_scans(integration_tmp_dir / "set", settings)
    assert "\n" not in str(refused.value)


class Recorded(Dataset[dict[str, Any]]):
    """A data set of one's own: a dictionary for each pattern, made when it is asked for."""

    def __init__(self, scan: Scan) -> None:
        self.scan, self.asked = scan, 0

    def __len__(self) -> int:
        return len(self.scan)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        self.asked += 1
        pattern = torch.from_numpy(np.array(self.scan.counts[number]))
        return {"pattern": pattern, "position_px": self.scan.positions_px[number].tolist(), "temperature_k": 100.0}


def test_custom_datasets(tiny_scan: Scan, integration_tmp_dir: Path, tiny_experiment: Experiment) -> None:
    """Records of any origin become a scan like any other, which trains the same network."""
    collect_scan = require("collect_scan", "records are not collected to a scan")
    scan = collect_scan(Recorded(tiny_scan), probe=tiny_scan.probe, settings=DataSettings(units="counts"))
    np.testing.assert_array_equal(scan.counts, tiny_scan.counts)
    np.testing.assert_array_equal(scan.positions_px, tiny_scan.positions_px)
    for mine, theirs in zip(load([scan]), load([tiny_scan]), strict=True):
        assert torch.equal(mine.counts, theirs.counts)
    result = pt.train_network([scan], integration_tmp_dir / "run", tiny_experiment, device="cpu", track=False)
    assert result.validation_loss is not None
    image = np.ones((32, 32))
    first, other = {"pattern": image, "position_px": (0, 0)}, {"pattern": image[:9], "position_px": (1, 1)}
    wrong: list[tuple[list[dict[str, Any]], str]] = [
        ([], "is empty"),
        ([{"pattern": image}], "record 0 has no position_px"),
        ([first, other], "shape"),
        ([{"pattern": image, "position_px": "here"}], "position_px is not a row and a column"),
    ]
    for items, complaint in wrong:
        with pytest.raises(DataError, match=complaint):
            collect_scan(items, probe=tiny_scan.probe)


def test_data_edge_cases(tiny_scan: Scan, integration_tmp_dir: Path) -> None:
    """One pattern, fewer patterns than a group, a last batch that is not full, and none at all."""
    one = tiny_scan.take(np.array([7]))
    experiment = Experiment(training=TrainingSettings.from_dict(TRAINING | {"epochs": 2}))
    result = pt.train_network([one], integration_tmp_dir / "one", experiment, device="cpu", track=False)
    assert result.steps == 2
    assert np.isfinite(
        reconstruct_scan(result.last, one, device="cpu", polish=RefineSettings(epochs=1)).canvas.pixels
    ).all()
    few = tiny_scan.take(np.arange(3))
    assert [batch.counts.shape[:2] for batch in load([few])] == [(1, 3)]
    batches = load([tiny_scan])
    sizes = [len(batch.counts) for batch in batches]
    # 49 patterns less those for validation: the last batch has what is left
    assert sizes[:-1] == [3] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= 3
    shares = [batch.patch_share[0].item() for batch in batches]
    assert shares == [1.0] * len(batches)
    with pytest.raises(DataError, match="the scan is empty"):
        tiny_scan.take(np.array([], np.int64))
    np.savez(integration_tmp_dir / "empty.npz", diff3d=np.zeros((0, 32, 32)), xcoords=[], ycoords=[])
    with pytest.raises(DataError, match=r"empty\.npz: the scan is empty"):
        pt.read_scans(integration_tmp_dir / "empty.npz")


@pytest.mark.slow
def test_worker_seeding_reproducibility(make_scan: MakeScan) -> None:
    """The same seed gives the same batches, turned in the same way, whatever prepares them; each epoch gives others."""
    scans = [make_scan(), make_scan(seed=5)]
    assert "augment" in TrainingSettings.find_types(), "patterns are never turned"
    for augment, workers in (("none", 0), ("all", 2)):
        alone, again, prepared = (load(scans, workers=number, augment=augment) for number in (0, 0, workers))
        for first, *others in zip(alone, again, prepared, strict=True):
            for other in others:
                for mine, theirs in zip(first, other, strict=True):
                    assert torch.equal(mine, theirs)
        assert not torch.equal(alone[0].counts, load(scans, epoch=1, augment=augment)[0].counts)
        assert not torch.equal(alone[0].counts, load(scans, seed=1, augment=augment)[0].counts)


def test_variable_length_sequences(make_scan: MakeScan, integration_tmp_dir: Path) -> None:
    """Scans of 49, 20 and 6 patterns: every pattern is used, and each scan by its number of patterns."""
    whole = make_scan()
    scans = [whole, make_scan(seed=5).take(np.arange(20)), make_scan(seed=6).take(np.arange(6))]
    batches = [batch for epoch in range(12) for batch in load(scans, epoch=epoch, validation_share=0.0)]
    found = np.bincount(np.concatenate([batch.scan_index.numpy() for batch in batches]), minlength=3)
    np.testing.assert_allclose(found / found.sum(), np.array([49, 20, 6]) / 75, atol=0.08)
    seen: list[set[bytes]] = [set(), set(), set()]
    for batch in batches:
        for index, counts in zip(batch.scan_index.tolist(), batch.counts, strict=True):
            seen[index] |= {pattern.numpy().tobytes() for pattern in counts}
    assert [len(patterns) for patterns in seen] == [49, 20, 6]
    experiment = Experiment(training=TrainingSettings.from_dict(TRAINING | {"epochs": 1}))
    result = pt.train_network(scans, integration_tmp_dir / "run", experiment, device="cpu", track=False)
    with np.load(result.index) as index:
        assert [len(index[f"positions_px_{number}"]) for number in range(3)] == [49, 20, 6]


def test_multimodal_data_loading(tiny_scan: Scan, integration_tmp_dir: Path) -> None:
    """A fluorescence detector's values follow their patterns to batches, and become maps beside the object."""
    assert "fluorescence" in DataSettings.find_types(), "there is no second modality"
    # two elements: one everywhere, one in the upper half
    upper = tiny_scan.positions_px[:, 0] < np.median(tiny_scan.positions_px[:, 0])
    values = np.stack([np.full(len(tiny_scan), 5.0), 8.0 * upper], axis=1)
    write_scan(tiny_scan, integration_tmp_dir / "scan.npz")
    np.save(integration_tmp_dir / "xrf.npy", values)
    named = str(integration_tmp_dir / "xrf.npy")
    [scan] = pt.read_scans(integration_tmp_dir / "scan.npz", DataSettings(fluorescence=named, leave_out="3,10-12"))
    kept = np.setdiff1d(np.arange(49), [3, 10, 11, 12])
    held: Any = scan.fluorescence
    np.testing.assert_allclose(held, values[kept])
    for batch in load([scan]):
        for counts, found in zip(batch.counts.flatten(0, 1), batch.fluorescence.flatten(0, 1), strict=True):
            number = int(np.flatnonzero((np.asarray(scan.counts) == counts.numpy()).all(axis=(1, 2)))[0])
            np.testing.assert_allclose(found.numpy(), held[number])
    folder = integration_tmp_dir / "refined"
    main = require("cli.main.main", "there is no command line")
    words = ["refine", f"--data={integration_tmp_dir / 'scan.npz'}", f"--fluorescence={named}", "--epochs=2", "--quiet"]
    assert main([*words, f"--output_dir={folder}", "--device=cpu"]) in (0, 3)
    with np.load(folder / "fluorescence.npz") as stored, np.load(folder / "object.npz") as image:
        maps = stored["maps"]
        assert maps.shape == (2, *image["object"].shape)
    check_maps(maps, values, tiny_scan, np.load(folder / "probe.npy"))
    np.save(integration_tmp_dir / "short.npy", values[:9])
    with pytest.raises(PtychoError, match=r"short\.npy: has values for 9 patterns; the scan has 49"):
        pt.read_scans(
            integration_tmp_dir / "scan.npz", DataSettings(fluorescence=str(integration_tmp_dir / "short.npy"))
        )


def check_maps(maps: NDArray[Any], values: NDArray[Any], scan: Scan, probe: NDArray[Any]) -> None:
    """Compare maps with sums that are written out: values weighted by the light on each pixel."""
    light = (np.abs(probe) ** 2).sum(0)
    corners = np.floor(scan.positions_px + 0.5).astype(int) - 16
    corners -= corners.min(axis=0)
    total, weighted = np.zeros(maps.shape[1:]), np.zeros(maps.shape)
    for (row, column), value in zip(corners.tolist(), values, strict=True):
        area = (slice(row, row + 32), slice(column, column + 32))
        total[area] += light
        weighted[(slice(None), *area)] += value[:, None, None] * light
    lit = total > 0.05 * total.max()
    np.testing.assert_allclose(maps[:, lit], (weighted / np.maximum(total, 1e-9))[:, lit], rtol=0.05, atol=0.05)
    assert np.nanmin(maps[0][lit]) == pytest.approx(5.0, rel=1e-3)


@pytest.fixture(scope="module")
def lopsided() -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64], Scan]:
    """A sample and a probe of two modes without symmetry, positions between pixels, and their patterns."""
    rng = np.random.default_rng(4)
    specimen = 1 + 0.4 * complex_noise(rng, 64, 64)
    probe = compact_probe(24, 2, photons=1e5)
    positions = np.array([[20.3, 22.6], [24.2, 20.4], [21.7, 27.1], [26.4, 25.8], [29.1, 21.3], [23.5, 31.2]])
    counts = numpy_physics.patterns(specimen, probe, positions)
    scan = Scan(counts=counts.astype(np.float32), positions_px=positions, probe=probe.astype(np.complex64))
    return specimen, probe, positions, scan


def turn(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Exchange rows and columns, then reverse them about pixel N/2, by the bits of a number."""
    side = image.shape[-1]
    image = image.swapaxes(-2, -1) if orientation & 4 else image
    index = -np.arange(side) % side
    image = image[..., index, :] if orientation & 1 else image
    return image[..., :, index] if orientation & 2 else image


@pytest.mark.parametrize("orientation", range(8))
def test_data_augmentation_pipeline(
    orientation: int, lopsided: tuple[NDArray[Any], NDArray[Any], NDArray[Any], Scan]
) -> None:
    """Patterns, probe and positions turned together are those of a turned sample, and its misfit is the same."""
    draw_type = require("training.batches.Draw", "there are no draws")
    assert "orientation" in draw_type._fields, "patterns are never turned"
    specimen, probe, positions, scan = lopsided
    groups = [np.arange(6, dtype=np.int64)[None]]
    dataset = require("training.dataset.GroupDataset", "there is no data set")([scan], groups)
    draw = draw_type(0, 1.0, 1.0, 1, orientation)
    group = dataset[draw]
    np.testing.assert_array_equal(group.counts.numpy(), turn(np.asarray(scan.counts), orientation))
    # the forward model of the tests: the turned probe at the turned positions on the turned sample
    moved = positions[:, ::-1] if orientation & 4 else positions
    moved = moved * [(-1) ** (orientation & 1), (-1) ** (orientation >> 1 & 1)] % 64
    expected = numpy_physics.patterns(turn(specimen, orientation), turn(probe, orientation), moved)
    np.testing.assert_allclose(group.counts.numpy(), expected, rtol=2e-2, atol=0.02 * expected.max() / 1e3)
    # the loss of turned patches is that of the patches
    stack = require("training.dataset.collate", "groups are not put together")
    losses = []
    for chosen in (0, orientation):
        batch = stack([dataset[draw_type(0, 1.0, 1.0, 1, chosen)]])
        corners = np.floor(positions + 0.5).astype(int) - 12
        patches = np.array([numpy_physics.cut(specimen, (row, column), 24) for row, column in corners.tolist()])
        turned = torch.from_numpy(turn(patches, chosen).astype(np.complex64))
        objective = build_objective(TrainingSettings(group_size=6, unmerged_weight=0.5, loss="poisson"))
        losses.append(
            objective(batch, turned, torch.from_numpy(probe[None].astype(np.complex64)), torch.ones(1, 24, 24))
        )
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-3, abs=2e-3)
    if orientation:
        assert not np.array_equal(group.counts.numpy(), scan.counts)


def test_augmented_training_sees_every_orientation(tiny_scan: Scan, integration_tmp_dir: Path) -> None:
    assert "augment" in TrainingSettings.find_types(), "patterns are never turned"
    for augment, wanted in (("none", {-1}), ("flips", set(range(4))), ("all", set(range(8)))):
        drawn = set()
        for epoch in range(8):
            for batch in load([tiny_scan], epoch=epoch, augment=augment):
                drawn |= set(batch.orientation.flatten().tolist()) if batch.orientation.numel() else {-1}
        assert drawn == wanted
    data = ScanDataModule([tiny_scan], TrainingSettings.from_dict(TRAINING | {"augment": "all"}))
    assert not any(batch.orientation.any() for batch in data.val_dataloader()), "validation is turned"
    experiment = Experiment(training=TrainingSettings.from_dict(TRAINING | {"augment": "all", "epochs": 6}))
    result = pt.train_network([tiny_scan], integration_tmp_dir / "run", experiment, device="cpu", track=False)
    assert result.validation_loss is not None
    assert np.isfinite(result.validation_loss)


def test_lazy_loading_efficiency(tiny_scan: Scan, integration_tmp_dir: Path) -> None:
    """Patterns of a large scan stay in their file until a batch needs them, and are the same."""
    repeats = 345
    counts = np.tile(np.asarray(tiny_scan.counts, np.float32), (repeats, 1, 1))
    positions = np.tile(tiny_scan.positions_px, (repeats, 1)) + np.arange(repeats).repeat(49)[:, None] % 64
    rows, columns = positions.T
    arrays = {"xcoords": columns, "ycoords": rows, "probeGuess": tiny_scan.require_probe()}
    np.savez(integration_tmp_dir / "large.npz", diff3d=counts, **arrays)
    size = counts.nbytes
    assert size > 2**26
    del counts
    [scan] = pt.read_scans(integration_tmp_dir / "large.npz", DataSettings(units="counts"))
    tracemalloc.start()
    try:
        data = ScanDataModule([scan], TrainingSettings.from_dict(TRAINING | {"groups_per_epoch": 30}))
        batches = list(data.train_dataloader())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 8, "patterns are held in memory"
    known = {pattern.tobytes() for pattern in np.asarray(tiny_scan.counts)}
    assert len(batches) == 10
    assert all(pattern.numpy().tobytes() in known for batch in batches for pattern in batch.counts.flatten(0, 1))


def test_dataloader_factory_integration(scan_files: list[Path], tiny_experiment: Experiment) -> None:
    """From files to loaders with one object, in a loop of one's own that lowers the loss."""
    factory = require("ScanDataModule", "the loaders cannot be made from outside")
    scans = pt.read_scans(scan_files[0].parent)
    data = factory(scans, tiny_experiment.training)
    _, module = prepare(scans, [scan.require_probe() for scan in scans], tiny_experiment, CPU)
    optimiser = torch.optim.Adam(module.generator.parameters(), lr=3e-3)

    def validate() -> float:
        with torch.no_grad():
            return float(np.mean([float(module.compute_loss(batch)) for batch in data.val_dataloader()]))

    before = validate()
    for _ in range(2):
        for batch in cycle(data):
            optimiser.zero_grad()
            module.compute_loss(batch).backward()
            optimiser.step()
    assert validate() < 0.95 * before
    assert {int(index) for batch in data.train_dataloader() for index in batch.scan_index} <= {0, 1, 2}
    assert len(data.train_dataloader()) == data.batches_per_epoch


def cycle(data: ScanDataModule) -> Iterator[Batch]:
    yield from data.train_dataloader()
