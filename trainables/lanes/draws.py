"""Whether looped trials of a kind may train at the same time: each draws its random numbers from streams of its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainables.device_data import DeviceData
from trainables.errors import is_of_a_signal
from trainables.global_states import States, global_states
from trainables.protocols import Run, TrainsBesideOthers
from trainables.user_code import error_line

BATCHES = 2
"""How many batches are trained on to see it."""

UNSEEDED = "it draws from what the trial's seed does not set (a generator of its own, the time)"
"""Begins why trials of one seed are not the same."""


def why_in_turn(start: Callable[..., Run], config: Any, data: DeviceData, *, device: torch.device) -> str:
    """Return why trials of ``config`` have to train one after another; empty if several may train at a time.

    An epoch of a few batches is trained twice: as in turn, and with the global generators left alone. These must not
    have moved meanwhile, and the two states must be the same bit for bit. Where they are not, a third in turn tells
    whether two of one seed ever are.

    Args:
        start: (config, data, *, seed, device) -> a trial at epoch 0.
        config: of a trial.
        data: the examples, in memory.
        device: a CPU.
    """
    part = few_batches(data, config_batch_size(config))
    states = [global_states(device)]
    runs = [start(config, part, seed=0, device=device) for _ in range(2)]
    alone = runs[1]
    if not isinstance(alone, TrainsBesideOthers):
        return "its runs draw from the global generators"
    alone.train_beside_others()
    if where := difference(runs[0].state_dict(), runs[1].state_dict()):
        return _drawn_since(states[0], device) or f"{UNSEEDED}: two of one seed differ before they train, in {where}"
    found = []
    for run in runs:
        try:
            found.append({**run.step().metrics, **run.state_dict()})
        except BaseException as error:  # its own code; a trial that meets the same says so itself
            if is_of_a_signal(error):
                raise
            return f"trying it out raised {error_line(error)}"
        states.append(global_states(device))
    if reason := _drawn_since(states[0], device):
        return reason
    if states[1]["torch"] != states[2]["torch"]:
        return "it draws from torch's global generator where that cannot be told (in evaluation, or in C++)"
    if difference(found[0], found[1]):
        again = start(config, part, seed=0, device=device)
        if where := difference(found[0], {**again.step().metrics, **again.state_dict()}):
            return f"{UNSEEDED}: two of one seed differ after they trained, in {where}"
        return (
            "it trains otherwise on random numbers of its own (it reads torch's global generator, or draws again for a "
            "gradient)"
        )
    return ""


def _drawn_since(before: States, device: torch.device) -> str:
    """Return why trials have to train in turn, given where the global generators were; empty if these alone do not."""
    after = global_states(device)
    moved = [whose for whose in ("NumPy", "random") if before[whose] != after[whose]]
    return f"it draws from the global generator of {' and '.join(moved)}, which all trials share" if moved else ""


def is_changed_by_building(
    start: Callable[..., Run], config: Any, other: Any, data: DeviceData, *, device: torch.device
) -> bool:
    """Say whether a trial trains otherwise once another one was built, as its code keeps parameters outside of it.

    In a global or a class, say, which trials of one process share. An epoch of a few batches is trained twice, the
    second time with the other one built before it.

    Args:
        start: see ``why_in_turn``, which is to have found that two trials of one seed are the same.
        config: of a trial.
        other: of another one; a trial that cannot be built changes nothing.
        data: the examples, in memory.
        device: where they train.
    """
    part = few_batches(data, config_batch_size(config))
    found: list[dict[str, Any]] = []
    for between in (False, True):
        run = start(config, part, seed=0, device=device)
        try:
            if between:
                start(other, part, seed=1, device=device)
            found.append({**run.step().metrics, **run.state_dict()})
        except BaseException as error:  # its own code; its trials say so
            if is_of_a_signal(error):
                raise
            return False
    return bool(difference(found[0], found[1]))


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


def difference(a: Any, b: Any, at: str = "it") -> str:
    """Return where two states differ, such as ``model.0.weight``; empty if they are the same bit for bit; two NaN are.

    Args:
        a: a state, or what is in one.
        b: another.
        at: where both are.
    """
    if isinstance(a, torch.Tensor):
        same = isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))
    elif isinstance(a, Mapping):
        same = isinstance(b, Mapping) and a.keys() == b.keys()
        if same:
            return _first(difference(a[key], b[key], str(key) if at == "it" else f"{at}.{key}") for key in a)
    elif isinstance(a, list | tuple | deque):
        same = isinstance(b, list | tuple | deque) and len(a) == len(b)
        if same:
            return _first(difference(x, y, f"{at}.{i}") for i, (x, y) in enumerate(zip(a, b, strict=True)))
    elif isinstance(a, np.ndarray):
        same = isinstance(b, np.ndarray) and np.array_equal(a, b)
    elif isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        same = math.isnan(b)
    else:
        same = type(a) is type(b) and (a is b or repr(a) == repr(b))
    return "" if same else at


def _first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
