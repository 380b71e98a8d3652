"""Torch's global random numbers as a stream that one trial has to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from trainables.loop import TrainingRun
    from trainables.report import EpochReport


class TorchStream:
    """A random stream that can stand in for torch's global generators, on CPU and on ``device``."""

    def __init__(self, seed: int, device: torch.device) -> None:
        import torch

        self._device = device if device.type == "cuda" else None
        self._cpu = torch.Generator().manual_seed(seed).get_state()
        if self._device is not None:
            self._cuda = torch.Generator(self._device).manual_seed(seed).get_state()

    @property
    def on_cpu(self) -> bool:
        """Whether it stands in for the CPU's generator alone."""
        return self._device is None

    @contextmanager
    def as_global_rng(self) -> Iterator[None]:
        """While inside, whatever draws from torch's global generators draws from this stream."""
        import torch

        with torch.random.fork_rng([] if self._device is None else [self._device]):
            self.put_in_place()
            try:
                yield
            finally:
                self.load_state_dict(self.current())

    def put_in_place(self) -> None:
        """Have torch's global generators go on from here; within ``as_global_rng``."""
        import torch

        torch.set_rng_state(self._cpu)
        if self._device is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)

    @contextmanager
    def as_generator(self, generator: torch.Generator) -> Iterator[None]:
        """While inside, what draws from ``generator``, of the CPU, draws from this stream."""
        generator.set_state(self._cpu)
        try:
            yield
        finally:
            self._cpu = generator.get_state()

    def current(self) -> dict[str, Any]:
        """Return where torch's global generators are, as ``state_dict`` does; within ``as_global_rng``."""
        import torch

        cuda = {} if self._device is None else {"cuda": torch.cuda.get_rng_state(self._device)}
        return {"cpu": torch.get_rng_state(), **cuda}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {"cpu": self._cpu, **({} if self._device is None else {"cuda": self._cuda})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned, on the same kind of device."""
        self._cpu = state["cpu"]
        if self._device is not None:
            self._cuda = state["cuda"]


class StreamedRun:
    """A plain loop whose model draws from torch's global generators, which all trials of a process share.

    So each trial keeps the generators' state: it is put in place before a step and taken away after it. Several such
    trials may train at a time where each draws from a generator of its own in their place.

    Args:
        run: the loop.
        stream: what its model draws from while it trains; None for a model that draws nothing, several of which may
            then train at a time.
    """

    def __init__(self, run: TrainingRun, stream: TorchStream | None) -> None:
        self._run = run
        self._stream = stream
        self._own: torch.Generator | None = None

    def train_beside_others(self) -> None:
        """From now on leave the global generators alone; the same numbers come of the trial's own.

        That is so wherever the model is called to train: the loss and the optimiser draw nothing, and torch's fast
        paths of evaluation are not taken where its functions are watched.
        """
        if self._stream is not None and self._stream.on_cpu:
            import torch

            from trainables.own_draws import OwnDraws

            self._own = torch.Generator()
            self._run.around_forward = OwnDraws(self._own)

    @property
    def epoch(self) -> int:
        """Epochs trained."""
        return self._run.epoch

    def step(self) -> EpochReport:
        """Train and validate one epoch."""
        if self._stream is None:
            return self._run.step()
        own, stream = self._own, self._stream
        with stream.as_global_rng() if own is None else stream.as_generator(own):
            return self._run.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs."""
        if self._stream is None:
            return self._run.state_dict()
        return {**self._run.state_dict(), "torch": self._stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        if self._stream is None:
            self._run.load_state_dict(state)
            return
        self._run.load_state_dict({name: part for name, part in state.items() if name != "torch"})
        self._stream.load_state_dict(state["torch"])
