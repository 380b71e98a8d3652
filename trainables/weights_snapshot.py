"""The weights of a trial's model as they are now, to be kept whatever the trial does next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from trainables.protocols import HasFullWeights, Run

WeightsSnapshot: TypeAlias = Callable[[], Any]
"""Makes a model's state as it was when this function was made; only making the state costs much."""


def snapshot_weights(run: Run) -> WeightsSnapshot:
    """Return a copy of the ``model`` in a run's state; of its whole state, where it has no such part.

    A run that keeps more than its state holds (frozen layers, say) says so itself.
    """
    if isinstance(run, HasFullWeights):
        return run.full_weights()
    state = run.state_dict()
    model = detached_copy(state.get("model", state))
    return lambda: model


def detached_copy(value: Any) -> Any:
    """Return a copy of nested plain data that shares no tensor with ``value``."""
    if isinstance(value, Mapping):
        return {name: detached_copy(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(detached_copy(part) for part in value)
    return value.detach().clone() if hasattr(value, "detach") else copy.deepcopy(value)


def on_host(value: Any) -> Any:
    """Return nested plain data with every tensor in host memory; what lies there already is not copied."""
    if isinstance(value, Mapping):
        return {name: on_host(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_host(part) for part in value)
    return value.detach().cpu() if hasattr(value, "detach") else value


def size_bytes(value: Any) -> int:
    """Return what the tensors in nested plain data take."""
    if isinstance(value, Mapping):
        return sum(map(size_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_bytes, value))
    return int(value.nbytes) if hasattr(value, "nbytes") else 0
