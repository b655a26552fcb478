"""A network as a program of `torch.export`, which runs without this package.

Reading a program can run code that is in it, in expressions and pickles of its archive, so that only one's own is read.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch

from ptycho_torch.errors import ExportError
from ptycho_torch.export.example import Example
from ptycho_torch.networks.build import Generator
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import write_atomically


def write_program(network: Generator, example: Example, path: Path) -> None:
    """Write a network as a program that takes any number of patterns, and check its answer.

    Raises:
        ExportError: the program gives another answer.
        OutputError: the file cannot be written.
    """
    with warnings.catch_warnings(action="ignore"):
        # torch warns about its own storage of weights, and about tensors of fewer than two patterns
        count = torch.export.Dim("patterns", min=1)
        program = torch.export.export(network, example.inputs, dynamic_shapes=({0: count}, None, None))
        _forget_sources(program)
        stream = io.BytesIO()
        torch.export.save(program, stream)
    with write_atomically(path) as file:
        file.write(stream.getvalue())
    example.check(load_program(path), path.name)


def load_program(path: Path) -> torch.nn.Module:
    """Load a program that you trust: reading it can run what is in it.

    Raises:
        ExportError: it cannot be read.
    """
    with explain_damage(path, "program", ExportError), warnings.catch_warnings(action="ignore"):
        return torch.export.load(path).module()


def _forget_sources(program: torch.export.ExportedProgram) -> None:
    """Remove the files and lines that the operations come from, which name folders of this machine."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
