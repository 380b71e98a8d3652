"""A step of a stack done again without Python: which batches are, from when on, and that the numbers are the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import nn

from trainables.errors import is_of_a_signal
from trainables.lanes.modules.program import UNAVAILABLE, Program
from trainables.lanes.modules.recorder import MOST_BYTES, Recorder
from trainables.lanes.modules.steady import why_run_anew

PLAIN_BATCHES = 5
"""Batches of a kind that run as the module is written before one is recorded: a recording costs as much as these."""

Step = Callable[..., None]


class Replays:
    """Does a step as it is written, or as it was recorded.

    A recording is of the operations of a step, forward, loss and backward, over all lanes. Done again, they read and
    write the same weights, buffers and random number generators. The batch after the recorded one is done both ways,
    from the same state: only where both leave the same bits everywhere are the next ones done from the recording.

    Args:
        module: whose forward a step runs.
        changed: what a step changes; a recording that writes into anything else that was there before is not used.
        lent: see ``Recorder``.

    Attributes:
        replayed: how many steps were done from a recording.
    """

    def __init__(
        self, module: nn.Module, changed: Sequence[torch.Tensor], lent: Callable[[], torch.Generator | None]
    ) -> None:
        self._module, self._changed, self._lent = module, list(changed), lent
        self._generators: list[torch.Generator] = []
        self._seen: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, Program] = {}
        self._proven: dict[Hashable, Program] = {}
        self._refused: set[Hashable] = set()
        self.replayed = 0

    def forget(self, generators: Sequence[torch.Generator]) -> None:
        """Record anew from now on, as lanes have other trials; ``generators`` are all that a step draws from."""
        self._generators = list(generators)
        self._seen, self._recorded, self._proven = {}, {}, {}

    def do(
        self, kind: Hashable, step: Step, inputs: Sequence[torch.Tensor], *, scratch: Sequence[torch.Tensor]
    ) -> None:
        """Do a step.

        Args:
            kind: steps of one kind differ in their inputs alone.
            step: of the inputs, as it is written.
            inputs: of this step.
            scratch: what it also writes, and of which it reads nothing that it did not write.
        """
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if kind in self._proven:
            self._proven[kind](*inputs)
            self.replayed += 1
        elif kind in self._recorded:
            self._prove(kind, step, inputs)
        elif self._seen[kind] <= PLAIN_BATCHES or kind in self._refused or self._runs_anew:
            step(*inputs)
        else:
            self._record(kind, step, inputs, scratch)

    @functools.cached_property
    def _runs_anew(self) -> bool:
        large = sum(t.nbytes for t in self._changed) > MOST_BYTES  # copied to compare; its operations are long
        return bool(UNAVAILABLE or large or why_run_anew(self._module))

    def _record(
        self, kind: Hashable, step: Step, inputs: Sequence[torch.Tensor], scratch: Sequence[torch.Tensor]
    ) -> None:
        """Do a step, and note what it does."""
        recorder = Recorder(inputs, [*self._changed, *scratch], self._lent)

        def recorded() -> None:
            with recorder:
                step(*inputs)
            if not recorder.obstacle:
                self._recorded[kind] = Program(recorder.steps(), recorder.given, len(inputs))

        if not self._try(recorded):
            step(*inputs)
        if kind not in self._recorded:
            self._refused.add(kind)

    def _prove(self, kind: Hashable, step: Step, inputs: Sequence[torch.Tensor]) -> None:
        """Do a step both ways, and compare what they leave."""
        before, program = self._state(), self._recorded.pop(kind)
        done = self._try(lambda: program(*inputs))
        found = self._state()
        self._restore(before)
        step(*inputs)
        if done and all(map(_same_bits, found, self._state())):
            self._proven[kind] = program
        else:
            self._refused.add(kind)

    def _try(self, attempt: Callable[[], None]) -> bool:
        """Return whether a way to do a step succeeds; else all is as before. What its code raises, it raises again."""
        before = self._state()
        try:
            attempt()
        except BaseException as error:
            if is_of_a_signal(error):
                raise
            self._restore(before)
            return False
        return True

    def _state(self) -> list[torch.Tensor]:
        return [*(t.clone() for t in self._changed), *(generator.get_state() for generator in self._generators)]

    def _restore(self, state: Sequence[torch.Tensor]) -> None:
        for tensor, kept in zip(self._changed, state, strict=False):
            tensor.copy_(kept)
        for generator, kept in zip(self._generators, state[len(self._changed) :], strict=True):
            generator.set_state(kept)


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.flatten().view(torch.uint8), b.flatten().view(torch.uint8))
