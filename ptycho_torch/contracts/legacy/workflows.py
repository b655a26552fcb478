"""The workflow entry points of the contract: the order of steps, and nothing else.

Each writes the flat parameters before it touches data or a model (CONFIG-001).
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.contracts.legacy.inputs import as_scan, ensure_container
from ptycho_torch.contracts.legacy.parameters import LegacyTraining, cfg, flatten, update_legacy_dict
from ptycho_torch.contracts.legacy.to_experiment import experiment_of
from ptycho_torch.errors import explain_missing_torch
from ptycho_torch.models.archive import locate_bundle

with explain_missing_torch():
    from ptycho_torch.contracts.legacy.bundles import load_torch_bundle
    from ptycho_torch.models.checkpoint import TrainedNetwork
    from ptycho_torch.workflows.reconstruction import reconstruct_scan
    from ptycho_torch.workflows.training import train_network

Image = NDArray[np.float32]
# columns of the log of losses, for each name of the history
_HISTORY = {"train_loss": "train_loss_epoch", "val_loss": "val_loss"}


@overload
def run_cdi_example_torch(
    train_data: object,
    test_data: object,
    config: LegacyTraining,
    *,
    do_stitching: Literal[False] = False,
    device: str = "auto",
) -> tuple[None, None, dict[str, Any]]: ...
@overload
def run_cdi_example_torch(
    train_data: object,
    test_data: object,
    config: LegacyTraining,
    *,
    do_stitching: Literal[True],
    device: str = "auto",
) -> tuple[Image, Image, dict[str, Any]]: ...
def run_cdi_example_torch(
    train_data: object,
    test_data: object,
    config: LegacyTraining,
    *,
    do_stitching: bool = False,
    device: str = "auto",
) -> tuple[Image | None, Image | None, dict[str, Any]]:
    """Train, and where it is asked for reconstruct the object of the test data, or of the training data without any.

    Args:
        train_data: RawDataTorch, an object with its attributes, PtychoDataContainerTorch, Scan, or a path; None for the
            `train_data_file` of the configuration.
        test_data: likewise, and None for the `test_data_file`, where there is one.
        config: canonical parameters; results go to its `output_dir`, a new or empty folder. `n_groups` and
            `n_subsample` are those of the training; test data are taken whole.
        do_stitching: reconstruct as well.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        Amplitude and phase of the object, both None without stitching, and the results of `train_cdi_model_torch` with,
        where it was stitched, `object` (complex64), `origin_px` and `metrics`.

    Raises:
        PtychoError: parameters or data cannot be used, or training diverged.
    """
    update_legacy_dict(cfg, config)
    results = train_cdi_model_torch(train_data, test_data, config, device=device)
    if not do_stitching:
        return None, None, results
    tested = config.test_data_file if test_data is None else test_data
    trained = config.train_data_file if train_data is None else train_data
    scan = as_scan(trained, config) if tested is None else as_scan(tested, _unsampled(config))
    found = reconstruct_scan(results["checkpoint"], scan, probe=scan.probe, device=device)
    image = found.canvas.pixels
    results |= {"object": image, "origin_px": found.canvas.origin_px, "metrics": found.metrics}
    return np.abs(image), np.angle(image), results


def train_cdi_model_torch(
    train_data: object, test_data: object, config: LegacyTraining, *, device: str = "auto"
) -> dict[str, Any]:
    """Train on data of any kind; of the probe, all modes. `n_groups` and `n_subsample` do not act on test data.

    Returns:
        `history` (`train_loss` and `val_loss` of every epoch), `train_container`, `test_container` (None without test
        data), `checkpoint` and `bundle` (paths).

    Raises:
        PtychoError: parameters or data cannot be used, or training diverged.
    """
    update_legacy_dict(cfg, config)
    train_data = config.train_data_file if train_data is None else train_data
    test_data = config.test_data_file if test_data is None else test_data
    train_container = ensure_container(train_data, config)
    test_container = None if test_data is None else ensure_container(test_data, _unsampled(config))
    scan = as_scan(train_data, config)
    modes = 1 if scan.probe is None else len(scan.probe)
    trained = train_network(
        [scan],
        config.output_dir,
        experiment_of(config, len(scan), modes),
        device=device,
        track=False,
        params=flatten(config),
    )
    return {
        "history": _history(config.output_dir / "logs" / "metrics.csv"),
        "train_container": train_container,
        "test_container": test_container,
        "checkpoint": trained.last,
        "bundle": locate_bundle(config.output_dir),
    }


def load_inference_bundle_torch(bundle_dir: Path | str) -> tuple[TrainedNetwork, dict[str, Any]]:
    """A trained network and the flat parameters out of the bundle in a folder; the parameters are restored first.

    Raises:
        BundleError: there is no bundle, or it cannot be used.
    """
    return load_torch_bundle(bundle_dir)


def _unsampled(config: LegacyTraining) -> LegacyTraining:
    """The parameters for test data, all of whose patterns count."""
    return replace(config, n_groups=None, n_subsample=None)


def _history(log: Path) -> dict[str, list[float]]:
    with log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[column]) for row in rows if row.get(column)] for name, column in _HISTORY.items()}
