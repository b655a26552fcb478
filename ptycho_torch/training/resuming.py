"""The state of a training in a checkpoint: checked against the training that is to go on from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.checkpoint import read_checkpoint
from ptycho_torch.storage.untrusted import summarise_error

_LARGEST_COUNT = 2**40
_MOST_VALUES = 100_000
_LONGEST_TEXT = 10_000


def check_training_state(path: Path, network: nn.Module, validation_batches: int) -> None:
    """Check all that Lightning restores from a checkpoint beside the network's weights.

    Args:
        path: the checkpoint.
        network: the network that is trained.
        validation_batches: number of losses in a validation.

    Raises:
        CheckpointError: a value is missing, of another type or shape, not finite, or contradicts another one.
    """
    content = read_checkpoint(path)
    try:
        steps = _count(content["global_step"])
        _count(content["epoch"])
        _check_optimiser(content["optimizer_states"], list(network.parameters()), steps)
        _check_schedule(content["lr_schedulers"], steps)
        _check_loops(content["loops"], steps)
        _check_callbacks(content["callbacks"], validation_batches)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        reason = summarise_error(error)
        raise CheckpointError(f"{path}: the state of its training cannot be used ({reason})") from error


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_COUNT:
        raise ValueError(f"a number of steps is {str(value)[:40]}")
    return value


def _check_optimiser(states: Any, weights: list[nn.Parameter], steps: int) -> None:  # noqa: ANN401
    (state,) = states
    (group,) = state["param_groups"]
    numbers = list(range(len(weights)))
    if list(group["params"]) != numbers or (steps and sorted(state["state"]) != numbers):
        raise ValueError("the optimizer has other weights than the network")
    wanted = torch.optim.AdamW([nn.Parameter(torch.zeros(1))]).param_groups[0]
    for name, value in wanted.items():
        if name not in ("params", "lr") and (type(group[name]) is not type(value) or group[name] != value):
            raise ValueError(f"{name} of the optimizer is {str(group[name])[:40]}")
    _check_rate(group["lr"])
    _check_rate(group["initial_lr"])
    for number, values in state["state"].items():
        _check_moments(values, weights[number].shape)


def _check_moments(values: Mapping[str, Any], shape: torch.Size) -> None:
    if set(values) != {"step", "exp_avg", "exp_avg_sq"}:
        raise ValueError("the optimizer's moments are incomplete")
    for name, value in values.items():
        wanted = torch.Size() if name == "step" else shape
        if not isinstance(value, Tensor) or value.shape != wanted or value.dtype != torch.float32:
            raise ValueError(f"{name} of the optimizer does not fit its weight")
        if not torch.isfinite(value).all() or (name != "exp_avg" and bool((value < 0).any())):
            raise ValueError(f"{name} of the optimizer contains impossible values")


def _check_rate(value: object) -> None:
    if not isinstance(value, float) or not 0 <= value < math.inf:
        raise ValueError(f"the learning rate is {str(value)[:40]}")


def _check_schedule(schedules: Any, steps: int) -> None:  # noqa: ANN401
    (schedule,) = schedules
    if _count(schedule["last_epoch"]) != steps or _count(schedule["_step_count"]) != steps + 1:
        raise ValueError("the schedule of the learning rate is at another step than the network")
    for name in ("base_lrs", "_last_lr"):
        (rate,) = schedule[name]
        _check_rate(rate)


def _check_loops(loops: Any, steps: int) -> None:  # noqa: ANN401
    for value in _walk(loops):
        if type(value) is not bool:
            _count(value)
    loop = loops["fit_loop"]
    taken = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    # Lightning counts a step for its loggers only after the callbacks
    logged = loop["epoch_loop.state_dict"]["_batches_that_stepped"]
    if taken["completed"] != steps or logged not in (steps - 1, steps):
        raise ValueError("its loops are at another step than the network")
    for progress in (loop["epoch_progress"], loop["epoch_loop.batch_progress"]):
        if progress["current"]["completed"] > progress["total"]["completed"]:
            raise ValueError("its loops have completed more in an epoch than in all")


def _check_callbacks(callbacks: Any, validation_batches: int) -> None:  # noqa: ANN401
    for name, values in callbacks.items():
        if not isinstance(name, str) or not isinstance(values, dict):
            raise TypeError("its callbacks have no state")
        # no score has to be beaten before the first validation
        unset = "best_k_models" in values and not values["best_k_models"] and _is_infinite(values["kth_value"])
        for value in _walk({key: part for key, part in values.items() if not (unset and key == "kth_value")}):
            if isinstance(value, Tensor):
                if not value.is_floating_point() or not torch.isfinite(value).all():
                    raise ValueError("a score of its callbacks is not finite")
            elif not isinstance(value, str | int | float | None):
                raise TypeError(f"its callbacks contain a {type(value).__name__}")
        if "best_model_path" in values:
            _check_scores(values)
            _check_paths(values)
        if "least" in values:
            _count(values["rises"])
            _count(values["step"])
            if values["least"] is not None and values["least"].shape != (validation_batches,):
                raise ValueError("the losses of its best validation are not those of the validation batches")


def _is_infinite(score: object) -> bool:
    """Whether a score is the one that every loss is less than."""
    return isinstance(score, Tensor) and score.shape == () and bool(torch.isposinf(score))


def _check_scores(values: Mapping[str, Any]) -> None:
    scores = [values[name] for name in ("best_model_score", "current_score", "kth_value")]
    for score in (*scores, *values["best_k_models"].values()):
        if score is not None and score.shape != ():
            raise ValueError("a score of its callbacks is not one number")


def _check_paths(values: Mapping[str, Any]) -> None:
    """Lightning deletes the former best checkpoint by the path in the file."""
    place = Path(values["dirpath"])
    named = [values["best_model_path"], values["kth_best_model_path"], *values["best_k_models"]]
    for name in named:
        if name and (Path(name).parent != place or Path(name).suffix != ".ckpt"):
            raise ValueError("a checkpoint that it names is not beside it")


def _walk(value: object) -> Iterator[object]:
    """All plain values inside of mappings and sequences, without recursion."""
    waiting, seen = [value], 0
    while waiting:
        found = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError("it contains too many values")
        if isinstance(found, dict):
            if not all(isinstance(key, str | int) and len(str(key)) < _LONGEST_TEXT for key in found):
                raise TypeError("a key is not a name")
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        else:
            yield found
