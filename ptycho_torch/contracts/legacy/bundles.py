"""Bundles with the flat parameters that legacy code reads, under the names of the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np

from ptycho_torch.contracts.legacy.from_experiment import legacy_params
from ptycho_torch.contracts.legacy.parameters import restored
from ptycho_torch.errors import explain_missing_torch
from ptycho_torch.models.archive import open_bundle

with explain_missing_torch():
    from ptycho_torch.models.bundle import build_bundled
    from ptycho_torch.models.bundle import save_bundle as save_torch_bundle
    from ptycho_torch.models.checkpoint import TrainedNetwork
    from ptycho_torch.training.fit import TrainingResult
    from ptycho_torch.workflows import training

__all__ = ["flat_parameters", "load_torch_bundle", "save_torch_bundle", "train_network"]

P = ParamSpec("P")


def load_torch_bundle(path: Path | str) -> tuple[TrainedNetwork, dict[str, Any]]:
    """Read a trained network, on any machine, and restore the flat parameters first (CONFIG-001).

    Args:
        path: the file, or the folder that holds `wts.h5.zip`.

    Returns:
        The network and the flat parameters.

    Raises:
        BundleError: it cannot be used; the flat parameters are then what they were.
    """
    bundle = open_bundle(path)
    with restored(bundle.params):
        trained = build_bundled(bundle, path)
    return trained, dict(bundle.params)


def flat_parameters(trained: TrainedNetwork, folder: Path, inputs: Sequence[Path]) -> dict[str, Any]:
    """The flat parameters that a training amounts to.

    Args:
        trained: the network.
        folder: where the results are.
        inputs: the files of the scans; several go by the name of their folder.
    """
    source = None if not inputs else str(inputs[0] if len(inputs) == 1 else inputs[0].parent)
    photons = float(np.mean(trained.photons))
    return legacy_params(trained.experiment, trained.patch_px, photons, source, str(folder))


def _with_flat_parameters(train: Callable[P, TrainingResult]) -> Callable[P, TrainingResult]:
    @functools.wraps(train)
    def training_for_legacy_code(*arguments: P.args, **options: P.kwargs) -> TrainingResult:
        options.setdefault("params", flat_parameters)
        return train(*arguments, **options)

    return training_for_legacy_code


# the function of the workflow, whose bundle tells legacy code the flat parameters unless others are given
train_network = _with_flat_parameters(training.train_network)
