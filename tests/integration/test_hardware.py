"""What the settings of the hardware do on the hardware that there is; `nox -s gpu` runs this where there is a GPU.

What needs no GPU runs on the processor as well. Figures are printed, and kept in the file PTYCHO_TORCH_FIGURES if any.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rank_work import make_experiment, read_weights
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainerSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.models.predict import Predictor
from ptycho_torch.networks.build import build_network
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.fit import TrainingResult, prepare
from ptycho_torch.training.memory import find_batch_size
from ptycho_torch.training.module import ReconstructionModule
from ptycho_torch.workflows.training import train_network

# spelt out, since the variable that hides GPUs from other tests is set after this module was imported
GPUS = torch.cuda.device_count() if "PTYCHO_TORCH_GPU" in os.environ and torch.cuda.is_available() else 0
needs_gpu = pytest.mark.skipif(GPUS == 0, reason="torch finds no GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])]
pytestmark = pytest.mark.integration
_STEPS = 4


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    device = torch.cuda.get_device_name() if GPUS else "processor"
    found: dict[str, Any] = {"device": device, "torch": torch.__version__}
    yield found
    print(json.dumps(found, indent=2))  # noqa: T201
    if os.environ.get("PTYCHO_TORCH_FIGURES"):
        Path(os.environ["PTYCHO_TORCH_FIGURES"]).write_text(json.dumps(found, indent=2), encoding="utf-8")


@pytest.fixture(scope="module")
def scan() -> Scan:
    """81 patterns of 32 px; with a GPU, 961 of 64 px."""
    small = SimulationSettings(object_px=96, patch_px=32, step_px=6, probe_diameter_px=12)
    return simulate_scan(SimulationSettings() if GPUS else small)


def make_settings(**trainer: Any) -> Experiment:
    experiment = make_experiment(_STEPS, **trainer)
    return replace(experiment, training=replace(experiment.training, bootstrap_epochs=0, warmup_steps=0))


@pytest.fixture(scope="module")
def train(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[TrainingResult, dict[str, Any]]]:
    """Train on a device, once for the same settings; returns the result and the weights."""
    known: dict[Any, tuple[TrainingResult, dict[str, Any]]] = {}

    def trained(device: str, **trainer: Any) -> tuple[TrainingResult, dict[str, Any]]:
        key = (device, *sorted(trainer.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("trained")
            result = train_network([scan], folder, make_settings(**trainer), device=device, track=False)
            known[key] = result, read_weights(result.last)
        return known[key]

    return trained


def take_batch(scan: Scan, device: str, **trainer: Any) -> tuple[ReconstructionModule, Batch]:
    """A module that is ready for a step on a device, with its first batch."""
    data, module = prepare([scan], [scan.require_probe()], make_settings(**trainer), torch.device(device))
    batch = next(iter(data.train_dataloader()))
    # a network answers with zeros before its last layer has learnt anything
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for weight in module.generator.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    return module.to(device), Batch(*(part.to(device) for part in batch))


def measure_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The distance between two networks, relative to the first one's weights."""
    names = [name for name in first if name.startswith("generator.")]
    both = [np.concatenate([weights[name].ravel() for name in names]) for weights in (first, second)]
    return float(np.linalg.norm(both[0] - both[1]) / np.linalg.norm(both[0]))


@pytest.mark.gpu
@needs_gpu
def test_gpu_training(train: Callable[..., Any], figures: dict[str, Any]) -> None:
    result, weights = train("cuda", accelerator="cuda")
    assert result.steps == _STEPS
    assert all(np.isfinite(value).all() for value in weights.values())
    figures["training_patterns_per_second"] = result.patterns_per_second


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_training(
    train: Callable[..., Any], figures: dict[str, Any], scan: Scan, device: str, precision: str
) -> None:
    if (device, precision) == ("cpu", "16-mixed"):
        pytest.skip("processors do not compute with 16-mixed, which is refused")
    result, weights = train(device, precision=precision)
    whole, wanted = train(device)
    # near, but of fewer bits; everything that is stored has 32 of them
    assert 0 < measure_difference(wanted, weights) < 0.1
    assert result.validation_loss == pytest.approx(whole.validation_loss, rel=0.05)
    assert {value.dtype for name, value in weights.items() if name.startswith("generator.")} == {np.dtype("float32")}
    figures[f"{device}_{precision}_speedup"] = result.patterns_per_second / whole.patterns_per_second


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_torch_compile_integration(train: Callable[..., Any], figures: dict[str, Any], scan: Scan, device: str) -> None:
    result, weights = train(device, compile=True)
    _, wanted = train(device)
    assert measure_difference(wanted, weights) < 1e-4
    # a checkpoint does not depend on the compiler
    assert load_network(result.last).steps == _STEPS
    module, batch = take_batch(scan, device, compile=True)
    plain, _ = take_batch(scan, device)
    figures[f"{device}_compile_speedup"] = time_steps(plain, batch) / time_steps(module, batch)


def time_steps(module: ReconstructionModule, batch: Batch, steps: int = 5) -> float:
    """Seconds for one forward and backward pass, after a first one."""
    module.compute_loss(batch).backward()
    started = time.perf_counter()
    for _ in range(steps):
        module.compute_loss(batch).backward()
    if batch.counts.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / steps


@pytest.mark.parametrize("device", DEVICES)
def test_flash_attention_integration(figures: dict[str, Any], device: str) -> None:
    """The kernels of attention give the same patches; which ones exist depends on the device and the type."""
    networks = ModelSettings.find_types()["network"].choices
    if "transformer" not in networks:
        pytest.skip("no network has self-attention")
    experiment = Experiment.from_dict({"model": {"network": "transformer"}})
    network = build_network(experiment, 64).to(device).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.05)
        patterns = torch.rand(8, 64, 64, device=device)
        probe = torch.rand(1, 1, 64, 64, device=device).to(torch.complex64)
        with sdpa_kernel(SDPBackend.MATH):
            wanted = network(patterns, probe)
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
            found = network(patterns, probe)
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    assert difference < 1e-4
    figures[f"{device}_attention_difference"] = difference


def test_distributed_data_parallel_training(train: Callable[..., Any], figures: dict[str, Any]) -> None:
    """Two processes on two GPUs, or really two on the processor."""
    device = "cuda" if GPUS > 1 else "cpu"
    result, weights = train(device, devices=2)
    whole, wanted = train(device)
    assert result.steps == _STEPS
    assert measure_difference(wanted, weights) < 1e-5
    assert result.validation_loss == pytest.approx(whole.validation_loss, rel=1e-5)
    figures[f"{device}_two_processes_speedup"] = result.patterns_per_second / whole.patterns_per_second


@pytest.mark.gpu
@needs_gpu
def test_cpu_vs_gpu_performance(train: Callable[..., Any], figures: dict[str, Any]) -> None:
    result, weights = train("cuda")
    slow, wanted = train("cpu")
    assert measure_difference(wanted, weights) < 1e-3
    figures["gpu_over_cpu_speed"] = result.patterns_per_second / slow.patterns_per_second


@pytest.mark.gpu
@needs_gpu
def test_gpu_memory_profiling(scan: Scan, figures: dict[str, Any]) -> None:
    module, batch = take_batch(scan, "cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    module.compute_loss(batch).backward()
    peak = torch.cuda.max_memory_allocated() - before
    module.zero_grad(set_to_none=True)
    assert 0 < peak < torch.cuda.get_device_properties(0).total_memory
    # a step leaves nothing behind
    assert torch.cuda.memory_allocated() <= before + 2**20
    figures["peak_bytes_per_pattern"] = peak / (batch.counts.shape[0] * batch.counts.shape[1])


def keep_count(module: ReconstructionModule, batch: Batch) -> tuple[int, dict[str, Tensor]]:
    """Bytes that a step keeps for the gradient, and the gradient."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = module.compute_loss(batch)
    found = sum(kept.values())
    loss.backward()
    return found, {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("device", DEVICES)
def test_gradient_checkpointing(scan: Scan, figures: dict[str, Any], device: str) -> None:
    usual, wanted = keep_count(*take_batch(scan, device))
    less, gradient = keep_count(*take_batch(scan, device, gradient_checkpointing=True))
    assert less < 0.8 * usual
    assert gradient.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(gradient[name], value, rtol=1e-4, atol=1e-6)
    figures[f"{device}_checkpointing_kept_share"] = less / usual


@pytest.mark.parametrize("device", DEVICES)
def test_inference_mode_optimization(scan: Scan, figures: dict[str, Any], device: str) -> None:
    network = take_batch(scan, device)[0].generator
    predictor = Predictor(network, scan.require_probe(), scan.photons_per_pattern, torch.device(device))
    started = time.perf_counter()
    patches = predictor.predict_patches(scan, slice(0, 16))
    figures[f"{device}_first_prediction_seconds"] = time.perf_counter() - started
    assert patches.is_inference()
    assert not patches.requires_grad
    # the weights stay trainable
    assert all(weight.requires_grad and not weight.is_inference() for weight in network.parameters())


@pytest.mark.parametrize("device", DEVICES)
def test_batch_size_scaling(scan: Scan, train: Callable[..., Any], figures: dict[str, Any], device: str) -> None:
    data, module = prepare([scan], [scan.require_probe()], make_settings(), torch.device(device))

    def search(free_bytes: int | None = None) -> int:
        return find_batch_size(module, data, torch.device(device), torch.float32, free_bytes=free_bytes)

    largest = search()
    assert data.batch_size <= largest <= data.groups_per_epoch
    if device == "cpu":
        # with less memory batches are smaller, and never so small that there are none
        sizes = [search(free_bytes) for free_bytes in (2**25, 2**24, 2**23)]
        assert sizes == sorted(sizes, reverse=True)
        assert 1 <= sizes[-1] < largest
    result, _ = train(device, find_batch_size=True)
    assert load_network(result.last).experiment.training.batch_size == largest
    figures[f"{device}_largest_batch_groups"] = largest
    figures["trainer"] = TrainerSettings().to_dict()
