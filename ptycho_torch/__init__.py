"""Ptychographic reconstruction with physics-informed networks on PyTorch and Lightning.

    import ptycho_torch as pt

    scan = pt.read_scans("scan.npz")[0]
    training = pt.train_network([scan], "training_outputs")
    result = pt.reconstruct_scan(training.last, scan)
    pt.write_object(result.canvas, Path("object.npz"))

Names are loaded when they are first used, so that importing the package takes little time; those that need torch raise
MissingTorchError if it is not installed.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ptycho_torch.errors import explain_missing_torch
from ptycho_torch.migrations.names import OlderModules
from ptycho_torch.runtime.threads import set_threads

if TYPE_CHECKING:
    from ptycho_torch.config import DataSettings as DataSettings
    from ptycho_torch.config import Experiment as Experiment
    from ptycho_torch.config import InferenceSettings as InferenceSettings
    from ptycho_torch.config import ModelSettings as ModelSettings
    from ptycho_torch.config import RefineSettings as RefineSettings
    from ptycho_torch.config import SimulationSettings as SimulationSettings
    from ptycho_torch.config import TrackingSettings as TrackingSettings
    from ptycho_torch.config import TrainerSettings as TrainerSettings
    from ptycho_torch.config import TrainingSettings as TrainingSettings
    from ptycho_torch.contracts.legacy.workflows import export_network as export_network
    from ptycho_torch.data.canvas import Canvas as Canvas
    from ptycho_torch.data.scan import Scan as Scan
    from ptycho_torch.errors import PtychoError as PtychoError
    from ptycho_torch.export.read import open_export as open_export
    from ptycho_torch.formats import read_scans as read_scans
    from ptycho_torch.formats.npz import write_object as write_object
    from ptycho_torch.formats.npz import write_scan as write_scan
    from ptycho_torch.formats.records import collect_scan as collect_scan
    from ptycho_torch.formats.results import read_result as read_result
    from ptycho_torch.simulate.scan import simulate_scan as simulate_scan
    from ptycho_torch.training.datamodule import ScanDataModule as ScanDataModule
    from ptycho_torch.workflows.evaluation import evaluate_result as evaluate_result
    from ptycho_torch.workflows.reconstruction import reconstruct_scan as reconstruct_scan
    from ptycho_torch.workflows.refinement import refine_scan as refine_scan
    from ptycho_torch.workflows.training import train_network as train_network

_HOMES = {
    "Canvas": "data.canvas",
    "DataSettings": "config",
    "Experiment": "config",
    "InferenceSettings": "config",
    "ModelSettings": "config",
    "PtychoError": "errors",
    "RefineSettings": "config",
    "Scan": "data.scan",
    "ScanDataModule": "training.datamodule",
    "SimulationSettings": "config",
    "TrackingSettings": "config",
    "TrainerSettings": "config",
    "TrainingSettings": "config",
    "collect_scan": "formats.records",
    "evaluate_result": "workflows.evaluation",
    "export_network": "contracts.legacy.workflows",
    "open_export": "export.read",
    "read_result": "formats.results",
    "read_scans": "formats",
    "reconstruct_scan": "workflows.reconstruction",
    "refine_scan": "workflows.refinement",
    "simulate_scan": "simulate.scan",
    "train_network": "contracts.legacy.workflows",
    "write_object": "formats.npz",
    "write_scan": "formats.npz",
}
sys.meta_path.append(OlderModules())
__all__ = ["__version__", *_HOMES]
_NEED_TORCH = ("contracts", "export", "simulate", "training", "workflows")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("ptycho-torch")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _HOMES[name].startswith(_NEED_TORCH):
        set_threads()
    with explain_missing_torch():
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
