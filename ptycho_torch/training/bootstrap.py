"""Probes to train with: the network needs the true illumination, files rarely hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.solve.scan_model import starting_probe
from ptycho_torch.solve.solve import refine


def bootstrap_probes(
    scans: Sequence[Scan],
    experiment: Experiment,
    device: torch.device,
    progress: Stages | None = None,
) -> list[NDArray[np.complex64]]:
    """Refine each scan's probe with the physics solver for a few epochs; with none, only calibrate its power.

    The object found on the way is not used: the network learns from the patterns alone.

    Raises:
        DataError: a scan has no probe to start from.
    """
    epochs = experiment.training.bootstrap_epochs
    probes = []
    for scan in scans:
        if epochs:
            settings = replace(experiment.refine, epochs=epochs)
            found = refine(
                scan,
                settings,
                device=device,
                progress=progress(f"probe of {scan.name}", epochs, "epoch") if progress else None,
            )
            probes.append(found.probe)
        else:
            probes.append(starting_probe(scan, None, experiment.refine.probe_modes))
    return probes
