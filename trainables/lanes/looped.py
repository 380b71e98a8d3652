"""Looped lanes: plain loops in one process, with the data held once: in turn, or one for each core."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch

from trainables.errors import is_of_a_signal
from trainables.lane_event import LaneEvent, raised
from trainables.lanes.seat import Seat
from trainables.lanes.threads import start_pool
from trainables.loop import TrainingRun
from trainables.protocols import Run, TrainsBesideOthers
from trainables.report import RunEnded

Start = Callable[..., Run]
"""(config, data, *, seed, device) -> a trial at epoch 0."""


class LoopedLanes:
    """Trials that train one after another, or a few at a time.

    Args:
        data: whatever ``start`` takes as such, for trials that bring none of their own.
        device: where the trials train.
        precision: ``bf16`` runs each step under torch's autocast.
        start: what makes a run of a configuration; the plain loop by default.
        threads: how many runs train at a time, each with one core, so that a curve does not depend on how
            many there are; None trains them in turn, in the caller's thread, with all that torch uses.
        beside: whether runs that can are told to leave the global generators alone.
        rebuild: called with a trial's configuration, its data and its seed before each of its epochs, if given.
    """

    def __init__(
        self,
        data: Any,
        *,
        device: torch.device,
        precision: str = "fp32",
        start: Start | None = None,
        threads: int | None = None,
        beside: bool = False,
        rebuild: Callable[..., object] | None = None,
    ) -> None:
        self._data = data
        self._device = device
        self._precision = precision
        self._start: Start = start or TrainingRun
        self._runs: dict[int, Run] = {}
        self._seconds: dict[int, float] = {}
        self._held: set[int] = set()
        self._beside = beside
        self._rebuild = rebuild
        self._before: dict[int, Callable[[], object]] = {}
        self.threads = threads or 1
        # numbers below 1e-38 stay as they are: these are the plain loop's curves, bit for bit
        self._pool = None if threads is None else start_pool(threads, device, flush=False)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the trials in these lanes."""
        return list(self._runs)

    def seat(
        self, number: int, config: Any, *, seed: int, data: Any = None, full_state: Callable[[Any], Any] | None = None
    ) -> Seat:
        """Start a trial, on ``data`` of its own if there is any; for ``full_state`` see ``Seat``."""
        data = self._data if data is None else data
        self._runs[number] = run = self._start(config, data, seed=seed, device=self._device)
        if self._beside and isinstance(run, TrainsBesideOthers):
            run.train_beside_others()
        if self._rebuild is not None:
            self._before[number] = partial(self._rebuild, config, data, seed=seed)
        hold = partial(self._hold, number)
        return Seat(number, run, partial(self._retire, number), full_state=full_state, hold=hold)

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial that is not held; what one raises is its own event.

        Those that took longest last time go first, so that no core waits long for another at the end.
        """
        running = [number for number in self._runs if number not in self._held]
        if self._pool is None:
            return {number: self._advance(number) for number in running}
        order = sorted(running, key=lambda number: self._seconds.get(number, math.inf), reverse=True)
        events = dict(zip(order, self._pool.map(self._advance, order), strict=True))
        self._seconds |= {n: e.report.seconds for n, e in events.items() if e.report is not None}
        return {number: events[number] for number in running}

    def compact(self) -> None:
        """Do nothing: a trial that is not there costs nothing."""

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _hold(self, number: int, held: bool) -> None:
        (self._held.add if held else self._held.discard)(number)

    def _retire(self, number: int) -> None:
        del self._runs[number]
        self._held.discard(number)
        self._seconds.pop(number, None)
        self._before.pop(number, None)

    def _advance(self, number: int) -> LaneEvent:
        try:
            if number in self._before:
                self._before[number]()
            with self._casting():
                return LaneEvent(self._runs[number].step())
        except RunEnded as ended:
            return LaneEvent(None, stop=ended.stop)
        except BaseException as error:  # a trial that calls sys.exit fails alone too
            if is_of_a_signal(error):
                raise
            return raised(error)

    def _casting(self) -> AbstractContextManager[Any]:
        if self._precision == "bf16":
            # its cache would keep the weights as the first batch of the step found them
            return torch.autocast(self._device.type, torch.bfloat16, cache_enabled=False)
        return nullcontext()
