"""The weights of a trial's model as they are now, to be kept whatever the trial does next."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from trainables.protocols import HasFullWeights, Run

WeightsSnapshot: TypeAlias = Callable[[], Any]
"""Makes a model's state as it was when this function was made; only making the state costs much."""

OF_A_TENSOR = 512
"""Bytes that torch and the C library need for a tensor beside its Python object and its numbers, about."""


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
    """Return what nested plain data take in host memory: what tensors and arrays view, each once, and Python's objects.

    Both matter: of a model of a few hundred weights most is objects.
    """
    return _size_bytes(value, set())


def _size_bytes(value: Any, seen: set[int]) -> int:
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return size + sum(_size_bytes(part, seen) for item in value.items() for part in item)
    if isinstance(value, list | tuple | set | frozenset):
        return size + sum(_size_bytes(part, seen) for part in value)
    if hasattr(value, "untyped_storage"):
        return size + OF_A_TENSOR + _storage_bytes(value, seen)
    return max(size, int(getattr(value, "nbytes", 0)))


def _storage_bytes(tensor: Any, seen: set[int]) -> int:
    """Return what a tensor's storage takes, once; a view keeps all of what it is a view of."""
    try:
        storage = tensor.untyped_storage()
    except NotImplementedError:  # a sparse one, say
        return int(tensor.numel() * tensor.element_size())
    if not storage.nbytes() or -storage.data_ptr() in seen:
        return 0
    seen.add(-storage.data_ptr())  # no id of an object is negative
    return int(storage.nbytes())
