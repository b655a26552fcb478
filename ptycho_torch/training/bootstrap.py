"""Probes for training: the network needs accurate ones, which files rarely contain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.scan_model import calibrate_start_probe
from ptycho_torch.solve.solve import refine


def bootstrap_probes(
    scans: Sequence[Scan],
    experiment: Experiment,
    device: torch.device,
    progress: Stages | None = None,
    ranks: Ranks = ALONE,
) -> list[NDArray[np.complex64]]:
    """Refine each scan's probe for `bootstrap_epochs` epochs of the solver; with 0, only calibrate its power.

    The solver's object is not used: the network learns from the patterns alone.

    Raises:
        DataError: a scan has no probe.
    """
    epochs, probes = experiment.training.bootstrap_epochs, []
    for scan in scans:
        if epochs:
            stage = progress(f"probe of {scan.name}", epochs, "epoch") if progress else None
            # nothing is judged here, so that all pixels serve the probe
            settings = replace(experiment.refine, epochs=epochs, held_out=0.0)
            probes.append(refine(scan, settings, device=device, ranks=ranks, progress=stage).probe)
        else:
            probes.append(calibrate_start_probe(scan, None, experiment.refine.probe_modes))
    return probes
