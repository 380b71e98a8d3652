"""Whether a saved state is one of the run that is to continue from it, before any of it is taken over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.errors import CheckpointError

MOMENTS = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}
"""What torch's optimisers keep of each parameter once they made a step: tensors of the parameter's shape."""

COUNTERS = {"adamw": ("step",), "sgd": ()}
"""What torch's optimisers keep of each parameter beside its moments: a number."""

Shapes = Sequence[Sequence[int]]


EXTRA_STATE = "_extra_state"
"""How torch's modules call, after their prefix, what ``get_extra_state`` returns: of any form, which may grow."""


def check_state(
    state: Any, own: Mapping[str, Any], config: MlpConfig, shapes: Shapes, *, all_learn: bool = True
) -> None:
    """Compare a state with the run's own, part by part: names, kinds, shapes and types.

    torch's optimisers and schedules take whatever they are given, and fail an epoch later or not at all.

    Args:
        state: the state that was saved.
        own: the state of the run that is to continue; its optimiser may not have made a step yet.
        config: the run's configuration.
        shapes: the shapes of the run's parameters, in the optimiser's order.
        all_learn: whether every parameter got a gradient, so that the optimiser keeps moments of it.

    Raises:
        CheckpointError: it is of another run; the message names the first part that differs.
    """
    _compare(state, own, "state")
    kind = config.optimizer
    keeps = () if kind == "sgd" and not config.momentum else COUNTERS[kind] + MOMENTS[kind]
    _compare_moments(state["optimizer"]["state"], shapes if state["epoch"] and keeps else (), keeps, all_learn)


def _compare(found: Any, own: Any, where: str) -> None:
    if isinstance(own, Mapping):
        _check_kind(isinstance(found, Mapping), where, own, found)
        if where == "state/optimizer/state":
            return  # it grows with the first step; see ``_compare_moments``
        _check_names(found, own, where)
        for key in own:
            if where == "state/model" and str(key).endswith(EXTRA_STATE):
                continue
            _compare(found[key], own[key], f"{where}/{key}")
    elif isinstance(own, list | tuple):
        _check_kind(isinstance(found, list | tuple) and len(found) == len(own), where, own, found)
        for i, (a, b) in enumerate(zip(found, own, strict=True)):
            _compare(a, b, f"{where}/{i}")
    elif isinstance(own, torch.Tensor):
        _check_kind(isinstance(found, torch.Tensor), where, own, found)
        if found.shape != own.shape or found.dtype != own.dtype:
            raise CheckpointError(
                f"{where}: size mismatch: {_shape_text(found)} was saved, the run has {_shape_text(own)}"
            )
    elif isinstance(own, float):
        _check_kind(type(found) in (float, int), where, own, found)  # a rate of 1 is as good as 1.0
    elif isinstance(own, int):
        _check_kind(type(found) is type(own), where, own, found)  # True is no number here


def _compare_moments(saved: Mapping[Any, Any], shapes: Shapes, keeps: Sequence[str], all_learn: bool) -> None:
    where = "state/optimizer/state"
    learned = [n for n in range(len(shapes)) if all_learn or n in saved]
    _check_names(saved, learned, where)
    for number in learned:
        shape = shapes[number]
        _check_kind(isinstance(saved[number], Mapping), f"{where}/{number}", {}, saved[number])
        _check_names(saved[number], keeps, f"{where}/{number}")
        for name in keeps:
            _compare(saved[number][name], torch.empty(() if name == "step" else shape), f"{where}/{number}/{name}")


def _check_names(found: Mapping[Any, Any], own: Collection[Any], where: str) -> None:
    missing, strange = set(own) - found.keys(), found.keys() - set(own)
    if missing or strange:
        raise CheckpointError(
            f"{where} does not fit: missing {sorted(map(str, missing))}, unknown {sorted(map(str, strange))}"
        )


def _check_kind(fits: bool, where: str, own: Any, found: Any) -> None:
    if not fits:
        raise CheckpointError(f"{where} does not fit: expected {type(own).__name__}, found {found!r:.40}")


def _shape_text(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
