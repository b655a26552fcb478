"""What the processes of a test compute together; found by its name in each of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ptycho_torch.config import (
    Experiment,
    InferenceSettings,
    ModelSettings,
    RefineSettings,
    TrainerSettings,
    TrainingSettings,
)
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import RankError
from ptycho_torch.runtime.ranks import LAUNCH_VARIABLE, check_same, find_ranks, join_ranks
from ptycho_torch.workflows.reconstruction import reconstruct_scan
from ptycho_torch.workflows.refinement import refine_scan
from ptycho_torch.workflows.training import train_network

# Adam enlarges differences of the last bits in later steps, as between numbers of threads
ONE_STEP = RefineSettings(method="poisson", epochs=1, batches=1, probe_start=0)
LEAST_SQUARES = RefineSettings(method="least_squares", epochs=3, batches=4, probe_modes=2)


def make_experiment(steps: int = 5, **trainer: Any) -> Experiment:
    """A small training with three groups a batch, which neither 2 nor 4 processes divide evenly."""
    return Experiment(
        model=ModelSettings(width=8, depth=2),
        training=TrainingSettings(
            steps=steps,
            group_size=4,
            batch_size=3,
            bootstrap_epochs=1,
            warmup_steps=2,
            schedule="constant",
            total_variation=0.01,
            validation_share=0.2,
        ),
        refine=RefineSettings(method="least_squares"),
        trainer=TrainerSettings(**trainer),
    )


def read_weights(checkpoint: Path) -> dict[str, Any]:
    weights: dict[str, Any] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return {name: value.numpy() for name, value in weights.items()}


def compute(scans: list[Scan], folder: Path) -> dict[str, Any]:
    """Train on two scans, refine one of them and reconstruct it with the network."""
    size = int(os.environ.get(LAUNCH_VARIABLE, "0 1").split()[1])
    trainer = TrainerSettings(devices=size)
    ranks = find_ranks(trainer)
    with join_ranks(ranks, {}):
        trained = train_network(scans, folder / "trained", make_experiment(devices=size), device="cpu", track=False)
        refined = refine_scan(scans[0], LEAST_SQUARES, device="cpu", trainer=trainer)
        poisson = refine_scan(scans[0], ONE_STEP, device="cpu", trainer=trainer)
        found = reconstruct_scan(
            trained.last,
            scans[0],
            inference=InferenceSettings(batch_size=8),
            polish=LEAST_SQUARES,
            device="cpu",
            trainer=trainer,
        )
        try:
            check_same(ranks, {"training.batch_size": ranks.rank + 1})
            difference = ""
        except RankError as error:
            difference = str(error)
    judged = ("network", "flat_polish")
    figures = {f"{name} {key}": value for name in judged for key, value in found.metrics[name].items()}
    return {
        "weights": read_weights(trained.last),
        "validation_loss": trained.validation_loss,
        "refined": refined.solution.canvas.pixels,
        "probe": refined.solution.probe,
        "errors": np.array(refined.solution.errors),
        "free_errors": np.array(refined.solution.free_errors),
        "R": [refined.metrics["R"], refined.metrics["R_free"]],
        "unexplained": refined.verdict.figures["unexplained_share"],
        "poisson": poisson.solution.canvas.pixels,
        "predicted": found.prediction.canvas.pixels,
        "spread": found.prediction.spread,
        "polished": found.canvas.pixels,
        "figures": figures,
        "difference": difference,
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }


def lose_one(lost: int) -> None:
    """One process is killed while the others wait for it."""
    ranks = find_ranks(TrainerSettings(devices=2))
    with join_ranks(ranks, {}):
        if ranks.rank == lost:
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.gather(0)


def fail_alone() -> None:
    """One process meets an error that it can explain while the others wait for it."""
    ranks = find_ranks(TrainerSettings(devices=2))
    with join_ranks(ranks, {}):
        if ranks.rank == 1:
            raise RankError("process 1 has its reasons")
        ranks.gather(0)


def wait_long(folder: Path) -> None:
    """Write the number of this process and wait for a signal that ends it."""
    ranks = find_ranks(TrainerSettings(devices=2))
    with join_ranks(ranks, {}):
        (folder / f"{ranks.rank}.pid").write_text(str(os.getpid()))
        ranks.gather(0)
        time.sleep(600)
