"""What a training step keeps in memory: fewer activations, or as large a batch as fits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import default_collate

from ptycho_torch.errors import ConfigError
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.module import ReconstructionModule

# share of the free memory that the activations of a step on the processor may take, beside what it holds for moments
_USABLE_SHARE = 0.4


def checkpoint_activations(network: nn.Module) -> int:
    """Keep only the inputs of a network's layers for the gradient, and compute the rest again; returns their number.

    The layers are the parts of its largest sequence of modules; a network without any counts as one.
    """
    layers = [layer for layer in _find_layers(network) if any(True for _ in layer.parameters())]
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return len(layers)


def _find_layers(network: nn.Module) -> Iterator[nn.Module]:
    """Follow the part with the most parameters down to a sequence."""
    if isinstance(network, (nn.Sequential, nn.ModuleList)) and len(network) > 1:
        return iter(network)
    children = list(network.children())
    return _find_layers(max(children, key=_count_parameters)) if children else iter([network])


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def find_batch_size(
    module: ReconstructionModule, data: ScanDataModule, device: torch.device, dtype: torch.dtype
) -> int:
    """Find how many groups a step of one process can take, by steps on batches that double.

    Args:
        module: the module to train; it is left without gradients, and where it was.
        data: its groups; the search starts at their batch size and ends at an epoch in one batch.
        device: where the training will compute.
        dtype: type of the network's layers, lower than float32 in mixed precision.

    Raises:
        ConfigError: not even one group fits.
    """
    size, most = min(data.batch_size, data.groups_per_epoch), data.groups_per_epoch
    module.to(device)
    while not _fits(module, data, size, device, dtype):
        if size == 1:
            raise ConfigError(
                f"one group of {data.group_size} patterns does not fit into the memory of {device}; "
                "use a smaller TrainingSettings.group_size or ModelSettings.width"
            )
        size //= 2
    while size < most and _fits(module, data, min(2 * size, most), device, dtype):
        size = min(2 * size, most)
    module.zero_grad(set_to_none=True)
    module.to("cpu")
    return size


def _fits(
    module: ReconstructionModule, data: ScanDataModule, size: int, device: torch.device, dtype: torch.dtype
) -> bool:
    """Whether a training step on the first groups fits into memory."""
    if device.type == "cpu":
        # the kernel promises more memory than there is and ends a process that uses it: predict, from a small batch
        sample = max(1, min(size, 4))
        needed = _measure_kept_bytes(module, _take_groups(data, sample), dtype) * size / sample
        return needed <= _USABLE_SHARE * find_free_memory()
    try:
        batch = Batch(*(part.to(device) for part in _take_groups(data, size)))
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            module.compute_loss(batch).backward()
    except torch.OutOfMemoryError:
        return False
    else:
        return True
    finally:
        module.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()


def _take_groups(data: ScanDataModule, size: int) -> Batch:
    batch: Batch = default_collate([data.training[number % len(data.training)] for number in range(size)])
    return batch


def _measure_kept_bytes(module: ReconstructionModule, batch: Batch, dtype: torch.dtype) -> int:
    """Bytes that the forward pass of a training step keeps for the gradient, each storage counted once."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
    ):
        module.compute_loss(batch)
    return sum(kept.values())


def find_free_memory(root: Path = Path("/")) -> int:
    """Bytes that a process may still take: free memory of the machine, or what its control group leaves if less.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    group = root / "sys/fs/cgroup"
    limit, used = (group / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdecimal():
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free
