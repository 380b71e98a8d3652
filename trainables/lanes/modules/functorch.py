"""The private interfaces of torch.func that the stack needs, and what they are asked for; in no other file.

``torch.vmap`` itself would stack inputs and split outputs at each call. Here the forward alone runs over the lanes, by
the parts that it is made of: a level of batching, tensors with a hidden first axis, and a way out of the level.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

try:
    from torch._C import _functorch as _private
    from torch._C._functorch import _add_batch_dim, _vmap_decrement_nesting, _vmap_increment_nesting
    from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack

    # of operations that it runs lane by lane: whether stacks are faster all the same is measured
    _private._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]
    UNAVAILABLE = ""
    """Why modules cannot be stacked with this version of torch; empty where they can."""
except (ImportError, AttributeError) as error:
    UNAVAILABLE = f"torch {torch.__version__} lacks what stacks modules ({error})"


@contextmanager
def over_lanes(lanes: int) -> Iterator[int]:
    """Yield the level at which operations run over so many lanes; a random draw that nobody handles raises there."""
    level: int = _vmap_increment_nesting(lanes, "error")
    try:
        yield level
    finally:
        _vmap_decrement_nesting()


def outside() -> AbstractContextManager[Any]:
    """Leave the innermost level for a while: tensors are what they are, lanes first."""
    found: AbstractContextManager[Any] = temporarily_pop_interpreter_stack()
    return found


def wrapped(tensor: torch.Tensor, level: int) -> torch.Tensor:
    """Return a tensor of one lane, as code within a level sees it  # [L, ...] -> [...]."""
    found: torch.Tensor = _add_batch_dim(tensor, 0, level)
    return found


def is_wrapped(value: Any) -> bool:
    """Say whether a value differs from lane to lane."""
    return isinstance(value, torch.Tensor) and bool(_private.is_batchedtensor(value))


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """Return what ``wrapped`` hides  # [...] -> [L, ...]; a tensor that all lanes share as it is."""
    if not is_wrapped(tensor):
        return tensor
    axis: int = _private.maybe_get_bdim(tensor)
    found: torch.Tensor = _private.get_unwrapped(tensor)
    return found.movedim(axis, 0) if axis else found  # which would be a step of the gradient too
