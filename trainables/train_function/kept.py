"""What a training function gave to ``trial.keep``: its states, and how they are put back."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables import safe_pickle
from trainables.errors import CheckpointError, ConfigError, first_line
from trainables.weights_snapshot import detached_copy


class Kept:
    """The objects by name, and the states that wait for those of a trial that goes on.

    Args:
        who: the function, as messages call it.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._objects: dict[str, Any] = {}
        self._waiting: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._objects)

    def add(self, named: Mapping[str, Any]) -> None:
        """Take objects, and put back the states that were saved under their names.

        Raises:
            ConfigError: one of them has no state.
            CheckpointError: a state does not fit.
        """
        without = [f"{name} is {_described(value)}" for name, value in named.items() if _access(value) is None]
        if without:
            raise ConfigError(
                f"{self._who}: trial.keep({', '.join(named)}): {'; '.join(without)}, which has no state_dict and "
                "load_state_dict; keep a module, an optimizer, a schedule, a generator or trial.streams()"
            )
        self._objects |= named
        for name, value in named.items():
            if name in self._waiting:
                self._put_back(name, value, self._waiting.pop(name))

    def await_states(self, states: Mapping[str, Any]) -> None:
        """Hold the states of a checkpoint until their objects are kept."""
        self._waiting = dict(states)

    @property
    def missed(self) -> list[str]:
        """The names of a checkpoint that have not been kept this time."""
        return list(self._waiting)

    def states(self) -> dict[str, Any]:
        """Return every object's state by its name."""
        return {name: _state_of(value) for name, value in self._objects.items()}

    def weights(self) -> dict[str, Any]:
        """Return copies of the modules' states; of all states, where no module is kept."""
        modules = {name: value for name, value in self._objects.items() if isinstance(value, nn.Module)}
        return {name: detached_copy(_state_of(value)) for name, value in (modules or self._objects).items()}

    def check_readable(self) -> None:
        """Look whether the states could be read back from a checkpoint, which runs none of their code.

        Raises:
            ConfigError: they hold something of a type that is not read back.
        """
        if wrong := safe_pickle.unreadable(self.states()):
            raise ConfigError(
                f"{self._who}: what it keeps cannot be read back from a checkpoint, which holds tensors, NumPy arrays "
                f"and plain data alone: {'; '.join(wrong)}"
            )

    def _put_back(self, name: str, value: Any, state: Any) -> None:
        found = _access(value)
        assert found is not None, "what has no state was refused"
        try:
            found[1](state)
        except Exception as error:  # what a state of another kind leads an object to
            what = f"{type(error).__name__}: {first_line(error)}"
            raise CheckpointError(f"{self._who}: the checkpoint's state of {name} does not fit: {what}") from error


def _state_of(value: Any) -> Any:
    found = _access(value)
    assert found is not None, "what has no state was refused"
    return found[0]()


def _access(value: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]] | None:
    """Return what reads a value's state and what sets it; None where it has none."""
    if isinstance(value, type):
        return None
    if callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None)):
        return value.state_dict, value.load_state_dict
    if isinstance(value, torch.Generator):
        return value.get_state, value.set_state
    if isinstance(value, np.random.Generator):
        bits: Any = value.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    if isinstance(value, np.random.RandomState):
        return lambda: value.get_state(legacy=False), value.set_state
    if isinstance(value, random.Random):
        return value.getstate, lambda state: value.setstate((state[0], tuple(state[1]), state[2]))
    return None


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
