"""Report: what the checks of a training have found."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from ptycho_torch.errors import ConfigError, PtychoError

Status = Literal["good", "refused", "there"]
_LABEL = re.compile(r"\b([A-Z]\w+)Settings\.(\w+)")
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes:
        status: `good`; `refused` if the training cannot work; `there` if only the machine that trains can check it.
        key: the setting or option that it concerns, such as `model.depth`.
        text: the reason, in one line.
    """

    status: Status
    key: str
    text: str

    @classmethod
    def refuse(cls, error: PtychoError, key: str) -> Finding:
        """Describe an error; it concerns the first setting that it names, or `key` if it names none."""
        text = " ".join(str(error).split())
        named = _LABEL.search(text) if isinstance(error, ConfigError) else None
        return cls("refused", _name_key(named) if named else key, _LABEL.sub(_name_key, text))


def _name_key(label: re.Match[str]) -> str:
    return f"{label[1].lower()}.{label[2]}"


@dataclass(frozen=True)
class Needs:
    """What a training takes, estimated.

    Attributes:
        parameters: weights of the network.
        memory_bytes: memory of the device of each process: weights, gradients, moments, and what a step keeps.
        disk_bytes: checkpoints and bundle.
    """

    parameters: int
    memory_bytes: int
    disk_bytes: int

    def __str__(self) -> str:
        """Describe them in one line."""
        memory, disk = self.memory_bytes / _GIB, self.disk_bytes / _GIB
        return f"{self.parameters:,} weights; about {memory:.2g} GiB of memory and {disk:.2g} GiB of disk"


@dataclass
class Report:
    """Everything that has been found about one training.

    Attributes:
        name: that of its plan.
        findings: in the order of the checks.
        needs: what it takes; None if that could not be found.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    needs: Needs | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was refused."""
        return not self.refusals

    @property
    def refusals(self) -> list[Finding]:
        """The reasons why the training cannot work."""
        return [finding for finding in self.findings if finding.status == "refused"]

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to plain values."""
        return {"passed": self.passed, **dataclasses.asdict(self)}


def require_passed(reports: list[Report]) -> None:
    """Check that nothing was refused.

    Raises:
        ConfigError: something was; the message names the key and the reason of the first refusal, and their number.
    """
    refused = [report for report in reports if not report.passed]
    if not refused:
        return
    first = refused[0].refusals[0]
    where = f"{refused[0].name}: " if len(reports) > 1 else ""
    others = sum(len(report.refusals) for report in refused) - 1
    more = f" (and {others} more)" if others else ""
    raise ConfigError(
        f"{where}{first.key}: {first.text}{more}; `ptycho-torch preflight` shows all checks, "
        "--no-preflight leaves them out"
    )
