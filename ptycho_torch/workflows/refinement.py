"""From a scan to an object by the solver alone, with its resolution."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from ptycho_torch.config import RefineSettings, TrainerSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.frc import RingCorrelation, cut_middle, find_middle, ring_correlation
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.runtime.device import find_rank_device
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import Ranks, check_enough, describe_scan, find_ranks, is_launched, join_ranks
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import choose_method, refine


@dataclass(frozen=True, eq=False)
class Refinement:
    """A scan with its reconstruction.

    Attributes:
        scan: the scan as it was given; `solution.scan` is the corrected one, if anything was corrected.
        solution: object, probe and R by epoch.
        metrics: figures of merit by name.
        verdict: whether to trust the result.
        resolution: Fourier ring correlation of the two halves of the scan, if requested.
        halves: the objects of the two halves, if requested.
    """

    scan: Scan
    solution: Solution
    metrics: dict[str, float]
    verdict: Verdict
    resolution: RingCorrelation | None
    halves: tuple[Canvas, ...] = ()


def refine_scan(
    scan: Scan,
    settings: RefineSettings | None = None,
    *,
    device: str = "auto",
    halves: bool = False,
    trainer: TrainerSettings | None = None,
    progress: Progress | None = None,
) -> Refinement:
    """Reconstruct a scan from a flat object and its own probe, or one found from the patterns if it has none.

    Args:
        scan: the scan.
        settings: solver, epochs, probe update.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        halves: whether to also reconstruct two random halves of the scan and correlate them, which doubles the time.
        trainer: its accelerator, devices and nodes; several processes share the patterns, as in `train_network`, and
            return the same result.
        progress: called after each epoch of the whole scan.

    Raises:
        ConfigError: the device does not exist, or there are fewer patterns than processes.
        DataError: halves are requested and the positions span too few pixels to correlate them.
        RankError: a process was lost, or differs from the others.
    """
    settings, trainer = settings or RefineSettings(), trainer or TrainerSettings()
    ranks = find_ranks(trainer)
    place = find_rank_device(device, trainer, ranks)
    check_enough(ranks, len(scan) // 2 if halves else len(scan), "patterns")
    if halves:
        find_middle(scan.positions_px)
    if scan.probe is not None and not is_launched():
        replace(settings, method=choose_method(settings, scan)).warn_unused()
    if not ranks.started:
        options = {"device": device, "halves": halves, "trainer": trainer, "progress": progress}
        return launch(ranks, refine_scan, scan, settings, **options)
    with join_ranks(ranks, {"settings": settings, "halves": halves, "scan": describe_scan(scan)}):
        return _refine(scan, settings, place, ranks, progress, halves=halves)


def _refine(
    given: Scan,
    settings: RefineSettings,
    place: torch.device,
    ranks: Ranks,
    progress: Progress | None,
    *,
    halves: bool,
) -> Refinement:
    started = time.perf_counter()
    solution = refine(given, settings, device=place, ranks=ranks, progress=progress)
    scan = solution.scan or given
    metrics = {"seconds": time.perf_counter() - started}
    metrics |= evaluate(scan, solution.canvas, solution.probe, device=place, ranks=ranks, held_out=settings)
    verdict = judge(scan, solution.probe, Residual(metrics["R"], metrics["R_floor"]), None, ranks)
    metrics |= verdict.figures
    resolution, parted = None, tuple[Canvas, ...]()
    if halves:
        order = np.random.default_rng(settings.seed).permutation(len(scan))
        parts = [scan.take(np.sort(order[start::2])) for start in (0, 1)]
        alone = replace(
            settings,
            refine_positions="given",
            refine_background="given",
            detector_centre=False,
            probe_guess="given",
        )
        parted = tuple(refine(part, alone, device=place, ranks=ranks).canvas for part in parts)
        resolution = ring_correlation(*(cut_middle(scan.positions_px, half) for half in parted))
        metrics["frc_half_bit_nyquist"] = resolution.crossing
    return Refinement(given, solution, metrics, verdict, resolution, parted)
