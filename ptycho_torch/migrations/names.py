"""Older import paths: a name that has moved is imported from where it is now, with one warning that says so."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_log = logging.getLogger(__name__)

_PACKAGE = "ptycho_torch"
# by older module: where its names are now; `older = newer` for a name that has changed as well
# a table: one module a line
# fmt: off
MOVED: dict[str, dict[str, str]] = {
    "config.schema": {
        "config": "DataSettings InferenceSettings ModelSettings PretrainingSettings RefineSettings "
        "SimulationSettings TrackingSettings TrainerSettings TrainingSettings",
        "config.sweep": "SweepSettings",
    },
    "data.datamodule": {"training.datamodule": "ScanDataModule"},
    "data.dataset": {"training.dataset": "Batch GroupDataset"},
    "data.product": {"formats.ptychodus_product": "Product"},
    "data.readers": {"formats": "read_npz read_one_scan read_probe read_scans"},
    "data.readers.directory": {"formats": "read_one_scan read_probe read_scans"},
    "data.readers.npz": {"formats.npz": "load_arrays read_npz"},
    "data.writer": {"formats.npz": "write_object write_scan"},
    "device": {"runtime.device": "find_device"},
    "files": {"storage.writing": "write_json"},
    "losses": {"physics.losses": "LOSSES amplitude_mae anscombe poisson_deviance total_variation"},
    "metrics.frc": {"evaluate.frc": "RingCorrelation ring_correlation"},
    "metrics.objects": {
        "evaluate.objects": "amplitude_correlation complex_correlation complex_error phase_correlation",
    },
    "metrics.residual": {"evaluate.residual": "Residual residual"},
    "persistence.archive": {"models.archive": "BUNDLE_NAME Bundle bundle_file=locate_bundle open_bundle write_bundle"},
    "persistence.bundle": {"models.bundle": "save_bundle", "contracts.legacy.workflows": "load_torch_bundle"},
    "persistence.checkpoint": {"models.checkpoint": "TrainedNetwork load_network"},
    "persistence.product": {"formats.ptychodus_product": "read_product write_product"},
    "progress": {"runtime.progress": "Progress Stages"},
    "reconstruct.evaluate": {"evaluate.scores": "evaluate"},
    "reconstruct.figures": {"evaluate.figures": "Panel save_comparison"},
    "reconstruct.predict": {"models.predict": "Prediction Predictor"},
    "refine.constraints": {"solve.constraints": "centroid_px keep_centre keep_power keep_ramp level_phase"},
    "refine.problem": {"solve.scan_model": "Solution"},
    "refine.solve": {"solve.solve": "refine"},
    "training.generator": {"models.record": "make_record", "networks.build": "build_network"},
    "workflows.record": {"runtime.run_record": "RunRecord checksum=hash_file", "storage.writing": "RECORD_NAME"},
}
# fmt: on


class OlderModules(MetaPathFinder, Loader):
    """Finds the modules of `MOVED`, which have no file any more."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find an older module, or a package that contained one."""
        name = fullname.removeprefix(f"{_PACKAGE}.")
        contains = any(each.startswith(f"{name}.") for each in MOVED)
        if name == fullname or not (name in MOVED or contains):
            return None
        return ModuleSpec(fullname, self, origin="moved", is_package=contains)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python to make the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its names, each of which is found when it is first asked for."""
        older = module.__name__.removeprefix(f"{_PACKAGE}.")
        homes = _find_homes(older)

        def find(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
            if name not in homes:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            home, new = homes[name]
            place = f"{_PACKAGE}.{home}"
            warnings.warn(
                f"{module.__name__}.{name} is now {place}.{new}; import it from there", FutureWarning, stacklevel=2
            )
            value = getattr(importlib.import_module(place), new)
            setattr(module, name, value)
            return value

        module.__dict__["__getattr__"] = find


def find_present_name(name: str) -> str:
    """Find what a class is called now, given by its module and name in a file; an older name is warned about."""
    module, _, last = name.rpartition(".")
    home, new = _find_homes(module.removeprefix(f"{_PACKAGE}.")).get(last, ("", ""))
    if not home:
        return name
    _log.warning("%s is now %s.%s.%s", name, _PACKAGE, home, new)
    return f"{_PACKAGE}.{home}.{new}"


def _find_homes(older: str) -> dict[str, tuple[str, str]]:
    """The names of an older module, each with the module and the name that it has now."""
    homes = {}
    for home, names in MOVED.get(older, {}).items():
        for word in names.split():
            name, _, new = word.partition("=")
            homes[name] = home, new or name
    return homes
