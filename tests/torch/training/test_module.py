from __future__ import annotations

from typing import Any

import numpy as np
import numpy_physics
import pytest
import torch
from numpy_samples import compact_probe, complex_noise
from torch import Tensor, nn

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.networks.build import Generator, build_network
from ptycho_torch.physics.losses import LossName
from ptycho_torch.training.build import build_objective
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.module import ReconstructionModule
from ptycho_torch.training.objective import Objective

SIDE, GROUPS, SIZE = 16, 3, 4
REFERENCES = {
    "poisson": numpy_physics.poisson_deviance,
    "amplitude_mae": numpy_physics.amplitude_mae,
    "anscombe": numpy_physics.anscombe,
}


class Lookup(Generator):
    """Patches from a table by the first pixel of the pattern, instead of a network's."""

    def __init__(self, table: Tensor) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.table = nn.Parameter(table)
        self.numbers = torch.zeros(0, dtype=torch.long)

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """The rows of the table that `numbers` names."""
        return torch.view_as_complex(self.table)[self.numbers]


def batch(rng: np.random.Generator) -> Batch:
    """Three groups of four patterns from two scans; each group's places start at its own zero."""
    corners = rng.integers(0, 9, (GROUPS, SIZE, 2))
    corners -= corners.min(axis=1, keepdims=True)
    return Batch(
        counts=torch.from_numpy(rng.poisson(4.0, (GROUPS, SIZE, SIDE, SIDE)).astype(np.float32)),
        corners_px=torch.from_numpy(corners),
        shifts_px=torch.from_numpy(rng.uniform(-0.5, 0.5, (GROUPS, SIZE, 2)).astype(np.float32)),
        scan_index=torch.tensor([1, 0, 1]),
    )


PROBES = np.array([compact_probe(SIDE, 2, photons=900.0), compact_probe(SIDE, 2, width=1.6, photons=1300.0)])
GOOD = np.ones((2, SIDE, SIDE))
GOOD[0, 8, 9] = GOOD[1, 3, :5] = 0


def objective(**settings: Any) -> Objective:
    return build_objective(TrainingSettings.from_dict({"loss": "poisson", "unmerged_weight": 0.2} | settings))


def module(generator: Generator, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> ReconstructionModule:
    """A module over the two probes whose logging goes nowhere."""
    settings: dict[str, Any] = {
        "objective": objective(),
        "settings": TrainingSettings(warmup_steps=2),
        "main_steps": 10,
        "record": {},
    }
    result = ReconstructionModule(
        generator,
        torch.from_numpy(PROBES.astype(np.complex64)),
        torch.tensor([900.0, 1300.0]),
        torch.from_numpy(GOOD.astype(np.float32)),
        **(settings | changes),
    )
    monkeypatch.setattr(result, "log", lambda *values, **options: None)
    return result


BACKGROUND = np.random.default_rng(6).uniform(0, 3, (2, SIDE, SIDE))


def reference_loss(
    given: Batch, patches: np.ndarray, name: str, share: float, variation: float, background: np.ndarray
) -> float:
    """The loss of a batch, group by group: merge, cut again, shine through, compare; and the same without merging."""
    merged_terms: list[float] = []
    single_terms: list[float] = []
    weights = []
    for group in range(GROUPS):
        scan = int(given.scan_index[group])
        corners, shifts = given.corners_px[group].numpy(), given.shifts_px[group].numpy().astype(float)
        shape = tuple(int(length) for length in corners.max(axis=0) + SIDE)
        lights = np.broadcast_to((np.abs(PROBES[scan]) ** 2).sum(0), (SIZE, SIDE, SIDE))
        canvas = numpy_physics.merged(patches[group], lights, corners, (shape[0], shape[1]))
        for number in range(SIZE):
            probe = np.array([numpy_physics.shifted(mode, shifts[number]) for mode in PROBES[scan]])
            cut = numpy_physics.cut(canvas, (int(corners[number][0]), int(corners[number][1])), SIDE)
            counts, good = given.counts[group, number].numpy().astype(float), GOOD[scan] > 0
            for patch, terms in ((cut, merged_terms), (patches[group, number], single_terms)):
                expected = sum(np.abs(numpy_physics.far_field(patch * mode)) ** 2 for mode in probe)
                terms.append(REFERENCES[name](expected + background[scan], counts, good))
            weights.append(good.sum())
    total = (1 - share) * np.average(merged_terms, weights=weights) + share * np.average(single_terms, weights=weights)
    flat = patches.reshape(-1, SIDE, SIDE)
    return float(total + variation * np.mean([numpy_physics.total_variation(patch) for patch in flat]))


@pytest.mark.parametrize("name", ["poisson", "amplitude_mae", "anscombe"])
@pytest.mark.parametrize(("share", "variation"), [(0.0, 0.0), (0.25, 0.0), (1.0, 0.0), (0.25, 0.5)])
@pytest.mark.parametrize("background", [None, BACKGROUND], ids=["clean", "background"])
def test_the_loss_is_that_of_merged_and_single_patches(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    name: LossName,
    share: float,
    variation: float,
    background: np.ndarray | None,
) -> None:
    given = batch(rng)
    patches = 1 + 0.2 * complex_noise(rng, GROUPS, SIZE, SIDE, SIDE)
    generator = Lookup(torch.view_as_real(torch.from_numpy(patches.astype(np.complex64)).flatten(0, 1)))
    generator.numbers = torch.arange(GROUPS * SIZE)
    asked = objective(loss=name, unmerged_weight=share, total_variation=variation)
    known = None if background is None else torch.from_numpy(background.astype(np.float32))
    trained = module(generator, monkeypatch, objective=asked, background=known)
    wanted = reference_loss(given, patches, name, share, variation, np.zeros(2) if background is None else background)
    assert trained.training_step(given, 0).item() == pytest.approx(wanted, rel=2e-4)


def lit_scores(patch: np.ndarray, light: np.ndarray) -> dict[str, float]:
    """Every prior of one patch, written out."""
    amplitude, light = np.abs(patch), light / light.sum()
    mean = (amplitude * light).sum()
    turned = np.angle(patch * np.exp(-1j * np.angle((patch * light).sum())))
    inner = light[:-1, :-1] / light[:-1, :-1].sum()
    steps = {
        "amplitude": (np.diff(amplitude, axis=0)[:, :-1], np.diff(amplitude, axis=1)[:-1]),
        "phase": (np.angle(patch[1:] / patch[:-1])[:, :-1], np.angle(patch[:, 1:] / patch[:, :-1])[:-1]),
    }
    variation = {name: (np.hypot(*both) * inner).sum() for name, both in steps.items()}
    return {
        "amplitude total_variation": variation["amplitude"],
        "phase total_variation": variation["phase"],
        "amplitude mean_deviation": (np.abs(amplitude - mean) * light).sum(),
        "phase mean_deviation": (np.abs(turned) * light).sum(),
        "amplitude variance": ((amplitude - mean) ** 2 * light).sum(),
    }


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            {"amplitude_penalty": "total_variation", "amplitude_penalty_weight": 0.3},
            {"amplitude total_variation": 0.3},
        ),
        ({"amplitude_penalty": "mean_deviation"}, {"amplitude mean_deviation": 1.0}),
        ({"phase_penalty": "total_variation"}, {"phase total_variation": 1.0}),
        ({"phase_penalty": "mean_deviation", "phase_penalty_weight": 2.0}, {"phase mean_deviation": 2.0}),
        ({"amplitude_variance_weight": 0.7}, {"amplitude variance": 0.7}),
        (
            {
                "amplitude_penalty": "mean_deviation",
                "phase_penalty": "mean_deviation",
                "amplitude_variance_weight": 0.5,
            },
            {"amplitude mean_deviation": 1.0, "phase mean_deviation": 1.0, "amplitude variance": 0.5},
        ),
        ({"amplitude_penalty_weight": 3.0, "phase_penalty_weight": 3.0}, {}),
    ],
    ids=str,
)
def test_priors_add_what_was_asked_for(
    settings: dict[str, Any], wanted: dict[str, float], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = batch(rng)
    patches = np.exp(3j) * (1 + 0.3 * complex_noise(rng, GROUPS, SIZE, SIDE, SIDE))
    generator = Lookup(torch.view_as_real(torch.from_numpy(patches.astype(np.complex64)).flatten(0, 1)))
    generator.numbers = torch.arange(GROUPS * SIZE)
    plain, asked = (
        module(generator, monkeypatch, objective=objective(**each)).training_step(given, 0).item()
        for each in ({}, settings)
    )
    lights = [(np.abs(PROBES[scan]) ** 2).sum(0) for scan in given.scan_index.tolist()]
    scores = [lit_scores(patches[group, number], lights[group]) for group in range(GROUPS) for number in range(SIZE)]
    added = sum(weight * np.mean([score[name] for score in scores]) for name, weight in wanted.items())
    assert asked - plain == pytest.approx(added, rel=2e-3, abs=1e-6)


def network() -> Generator:
    """A small network that is not at its start any more."""
    torch.manual_seed(0)
    generator = build_network(Experiment(model=ModelSettings(width=4, depth=2)), SIDE)
    for weight in generator.parameters():
        if weight.ndim == 4 and not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return generator


def test_a_group_does_not_know_its_batch(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    given, trained = batch(rng), module(network(), monkeypatch)
    together = trained.training_step(given, 0)
    pixels = [GOOD[scan].sum() for scan in given.scan_index.tolist()]
    alone = [
        trained.training_step(Batch(*(part[number : number + 1] for part in given)), 0).item()
        for number in range(GROUPS)
    ]
    assert together.item() == pytest.approx(np.average(alone, weights=pixels), rel=1e-4)
    patches = trained(given.counts, given.scan_index)
    assert patches.shape == (GROUPS, SIZE, SIDE, SIDE)
    for number in range(GROUPS):
        one = trained(given.counts[number : number + 1], given.scan_index[number : number + 1])
        torch.testing.assert_close(one[0], patches[number], atol=1e-5, rtol=1e-4)


class Listening(Generator):
    """Empty patches; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.amplitude, self.probes, self.good = torch.zeros(0), torch.zeros(0), torch.zeros(0)

    def forward(self, amplitude: Tensor, probes: Tensor, good: Tensor | None = None) -> Tensor:
        """Ones."""
        assert good is not None
        self.amplitude, self.probes, self.good = amplitude, probes, good
        return torch.ones_like(amplitude) + 0j


@pytest.mark.parametrize("background", [None, BACKGROUND], ids=["clean", "background"])
def test_each_pattern_is_shown_with_the_dose_and_probe_of_its_own_scan(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, background: np.ndarray | None
) -> None:
    given, generator = batch(rng), Listening()
    known = None if background is None else torch.from_numpy(background.astype(np.float32))
    module(generator, monkeypatch, background=known)(given.counts, given.scan_index)
    for number in range(GROUPS * SIZE):
        scan = int(given.scan_index[number // SIZE])
        counts = given.counts.flatten(0, 1)[number].numpy()
        if background is not None:
            counts = np.maximum(counts - background[scan], 0)
        shown = generator.amplitude[number].numpy()
        np.testing.assert_allclose(shown, np.sqrt(counts) * SIDE / np.sqrt((900, 1300)[scan]), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(generator.probes[number].numpy(), PROBES[scan].astype(np.complex64))
        np.testing.assert_array_equal(generator.good[number].numpy(), GOOD[scan])


def test_steps_lower_the_loss(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    given, trained = batch(rng), module(network(), monkeypatch)
    optimiser = torch.optim.AdamW(trained.generator.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = trained.training_step(given, 0)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_a_loss_that_is_not_finite_stops_training(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = network()
    for weight in generator.parameters():
        torch.nn.init.constant_(weight, torch.nan)
    with pytest.raises(DivergenceError, match=r"nan at step 0.*learning_rate"):
        module(generator, monkeypatch).training_step(batch(rng), 0)


def rates_of(trained: ReconstructionModule, steps: int) -> list[float]:
    """The learning rate of each step, as an optimiser sees it."""
    found = trained.configure_optimizers()
    optimiser, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    assert found["lr_scheduler"]["interval"] == "step"
    assert {id(weight) for group in optimiser.param_groups for weight in group["params"]} == {
        id(weight) for weight in trained.generator.parameters()
    }
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [("cosine", 0.5 * (0.02 + 1), 0.02), ("exponential", 0.02**0.5, 0.02), ("constant", 1, 1)],
)
def test_the_learning_rate_warms_up_and_falls(
    schedule: Any, middle: float, last: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainingSettings(learning_rate=0.5, schedule=schedule, warmup_steps=4, last_rate=0.02)
    rates = rates_of(module(network(), monkeypatch, settings=settings, main_steps=1004), 1004)
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert max(rates) == pytest.approx(0.5)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[504] == pytest.approx(0.5 * middle)
    assert rates[-1] == pytest.approx(0.5 * last, rel=5e-3)


def test_fine_tuning_continues_at_a_constant_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(learning_rate=0.5, warmup_steps=0, fine_tune_rate=0.3)
    rates = rates_of(module(network(), monkeypatch, settings=settings, main_steps=6), 10)
    assert rates[0] == pytest.approx(0.5)
    assert rates[5] < 0.1
    assert rates[6:] == pytest.approx([0.15] * 4)


def test_the_record_goes_into_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint: dict[str, Any] = {}
    module(network(), monkeypatch, record={"version": 1}).on_save_checkpoint(checkpoint)
    assert checkpoint == {"ptycho_torch": {"version": 1}}
