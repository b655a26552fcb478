"""What a training step keeps in memory: fewer activations, or as large a batch as fits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime.control_groups import find_groups, read_text
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.dataset import Batch, stack_groups
from ptycho_torch.training.module import ReconstructionModule

# share of the free memory that the activations of a step on the processor may take, beside what it holds for moments
_USABLE_SHARE = 0.4
_SAMPLE = 4
# files of a control group with its limit and what is used, and what of that is freed at need; version 2 and version 1
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


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
    module: ReconstructionModule,
    data: ScanDataModule,
    device: torch.device,
    dtype: torch.dtype,
    ranks: Ranks = ALONE,
    free_bytes: int | None = None,
) -> int:
    """Find how many groups a step can take, by steps of each process on batches that double.

    Args:
        module: the module to train; it is left without gradients, and where it was.
        data: its groups; the search starts at their batch size and ends at an epoch in one batch.
        device: where the training will compute.
        dtype: type of the network's layers, lower than float32 in mixed precision.
        ranks: the place of this process; each takes its part of a batch.
        free_bytes: memory of the machine that may be used; by default what is free at the moment. That of a GPU is
            tried out.

    Raises:
        ConfigError: not even one group fits.
    """
    most = -(-data.groups_per_epoch // ranks.size)
    size = min(-(-data.batch_size // ranks.size), most)
    usable = _USABLE_SHARE * (free_bytes or find_free_memory()) / ranks.devices
    module.to(device)

    def fits(groups: int) -> bool:
        if device.type == "cuda":
            return _fits_on_gpu(module, _take_groups(data, groups), device, dtype)
        # the kernel promises more memory than there is and ends a process that uses it: predict, from a small batch
        sample = min(groups, _SAMPLE)
        return measure_kept_bytes(module, _take_groups(data, sample), dtype) * groups / sample <= usable

    while not fits(size):
        if size == 1:
            raise ConfigError(
                f"one group of {data.group_size} patterns does not fit into the memory of {device}; "
                "use a smaller TrainingSettings.group_size or ModelSettings.width"
            )
        size //= 2
    while size < most and fits(min(2 * size, most)):
        size = min(2 * size, most)
    module.zero_grad(set_to_none=True)
    module.to("cpu")
    return min(ranks.least(size) * ranks.size, data.groups_per_epoch)


def _fits_on_gpu(module: ReconstructionModule, groups: Batch, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a training step fits into memory."""
    try:
        batch = Batch(*(part.to(device) for part in groups))
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
    return stack_groups([data.training[number % len(data.training)] for number in range(size)])


def measure_kept_bytes(module: ReconstructionModule, batch: Batch, dtype: torch.dtype) -> int:
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
    """Bytes that a process may still take: free memory of the machine, or what its control groups leave if less.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    lines = read_text(root / "proc/meminfo").splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return max(0, min([machine, *(left for folder in find_groups("memory", root) for left in _read_left(folder))]))


def _read_left(group: Path) -> Iterator[int]:
    """Bytes that a control group leaves, if it is limited; files that were read and not used again count as free."""
    for limit, used, idle in _GROUP_FILES:
        numbers = [read_text(group / name).strip() for name in (limit, used)]
        if all(number.isdecimal() for number in numbers):
            words = [line.split() for line in read_text(group / "memory.stat").splitlines()]
            yield int(numbers[0]) - int(numbers[1]) + sum(int(number) for name, number in words if name == idle)
