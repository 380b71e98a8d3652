"""Whether looped trials of a kind may train at the same time: each draws its random numbers from streams of its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainables.device_data import DeviceData
from trainables.errors import is_of_a_signal
from trainables.global_states import global_states
from trainables.protocols import Run, TrainsBesideOthers
from trainables.user_code import error_line

BATCHES = 2
"""How many batches are trained on to see it."""


def why_in_turn(start: Callable[..., Run], config: Any, data: DeviceData, *, device: torch.device) -> str:
    """Return why trials of ``config`` have to train one after another; empty if several may train at a time.

    An epoch of a few batches is trained twice: as in turn, and with the global generators left alone. These must not
    have moved meanwhile, and the two states must be the same bit for bit.

    Args:
        start: (config, data, *, seed, device) -> a trial at epoch 0.
        config: of a trial.
        data: the examples, in memory.
        device: a CPU.
    """
    part = few_batches(data, config_batch_size(config))
    runs = [start(config, part, seed=0, device=device) for _ in range(2)]
    alone = runs[1]
    if not isinstance(alone, TrainsBesideOthers):
        return "its runs draw from the global generators"
    alone.train_beside_others()
    states, metrics = [global_states(device)], []
    for run in runs:
        try:
            metrics.append(dict(run.step().metrics))
        except BaseException as error:  # its own code; a trial that meets the same says so itself
            if is_of_a_signal(error):
                raise
            return f"trying it out raised {error_line(error)}"
        states.append(global_states(device))
    moved = [whose for whose in ("NumPy", "random") if states[0][whose] != states[-1][whose]]
    if moved:
        return f"it draws from the global generator of {' and '.join(moved)}, which all trials share"
    if states[1]["torch"] != states[2]["torch"]:
        return "it draws from torch's global generator where that cannot be told (in evaluation, or in C++)"
    if not alike(metrics[0], metrics[1]) or not alike(runs[0].state_dict(), runs[1].state_dict()):
        return (
            "it trains otherwise on random numbers of its own (it reads torch's global generator, or draws again for a "
            "gradient)"
        )
    return ""


def few_batches(data: DeviceData, batch_size: int, *, batches: int = BATCHES) -> DeviceData:
    """Return the first batches of ``data``, and as many examples to validate, at most."""
    rows = min(data.examples, batches * batch_size)
    return replace(
        data,
        x_train=data.x_train[:rows],
        y_train=data.y_train[:rows],
        x_val=data.x_val[:rows],
        y_val=data.y_val[:rows],
        views=1,
        weights=None if data.weights is None else data.weights[:rows],
        extra_metrics=(),
    )


def config_batch_size(config: Any) -> int:
    """Return the batch size of a configuration of the plain loop, or of one that has it as ``training``."""
    return int(getattr(config, "training", config).batch_size)


def alike(a: Any, b: Any) -> bool:
    """Say whether two states, or what is in them, are the same bit for bit; two NaN are."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple | deque):
        return isinstance(b, list | tuple | deque) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and (a is b or repr(a) == repr(b))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
