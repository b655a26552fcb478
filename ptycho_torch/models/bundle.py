"""Trained networks to bundles and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.errors import BundleError, OutputError, explain_missing_torch
from ptycho_torch.models.archive import BUNDLE_NAME, Bundle, locate_bundle, open_bundle, write_bundle

with explain_missing_torch():
    import torch

    from ptycho_torch.models.checkpoint import TrainedNetwork, assemble, list_weights, load_network


def save_bundle(
    network: TrainedNetwork | Path | str, path: Path | str, params: Mapping[str, Any], *, overwrite: bool = False
) -> Path:
    """Write a trained network and the flat legacy parameters to one file.

    Settings that may name files, folders, servers or projects have their defaults in it.

    Args:
        network: a network, or the checkpoint to load it from.
        path: the file, its name ending with `.zip`, or a folder for `wts.h5.zip`.
        params: the flat legacy parameters.
        overwrite: whether to replace an existing bundle.

    Returns:
        The file.

    Raises:
        BundleError: a parameter is not a plain value.
        CheckpointError: the checkpoint cannot be used.
        OutputError: the bundle already exists, or cannot be written.
    """
    file = Path(path)
    if file.suffix != ".zip":
        file = file / BUNDLE_NAME
    if file.exists() and not overwrite:
        raise OutputError(f"{file}: already exists; choose another path")
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    weights = {name: value.numpy() for name, value in list_weights(trained).items()}
    write_bundle(Bundle(weights, params, trained.experiment.without_places(), trained.patch_px, trained.steps), file)
    return file


def open_network(path: Path | str) -> TrainedNetwork:
    """Read a network from a bundle, whose name ends with `.zip`, from the folder of a bundle, or from a checkpoint.

    Raises:
        ModelFileError: the file does not exist, is damaged, contains code, or does not contain a network.
    """
    path = locate_bundle(path)
    return build_bundled(open_bundle(path), path) if path.suffix == ".zip" else load_network(path)


def build_bundled(bundle: Bundle, path: Path | str) -> TrainedNetwork:
    """Build the network of a bundle that was read from a path.

    Raises:
        BundleError: its weights do not fit its settings.
    """
    weights = {name: torch.from_numpy(np.array(value)) for name, value in bundle.weights.items()}
    try:
        return assemble(bundle.experiment, bundle.patch_px, weights, bundle.steps)
    except ValueError as error:
        raise BundleError(f"{locate_bundle(path)}: its content does not fit together ({error})") from error
