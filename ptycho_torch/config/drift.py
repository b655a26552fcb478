"""The settings of the check whether scans drift away from those that a network was trained for."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class DriftSettings(Settings):
    """When a scan differs from the reference, and when that matters."""

    growth: float = setting(
        0.2, at_least=0, at_most=100, help="growth of the network's error that matters, as a share of it"
    )
    level: float = setting(
        0.01, above=0, at_most=0.5, help="probability with which a scan like the reference may be called different"
    )
    least_effect: float = setting(
        0.2,
        at_least=0,
        at_most=100,
        help="least difference of a feature that is reported, in standard deviations of its patterns",
    )
