"""From a scan to an object by the solver alone, with its resolution."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from ptycho_torch.config import RefineSettings, TrainerSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.frc import RingCorrelation, cut_middle, find_middle, ring_correlation
from ptycho_torch.evaluate.live import choose_live
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.runtime.device import find_rank_device
from ptycho_torch.runtime.interrupts import Interrupted, Interrupts
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import Ranks, check_enough, describe_scan, find_ranks, is_launched, join_ranks
from ptycho_torch.runtime.saved_state import SavedState, Saving, Stage
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import choose_method, refine
from ptycho_torch.workflows.display import Shown, ShownObject


@dataclass(frozen=True, eq=False)
class Refinement(Shown):
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

    @property
    def interrupted(self) -> str:
        """Name of the signal that ended the run before it was complete; empty if it was not interrupted."""
        return self.solution.interrupted

    @property
    def shown_objects(self) -> list[ShownObject]:
        """The object with its figures."""
        return [ShownObject("refined", self.solution.canvas, self.metrics)]


def refine_scan(
    scan: Scan,
    settings: RefineSettings | None = None,
    *,
    device: str = "auto",
    halves: bool = False,
    trainer: TrainerSettings | None = None,
    progress: Progress | None = None,
    saving: Saving | None = None,
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
        saving: where to save what was found so far, and whether to go on from there. SIGINT and SIGTERM then end the
            run with the best solution so far, which says so.

    Raises:
        CheckpointError: the saved state is damaged, or that of another run.
        Interrupted: a signal ended the run before anything was found.
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
        return launch(ranks, refine_scan, scan, settings, answers_signals=saving is not None, **options, saving=saving)
    interrupts = Interrupts()
    with (
        join_ranks(ranks, {"settings": settings, "halves": halves, "scan": describe_scan(scan)}),
        interrupts.catch(ranks) if saving else nullcontext(),
    ):
        state = SavedState(saving, describe_refinement(scan, settings), ranks, interrupts)
        return _refine(scan, settings, place, ranks, progress, state, halves=halves)


def describe_refinement(scan: Scan, settings: RefineSettings) -> dict[str, object]:
    """Describe what a saved state must have in common with the run that goes on from it."""
    values = {f"RefineSettings.{name}": value for name, value in settings.to_dict().items()}
    return {"the command": "refine", "the scan": describe_scan(scan), **values}


def _refine(
    given: Scan,
    settings: RefineSettings,
    place: torch.device,
    ranks: Ranks,
    progress: Progress | None,
    state: SavedState,
    *,
    halves: bool,
) -> Refinement:
    whole, show = state.stage.part("whole"), choose_live(given, state.saving, ranks)
    solution = refine(given, settings, device=place, ranks=ranks, progress=progress, stage=whole, show=show)
    scan = solution.scan or given
    metrics = {"seconds": state.seconds}
    metrics |= evaluate(scan, solution.canvas, solution.probe, device=place, ranks=ranks, held_out=settings)
    verdict = judge(scan, solution.probe, Residual(metrics["R"], metrics["R_floor"]), None, ranks)
    metrics |= verdict.figures
    resolution, parted = None, tuple[Canvas, ...]()
    if halves and not solution.interrupted:
        try:
            parted = _refine_halves(scan, settings, place, ranks, state.stage)
            resolution = ring_correlation(*(cut_middle(scan.positions_px, half) for half in parted))
            metrics["frc_half_bit_nyquist"] = resolution.crossing
        except Interrupted as interruption:
            name = interruption.signal_name
            remark = f"interrupted by {name} before both halves were reconstructed"
            solution = replace(solution, interrupted=name, remarks=(*solution.remarks, remark))
    return Refinement(given, solution, metrics, verdict, resolution, parted)


def _refine_halves(
    scan: Scan, settings: RefineSettings, place: torch.device, ranks: Ranks, stage: Stage
) -> tuple[Canvas, ...]:
    """Reconstruct two random halves of a scan.

    Raises:
        Interrupted: a signal ended the run before both were reconstructed.
    """
    order = np.random.default_rng(settings.seed).permutation(len(scan))
    parts = [scan.take(np.sort(order[start::2])) for start in (0, 1)]
    alone = replace(
        settings,
        refine_positions="given",
        refine_background="given",
        detector_centre=False,
        probe_guess="given",
    )
    found = []
    for number, part in enumerate(parts):
        half = refine(part, alone, device=place, ranks=ranks, stage=stage.part(f"half {number}"))
        if half.interrupted:
            raise Interrupted(half.interrupted)
        found.append(half.canvas)
    return tuple(found)
