"""Whether a version can be used: its files are whole, its network loads and does what it did when it was registered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ptycho_torch.errors import PtychoError
from ptycho_torch.export.example import Example
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.bundle import build_bundled
from ptycho_torch.registry.figures import measure_figures
from ptycho_torch.registry.registry import Registry
from ptycho_torch.registry.version import Version


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        passed: whether it is as it should be.
        text: what was found.
    """

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Health:
    """The outcome of all checks of a version; those that need what an earlier one did not find are left out.

    Attributes:
        version: the version.
        findings: one for each check.
    """

    version: Version
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether the version can be used."""
        return all(finding.passed for finding in self.findings)

    @property
    def fault(self) -> str:
        """The first check that did not pass, in one line; empty if all did."""
        return next((f"{part.name}: {part.text}" for part in self.findings if not part.passed), "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        findings = [{"name": part.name, "passed": part.passed, "text": part.text} for part in self.findings]
        return {"version": str(self.version), "passed": self.passed, "findings": findings}


def check_version(registry: Registry, version: Version) -> Health:
    """Check a version: files, network, outputs, figures.

    Raises:
        RegistryError: the registry cannot be reached.
    """
    # a registry that cannot be reached is no fault of the version
    version = registry.find(str(version))
    return Health(version, tuple(_check(registry, version)))


def _check(registry: Registry, version: Version) -> Iterator[Finding]:
    tolerance = registry.settings.tolerance
    try:
        folder, manifest = registry.fetch(version)
    except PtychoError as error:
        yield Finding("files", False, str(error))
        return
    size = sum(stored.size for stored in manifest.files.values())
    yield Finding("files", True, f"{len(manifest.files)} files of {size / 2**20:.1f} MiB have their checksums")
    try:
        trained = build_bundled(open_bundle(folder / manifest.network_name), folder)
        example = Example.read(folder / manifest.example_name)
        patches = example.answer(trained.generator, manifest.example_name)
    except PtychoError as error:
        yield Finding("network", False, str(error))
        return
    yield Finding("network", True, f"loads, {manifest.network.get('weights')} weights, all finite")
    compared = compare_outputs(example, patches, tolerance)
    yield compared
    found = measure_figures(example, patches) if compared.passed else {}
    yield _compare_figures(version, {**manifest.metrics, **found}, tolerance)


def compare_outputs(example: Example, patches: Tensor, tolerance: float) -> Finding:
    """Compare what a network makes of the test tensors with what it made of them when it was registered.

    Args:
        example: the test tensors.
        patches: (pattern, h, w) patches of the network.
        tolerance: largest difference that passes, relative to the largest stored value.
    """
    if not torch.isfinite(patches).all():
        return Finding("outputs", False, "are not finite")
    difference = example.measure_difference(patches)
    text = f"differ from the stored ones by up to {difference:.1e} of the largest; {tolerance:g} is accepted"
    return Finding("outputs", difference <= tolerance, text)


def _compare_figures(version: Version, found: dict[str, float], tolerance: float) -> Finding:
    """Compare the figures in the registry with those of the manifest and of the outputs."""
    for name, value in found.items():
        registered = version.metrics.get(name, math.nan)
        if not math.isclose(registered, value, rel_tol=tolerance, abs_tol=tolerance * 1e-3):
            return Finding("figures", False, f"{name} is registered as {registered:.6g} and is {value:.6g}")
    return Finding("figures", True, f"{len(found)} figures are as registered")
