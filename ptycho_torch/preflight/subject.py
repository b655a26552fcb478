"""Subject: the training under check, with what it shares with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch

from ptycho_torch.config import SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import PtychoError
from ptycho_torch.formats import read_scans
from ptycho_torch.preflight.plan import Plan
from ptycho_torch.preflight.trial import TrialStep, count_weights, leave_out_course, take_trial_step
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.requirements import check_versions
from ptycho_torch.simulate.scan import simulate_scan

T = TypeVar("T")


class Shared:
    """What trainings have in common: each is found once, and an error is raised again for each."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def find(self, key: Any, make: Callable[[], T]) -> T:  # noqa: ANN401 - anything that can be a key
        """Find something by its key, and make it if it is not known yet.

        Raises:
            PtychoError: it could not be made.
        """
        if key not in self._known:
            try:
                self._known[key] = make()
            except PtychoError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, PtychoError):
            raise found
        result: T = found
        return result


@dataclass(frozen=True)
class Subject:
    """A training under check.

    Attributes:
        plan: its settings, files and machine.
        shared: what it has in common with others that are checked.
        known: its scans, if they have been read already.
    """

    plan: Plan
    shared: Shared
    known: Sequence[Scan] | None = None

    @property
    def scans(self) -> Sequence[Scan]:
        """Its scans; raises PtychoError if they cannot be read or simulated."""
        return self.known if self.known is not None else self.shared.find(("scans", *self._source), self._load_scans)

    @property
    def _source(self) -> tuple[Any, ...]:
        """What two trainings on the same scans have in common."""
        plan = self.plan
        probe = None if plan.simulated_probe is None else plan.simulated_probe.tobytes()
        return plan.data, plan.probe, plan.experiment.data, plan.simulation, probe

    def _load_scans(self) -> Sequence[Scan]:
        plan = self.plan
        if plan.data is not None:
            return read_scans(plan.data, plan.experiment.data, plan.probe)
        return [simulate_scan(plan.simulation or SimulationSettings(), plan.simulated_probe)]

    @cached_property
    def step(self) -> TrialStep:
        """Its trial step; raises PtychoError if it cannot be computed."""
        simple = leave_out_course(self.plan.experiment)
        return self.shared.find(("step", *self._source, simple), lambda: take_trial_step(self.scans, simple))

    def count_weights(self) -> int:
        """Count the weights of its network; raises PtychoError if the network does not fit the patterns."""
        side, simple = self.scans[0].patch_px, leave_out_course(self.plan.experiment)
        return self.shared.find(("weights", side, simple), lambda: count_weights(simple, side))

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries here; raises ConfigError if they do not suit this package."""
        return self.shared.find("versions", check_versions)

    @property
    def device(self) -> torch.device:
        """Its device, if it is on this machine; raises ConfigError if it is not."""
        return find_device(self.plan.device, self.plan.experiment.trainer.accelerator)
