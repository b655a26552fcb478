"""Bundles with the legacy parameters, under the names of the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np

from ptycho_torch.contracts.legacy.parameters import restore_unless_failed
from ptycho_torch.contracts.legacy.translation import to_legacy_parameters
from ptycho_torch.errors import explain_missing_torch
from ptycho_torch.models.archive import open_bundle

with explain_missing_torch():
    from ptycho_torch.models.bundle import build_bundled
    from ptycho_torch.models.bundle import save_bundle as save_torch_bundle
    from ptycho_torch.models.checkpoint import TrainedNetwork
    from ptycho_torch.training.fit import TrainingResult
    from ptycho_torch.workflows import training

__all__ = ["load_torch_bundle", "save_torch_bundle", "train_network"]

P = ParamSpec("P")


def load_torch_bundle(path: Path | str) -> tuple[TrainedNetwork, dict[str, Any]]:
    """Read a trained network, on any machine, after restoring the legacy parameters (CONFIG-001).

    Args:
        path: the file, or the folder with `wts.h5.zip`.

    Returns:
        The network and the legacy parameters.

    Raises:
        BundleError: it does not exist or is unusable; the legacy parameters then remain unchanged.
    """
    bundle = open_bundle(path)
    with restore_unless_failed(bundle.params):
        trained = build_bundled(bundle, path)
    return trained, dict(bundle.params)


def _describe(trained: TrainedNetwork, folder: Path, inputs: Sequence[Path]) -> dict[str, Any]:
    """The legacy parameters that describe a training; the files of several scans are represented by their folder."""
    source = None if not inputs else str(inputs[0] if len(inputs) == 1 else inputs[0].parent)
    photons = float(np.mean(trained.photons))
    return to_legacy_parameters(trained.experiment, trained.patch_px, photons, source, str(folder))


def _add_parameters(train: Callable[P, TrainingResult]) -> Callable[P, TrainingResult]:
    @functools.wraps(train)
    def train_for_legacy_code(*arguments: P.args, **options: P.kwargs) -> TrainingResult:
        options.setdefault("params", _describe)
        return train(*arguments, **options)

    return train_for_legacy_code


# the function of the workflow; its bundle contains the legacy parameters of the training unless others are given
train_network = _add_parameters(training.train_network)
