"""The global random generators of Python, NumPy and torch as streams that one trial has to itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.derive import derive
from trainables.torch_stream import TorchStream

if TYPE_CHECKING:
    import torch


class RandomStreams:
    """What a trial draws where its code draws from the global generators, seeded by the trial's seed.

    Lanewise puts them in place while the trial's function runs and takes them away after it, so that no trial draws
    another's numbers. ``state_dict`` and ``load_state_dict`` are for the function, while it runs.

    Args:
        seed: the trial's.
        device: of which torch's generator is one too, where it is a GPU.

    Attributes:
        generator: one of torch's on the CPU that is the trial's own, and part of the state.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        import torch

        self.generator = torch.Generator().manual_seed(derive(seed, "function", "generator"))
        self._torch = TorchStream(derive(seed, "function", "torch"), device)
        self._numpy: Any = np.random.RandomState(derive(seed, "function", "numpy") % 2**32).get_state(legacy=False)
        self._python = random.Random(derive(seed, "function", "python")).getstate()
        self._in_place = False

    @contextmanager
    def as_global(self) -> Iterator[None]:
        """While inside, whatever draws from the global generators draws from these."""
        before = np.random.get_state(legacy=False), random.getstate()
        with self._torch.as_global_rng():
            np.random.set_state(self._numpy)
            random.setstate(self._python)
            self._in_place = True
            try:
                yield
            finally:
                self._in_place = False
                self._numpy, self._python = np.random.get_state(legacy=False), random.getstate()
                np.random.set_state(before[0])
                random.setstate(before[1])

    def state_dict(self) -> dict[str, Any]:
        """Return where the streams are now, as plain data and tensors."""
        own = {"generator": self.generator.get_state()}
        if not self._in_place:
            return {"torch": self._torch.state_dict(), "numpy": self._numpy, "python": self._python, **own}
        here = {"numpy": np.random.get_state(legacy=False), "python": random.getstate()}
        return {"torch": self._torch.current(), **here, **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the streams where ``state_dict`` found them, on the same kind of device."""
        if "generator" in state:  # a checkpoint of an earlier version has none
            self.generator.set_state(state["generator"])
        self._torch.load_state_dict(state["torch"])
        self._numpy, self._python = state["numpy"], _python_state(state["python"])
        if self._in_place:
            self._torch.put_in_place()
            np.random.set_state(self._numpy)
            random.setstate(self._python)


def _python_state(state: Any) -> Any:
    version, words, gauss = state
    return version, tuple(words), gauss
