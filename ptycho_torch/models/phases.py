"""One phase for each predicted patch, so that patches agree where they overlap.

A pattern leaves the overall phase of its patch open, and patches that are right up to that phase weaken each other in a
merge. With A_kl = Σ w_k w_l O_k* O_l over the pixels that patches k and l share, the turns z of size 1 are sought that
maximise Σ z_k* A_kl z_l, by the power method with every value brought back to size 1 (phase synchronisation:
S. Marchesini, Y.-C. Tu, H.-T. Wu, Applied and Computational Harmonic Analysis 41, 815 (2016)). It starts from the
phases as they are, which keeps what a network knows of the long range, and again from each patch turned to its
neighbours outwards from one pattern, which needs no such knowledge; the better agreement is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

_ITERATIONS = 100
_LIT_SHARE = 0.05


def measure_overlaps(
    patches: Callable[[int], Tensor],
    batches: Sequence[NDArray[np.int64]],
    pairs: NDArray[np.int64],
    corners_px: NDArray[np.int64],
    weight: Tensor,
) -> NDArray[np.complex128]:
    """A_kl of pairs of patches, holding only those whose pairs are not complete yet.

    Args:
        patches: makes the (pattern, h, w) complex patches of the batch of a number.
        batches: which patterns each batch is of; batches of neighbouring patterns keep memory small.
        pairs: (pair, 2) patterns k and l.
        corners_px: (pattern, 2) canvas pixel under pixel [0, 0] of each patch.
        weight: (h, w) weight of a patch's pixels.
    """
    turn = np.empty(len(corners_px), np.int64)
    for number, batch in enumerate(batches):
        turn[batch] = number
    complete = turn[pairs].max(axis=1)
    last = turn.copy()
    np.maximum.at(last, pairs.ravel(), complete.repeat(2))
    slot = np.zeros(len(corners_px), np.int64)
    held, members = torch.zeros((0, *weight.shape), dtype=torch.complex64, device=weight.device), np.zeros(0, np.int64)
    result = np.zeros(len(pairs), np.complex128)
    for number, batch in enumerate(batches):
        held, members = torch.cat([held, patches(number)]), np.concatenate([members, batch])
        slot[members] = np.arange(len(members))
        ready = np.flatnonzero(complete == number)
        first, second = pairs[ready].T
        offsets = torch.from_numpy(corners_px[second] - corners_px[first]).to(held.device)
        slots = torch.from_numpy(slot[pairs[ready]]).to(held.device)
        result[ready] = _overlap(held, slots, offsets, weight).cpu().numpy()
        open_yet = last[members] > number
        held, members = held[torch.from_numpy(open_yet).to(held.device)], members[open_yet]
    return result


def _overlap(held: Tensor, slots: Tensor, offsets_px: Tensor, weight: Tensor) -> Tensor:
    """Σ w_k w_l O_k* O_l over the well-lit pixels of O_k; `offsets_px` (pair, 2) lead from patch k to patch l.

    `slots` (pair, 2) say which of the patches held they are.
    """
    side = weight.shape[-1]
    lit = torch.nonzero(weight > _LIT_SHARE * weight.max())
    there = lit - offsets_px[:, None]
    inside = ((there >= 0) & (there < side)).all(-1)
    here, there = lit @ lit.new_tensor([side, 1]), there.clamp(0, side - 1) @ lit.new_tensor([side, 1])
    flat, weights = held.flatten(1), (weight / weight.max()).flatten()
    shared = weights[here] * weights[there] * inside
    return (shared * flat[slots[:, :1], here].conj() * flat[slots[:, 1:], there]).sum(1)


def synchronise(pairs: NDArray[np.int64], overlaps: NDArray[np.complex128], patterns: int) -> NDArray[np.complex64]:
    """The turns z, (pattern,) of size 1, that make patches agree; on average none, in each connected part of a scan.

    Args:
        pairs: (pair, 2) patterns k and l, each pair once.
        overlaps: A_kl of each pair.
        patterns: how many patterns there are.
    """
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    matrix = csr_array((np.concatenate([overlaps, overlaps.conj()]), (rows, columns)), (patterns, patterns))
    matrix.eliminate_zeros()
    starts = (np.ones(patterns, np.complex128), _outwards(matrix))
    turns = max((_agreed(matrix, start) for start in starts), key=lambda found: _agreement(matrix, found))
    part = connected_components(abs(matrix), directed=False)[1]
    mean = np.bincount(part, turns.real) + 1j * np.bincount(part, turns.imag)
    return (turns * _unit(mean).conj()[part]).astype(np.complex64)


def _agreed(matrix: csr_array, turns: NDArray[np.complex128]) -> NDArray[np.complex128]:
    # as much of each patch itself as of its neighbours, so that no step leads down
    steady = matrix + diags_array(abs(matrix).sum(axis=1))
    for _ in range(_ITERATIONS):
        turns = _unit(np.asarray(steady @ turns))
    return turns


def _agreement(matrix: csr_array, turns: NDArray[np.complex128]) -> float:
    return float(np.vdot(turns, np.asarray(matrix @ turns)).real)


def _outwards(matrix: csr_array) -> NDArray[np.complex128]:
    """Turns found pattern by pattern from the first of each connected part, breadth first."""
    turns = np.zeros(matrix.shape[0], np.complex128)
    for start in range(len(turns)):
        waiting = deque([start])
        while waiting:
            pattern = waiting.popleft()
            if turns[pattern] == 0:
                row = slice(*matrix.indptr[pattern : pattern + 2])
                turns[pattern] = _unit(matrix.data[row] @ turns[matrix.indices[row]])
                waiting.extend(matrix.indices[row])
    return turns


def _unit(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The values brought to size 1; 1 where they are 0."""
    size = np.abs(values)
    return np.where(size > 0, values / np.where(size > 0, size, 1), 1)
