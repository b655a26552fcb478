"""The settings of the hardware that a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class TrainerSettings(Settings):
    """On what hardware a network is trained, and how the hardware is used."""

    accelerator: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="kind of device; auto is a GPU if the machine has one, or what the device option names"
    )
    devices: int | None = setting(
        None,
        at_least=1,
        at_most=1024,
        help="processes on each machine, each with a GPU of its own or on the processor; "
        "by default as many as torchrun started, otherwise 1",
    )
    nodes: int = setting(
        1, at_least=1, at_most=100_000, help="machines; several are started by torchrun or by a scheduler"
    )
    strategy: Literal["auto", "ddp"] = setting(
        "auto", help="how processes share a training; auto is ddp for several of them, and plain training for one"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = setting(
        "32-true", help="precision of the network's layers; wave propagation and likelihood are always 32 bit"
    )
    compile: bool = setting(False, help="compile the network with torch.compile, which takes a minute at the start")
    gradient_checkpointing: bool = setting(
        False, help="compute the network's layers again for the gradient instead of keeping them, which saves memory"
    )
    find_batch_size: bool = setting(
        False, help="train with the largest batches that fit into memory, by doubling the batch size"
    )
    checkpoint_steps: int | None = setting(
        None, at_least=1, help="optimiser steps between checkpoints, in addition to those after each validation"
    )
    checkpoint_minutes: float | None = setting(
        None,
        unit="min",
        above=0,
        at_most=1e6,
        help="wall time between checkpoints, in addition to those after each validation",
    )
    workers: int = setting(0, at_least=0, at_most=1024, help="processes that prepare batches for each training process")
