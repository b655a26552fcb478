"""One phase factor for each predicted patch, so that patches agree where they overlap.

A pattern does not determine the mean phase of its patch, and patches with different mean phases cancel each other in a
merge. With A_kl = Σ w_k w_l O_k* O_l over the pixels that patches k and l share, the factors z of modulus 1 are sought
that maximise Σ z_k* A_kl z_l, by the power method with every value normalised to modulus 1 (phase synchronisation:
S. Marchesini, Y.-C. Tu, H.-T. Wu, Applied and Computational Harmonic Analysis 41, 815 (2016)). It is run twice: from
factors of 1, which is right if the network predicts long-range phases, and from factors found patch by patch outwards
from one pattern, which does not depend on them; the result with the better agreement is returned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ptycho_torch.runtime.saved_state import UNSAVED, Stage, Values

_ITERATIONS = 100
_LIT_SHARE = 0.05


def measure_overlaps(
    patches: Callable[[int], Tensor],
    batches: Sequence[NDArray[np.int64]],
    pairs: NDArray[np.int64],
    corners_px: NDArray[np.int64],
    weight: Tensor,
    stage: Stage = UNSAVED,
) -> NDArray[np.complex128]:
    """Measure A_kl of pairs of patches, keeping only patches whose pairs are incomplete.

    Args:
        patches: function of a batch's number that returns its complex patches, (pattern, h, w).
        batches: patterns of each batch; batches of neighbouring patterns take the least memory.
        pairs: (pair, 2) patterns k and l.
        corners_px: (pattern, 2) canvas pixel under pixel [0, 0] of each patch.
        weight: (h, w) weight of a patch's pixels.
        stage: where the pairs of complete batches are saved, and from which the next batch goes on.
    """
    batch_of = np.empty(len(corners_px), np.int64)
    for number, batch in enumerate(batches):
        batch_of[batch] = number
    complete = batch_of[pairs].max(axis=1)
    last = batch_of.copy()
    np.maximum.at(last, pairs.ravel(), complete.repeat(2))
    slot = np.zeros(len(corners_px), np.int64)
    held, members = torch.zeros((0, *weight.shape), dtype=torch.complex64, device=weight.device), np.zeros(0, np.int64)
    result = np.zeros(len(pairs), np.complex128)
    start = stage.load(lambda values: _restore(values, result)) or 0
    for number, batch in enumerate(batches):
        if number < start and (last[batch] < start).all():
            continue
        held, members = torch.cat([held, patches(number)]), np.concatenate([members, batch])
        if number < start:
            continue
        slot[members] = np.arange(len(members))
        ready = np.flatnonzero(complete == number)
        first, second = pairs[ready].T
        offsets = torch.from_numpy(corners_px[second] - corners_px[first]).to(held.device)
        slots = torch.from_numpy(slot[pairs[ready]]).to(held.device)
        result[ready] = _sum_overlaps(held, slots, offsets, weight).cpu().numpy()
        needed = last[members] > number
        held, members = held[torch.from_numpy(needed).to(held.device)], members[needed]
        stage.reach(partial(dict, batches=number + 1, overlaps=torch.from_numpy(result)))
    return result


def _restore(values: Values, overlaps: NDArray[np.complex128]) -> int:
    """Fill in the overlaps that were saved; returns the number of complete batches."""
    overlaps[:] = values["overlaps"].numpy()
    return int(values["batches"])


def _sum_overlaps(held: Tensor, slots: Tensor, offsets_px: Tensor, weight: Tensor) -> Tensor:
    """Sum w_k w_l O_k* O_l over the well illuminated pixels of O_k.

    `slots` (pair, 2) are the places of k and l in `held`, `offsets_px` (pair, 2) lead from patch k to patch l.
    """
    side = weight.shape[-1]
    pixels = torch.nonzero(weight > _LIT_SHARE * weight.max())
    in_other = pixels - offsets_px[:, None]
    inside = ((in_other >= 0) & (in_other < side)).all(-1)
    # sums, since integer tensors have no matrix product on GPUs
    strides = pixels.new_tensor([side, 1])
    first, second = (pixels * strides).sum(-1), (in_other.clamp(0, side - 1) * strides).sum(-1)
    flat, weights = held.flatten(1), (weight / weight.max()).flatten()
    shared = weights[first] * weights[second] * inside
    return (shared * flat[slots[:, :1], first].conj() * flat[slots[:, 1:], second]).sum(1)


def synchronise(pairs: NDArray[np.int64], overlaps: NDArray[np.complex128], patterns: int) -> NDArray[np.complex64]:
    """Find the factors z, (pattern,), that make patches agree; their mean phase is 0 in each connected part of a scan.

    Args:
        pairs: (pair, 2) patterns k and l, each pair once.
        overlaps: A_kl of each pair.
        patterns: number of patterns.
    """
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    matrix = csr_array((np.concatenate([overlaps, overlaps.conj()]), (rows, columns)), (patterns, patterns))
    matrix.eliminate_zeros()
    # the diagonal gives a patch the weight of its neighbours, so that no iteration lowers the agreement
    damped = matrix + diags_array(abs(matrix).sum(axis=1))
    best, agreement = np.ones(patterns, np.complex128), -np.inf
    for factors in (best, _find_factors_outwards(matrix)):
        for _ in range(_ITERATIONS):
            factors = _normalise(np.asarray(damped @ factors))
        found = float(np.vdot(factors, np.asarray(matrix @ factors)).real)
        if found > agreement:
            best, agreement = factors, found
    part = connected_components(abs(matrix), directed=False)[1]
    mean = np.bincount(part, best.real) + 1j * np.bincount(part, best.imag)
    return (best * _normalise(mean).conj()[part]).astype(np.complex64)


def _find_factors_outwards(matrix: csr_array) -> NDArray[np.complex128]:
    """Find factors pattern by pattern, breadth first from the first pattern of each connected part."""
    factors = np.zeros(matrix.shape[0], np.complex128)
    for start in range(len(factors)):
        waiting = deque([start])
        while waiting:
            pattern = waiting.popleft()
            if factors[pattern] == 0:
                row = slice(*matrix.indptr[pattern : pattern + 2])
                factors[pattern] = _normalise(matrix.data[row] @ factors[matrix.indices[row]])
                waiting.extend(matrix.indices[row])
    return factors


def _normalise(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Divide values by their modulus; 0 becomes 1."""
    modulus = np.abs(values)
    return np.where(modulus > 0, values / np.where(modulus > 0, modulus, 1), 1)
