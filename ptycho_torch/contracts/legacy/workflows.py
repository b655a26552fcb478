"""The workflow entry points of the contract, and bundles with the legacy parameters.

Each entry point writes or restores the legacy parameters before it touches data or a model (CONFIG-001).
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.contracts.legacy.container import ensure_container, to_scan
from ptycho_torch.contracts.legacy.parameters import (
    LegacyTraining,
    cfg,
    flatten,
    forget_files,
    restore_unless_failed,
    update_legacy_dict,
)
from ptycho_torch.contracts.legacy.translation import to_experiment, to_legacy_parameters
from ptycho_torch.errors import explain_missing_torch
from ptycho_torch.migrations.losses import read_losses
from ptycho_torch.models.archive import locate_bundle, open_bundle

with explain_missing_torch():
    from ptycho_torch.export import write
    from ptycho_torch.models.bundle import build_bundled
    from ptycho_torch.models.bundle import save_bundle as save_torch_bundle
    from ptycho_torch.models.checkpoint import TrainedNetwork
    from ptycho_torch.training.fit import TrainingResult
    from ptycho_torch.workflows import training
    from ptycho_torch.workflows.reconstruction import reconstruct_scan

__all__ = ["load_torch_bundle", "run_cdi_example_torch", "save_torch_bundle", "train_cdi_model_torch", "train_network"]

# columns of the log of losses, for each name of the history
_HISTORY = {"train_loss": "train_loss_epoch", "val_loss": "val_loss"}


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


# the contract has two names for it
load_inference_bundle_torch = load_torch_bundle


@functools.wraps(training.train_network)
def train_network(*arguments: Any, **options: Any) -> TrainingResult:  # noqa: ANN401 - those of the wrapped function
    """Train; the bundle contains the legacy parameters of the training unless others are given."""
    return training.train_network(*arguments, **{"params": to_legacy_parameters, **options})


@functools.wraps(write.export_network)
def export_network(*arguments: Any, **options: Any) -> Path:  # noqa: ANN401 - those of the wrapped function
    """Export; the bundle contains the legacy parameters of the training unless others are given."""
    return write.export_network(*arguments, **{"params": to_legacy_parameters, **options})


def run_cdi_example_torch(
    train_data: object,
    test_data: object,
    config: LegacyTraining,
    *,
    do_stitching: bool = False,
    device: str = "auto",
) -> tuple[Any, Any, dict[str, Any]]:
    """Train and, if asked for, reconstruct the object of the test data, or of the training data without any.

    Args:
        train_data: RawDataTorch, an object with its attributes, PtychoDataContainerTorch, Scan, or a path; None for the
            `train_data_file` of the configuration.
        test_data: likewise, and None for the `test_data_file`, if any.
        config: canonical parameters; results go to its `output_dir`, a new or empty folder. `n_groups` and
            `n_subsample` apply to the training; test data are taken whole.
        do_stitching: reconstruct as well.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        Amplitude and phase of the object, (height, width) float32, both None without stitching, and the results of
        `train_cdi_model_torch` with, after stitching, `object` (complex64), `origin_px` and `metrics`.

    Raises:
        PtychoError: parameters or data are unusable, or training diverged.
    """
    update_legacy_dict(cfg, config)
    results = train_cdi_model_torch(train_data, test_data, config, device=device)
    if not do_stitching:
        return None, None, results
    tested = config.test_data_file if test_data is None else test_data
    trained = config.train_data_file if train_data is None else train_data
    scan = to_scan(trained, config) if tested is None else to_scan(tested, _take_all(config))
    found = reconstruct_scan(results["checkpoint"], scan, probe=scan.probe, device=device)
    image = found.canvas.pixels
    results |= {"object": image, "origin_px": found.canvas.origin_px, "metrics": found.metrics}
    return np.abs(image), np.angle(image), results


def train_cdi_model_torch(
    train_data: object, test_data: object, config: LegacyTraining, *, device: str = "auto"
) -> dict[str, Any]:
    """Train on data of any kind, with all modes of the probe; the arguments are those of `run_cdi_example_torch`.

    Returns:
        `history` (`train_loss` and `val_loss` per epoch), `train_container`, `test_container` (None without test
        data), `checkpoint` and `bundle` (paths).

    Raises:
        PtychoError: parameters or data are unusable, or training diverged.
    """
    update_legacy_dict(cfg, config)
    train_data = config.train_data_file if train_data is None else train_data
    test_data = config.test_data_file if test_data is None else test_data
    train_container = ensure_container(train_data, config)
    test_container = None if test_data is None else ensure_container(test_data, _take_all(config))
    scan = to_scan(train_data, config)
    modes = 1 if scan.probe is None else len(scan.probe)
    trained = train_network(
        [scan],
        config.output_dir,
        to_experiment(config, len(scan), modes),
        device=device,
        track=False,
        params=forget_files(flatten(config)),
    )
    return {
        "history": _read_history(config.output_dir / "logs" / "metrics.csv"),
        "train_container": train_container,
        "test_container": test_container,
        "checkpoint": trained.last,
        "bundle": locate_bundle(config.output_dir),
    }


def _take_all(config: LegacyTraining) -> LegacyTraining:
    """The parameters for test data, of which all patterns are used."""
    return replace(config, n_groups=None, n_subsample=None)


def _read_history(log: Path) -> dict[str, list[float]]:
    losses = read_losses(log)
    return {name: losses[column] for name, column in _HISTORY.items()}
