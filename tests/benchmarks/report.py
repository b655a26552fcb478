"""What every benchmark prints first: the machine and the versions that its figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch


def header(question: str) -> None:
    """Print the question with processors, threads, load and versions."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "numpy"))
    print(f"# {question}")
    print(f"# {platform.machine()}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, load {load}")
    print(f"# Python {platform.python_version()}, {packages}")
