from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_physics import Real, Wave, patterns
from numpy_samples import LOPSIDED, compact_probe, complex_noise

from ptycho_torch.data.canvas import Frame
from ptycho_torch.physics.forward import expect_counts, propagate_patches
from ptycho_torch.physics.patches import gather, index_patches
from ptycho_torch.physics.probe import shift_probe
from ptycho_torch.physics.propagate import sum_intensities

POSITIONS = np.array([[17.3, 20.8], [18.5, 19.5], [22.0, 17.0], [25.49, 24.51], [16.1, 28.9]])


def counted(specimen: Wave, probe: Wave, positions: Real, real: torch.dtype = torch.float64) -> torch.Tensor:
    """Expected counts by the package for an object whose pixel [0, 0] lies at position (0, 0)."""
    side = probe.shape[-1]
    frame = Frame(positions, side)
    corners = torch.from_numpy(frame.corners_px + np.array(frame.origin_px, np.int64))
    canvas = torch.from_numpy(specimen).to(real.to_complex())
    patches = gather(canvas, index_patches(corners, side, canvas.shape[1]), side)
    shifts = torch.from_numpy(positions - frame.centres_px).to(real)
    return expect_counts(patches, shift_probe(torch.from_numpy(probe).to(real.to_complex()), shifts))


@pytest.mark.parametrize(("real", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_counts_agree_with_written_out_sums(rng: np.random.Generator, real: torch.dtype, tolerance: float) -> None:
    specimen, probe = complex_noise(rng, 45, 45), complex_noise(rng, 2, 24, 24)
    wanted = patterns(specimen, probe, POSITIONS)
    found = counted(specimen, probe, POSITIONS, real)
    assert found.dtype == real
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance * wanted.max())


def test_counts_agree_with_a_specimen_known_between_the_pixels() -> None:
    probe = compact_probe(24, modes=2, photons=1e4)
    wanted = np.array([LOPSIDED.pattern(probe, position) for position in POSITIONS])
    found = counted(LOPSIDED.pixels(48, 48), probe, POSITIONS)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5 * wanted.max())


def test_empty_space_keeps_every_photon() -> None:
    probe = compact_probe(24, modes=3, photons=1234.0)
    found = counted(np.ones((48, 48), complex), probe, POSITIONS)
    np.testing.assert_allclose(found.sum(dim=(1, 2)).numpy(), 1234.0, rtol=1e-6)


def test_modes_do_not_interfere(rng: np.random.Generator) -> None:
    specimen, probe = complex_noise(rng, 45, 45), complex_noise(rng, 3, 24, 24)
    together = counted(specimen, probe, POSITIONS)
    alone = sum(counted(specimen, probe[number : number + 1], POSITIONS) for number in range(3))
    assert isinstance(alone, torch.Tensor)
    torch.testing.assert_close(together, alone)
    turned = probe * np.exp(1j * np.array([0.4, 2.0, -1.1]))[:, None, None]
    torch.testing.assert_close(counted(specimen, turned, POSITIONS), together)


def test_an_overall_phase_is_not_seen(rng: np.random.Generator) -> None:
    specimen, probe = complex_noise(rng, 45, 45), complex_noise(rng, 1, 24, 24)
    torch.testing.assert_close(
        counted(specimen * np.exp(0.7j), probe, POSITIONS), counted(specimen, probe * np.exp(2j), POSITIONS)
    )


def test_moving_object_and_positions_together_changes_nothing(rng: np.random.Generator) -> None:
    specimen, probe = complex_noise(rng, 45, 45), complex_noise(rng, 1, 24, 24)
    moved, positions = np.pad(specimen, ((3, 0), (5, 0))), POSITIONS[[0, 2, 4]]
    torch.testing.assert_close(counted(moved, probe, positions + np.array([3, 5])), counted(specimen, probe, positions))


def test_a_whole_pixel_may_be_moved_from_the_cut_to_the_probe() -> None:
    specimen = torch.from_numpy(LOPSIDED.pixels(48, 48))
    probe = torch.from_numpy(compact_probe(24, photons=1e4))
    corners, rest = torch.tensor([[8, 9]]), torch.tensor([[0.2, -0.3]], dtype=torch.float64)
    step = torch.tensor([[1, -1]])

    def seen(corner: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return expect_counts(gather(specimen, index_patches(corner, 24, 48), 24), shift_probe(probe, shift))

    torch.testing.assert_close(seen(corners + step, rest), seen(corners, rest + step), atol=1e-3, rtol=1e-5)


def test_a_pattern_does_not_know_its_batch(rng: np.random.Generator) -> None:
    specimen, probe = complex_noise(rng, 45, 45), complex_noise(rng, 3, 24, 24)
    together = counted(specimen, probe, POSITIONS)
    for number in range(len(POSITIONS)):
        alone = counted(specimen, probe, POSITIONS[number : number + 1])
        torch.testing.assert_close(alone[0], together[number])


def test_gradients_are_exact(rng: np.random.Generator) -> None:
    patches = torch.from_numpy(complex_noise(rng, 2, 6, 6)).requires_grad_()
    probes = torch.from_numpy(complex_noise(rng, 2, 2, 6, 6)).requires_grad_()
    assert torch.autograd.gradcheck(expect_counts, (patches, probes))


def test_counts_are_those_of_the_waves(rng: np.random.Generator) -> None:
    patches, probes = (torch.from_numpy(complex_noise(rng, *shape)) for shape in ((2, 8, 8), (2, 3, 8, 8)))
    waves = propagate_patches(patches, probes)
    assert waves.shape == (2, 3, 8, 8)
    torch.testing.assert_close(sum_intensities(waves), expect_counts(patches, probes))
