"""In which order trials that train in threads of their own begin."""

from __future__ import annotations

from typing import Any

import torch

from trainables.lanes.looped import LoopedLanes
from trainables.report import EpochReport

CPU = torch.device("cpu")


class Timed:
    """A run that says how long it took, and notes when it began."""

    def __init__(self, seconds: float, begun: list[float]) -> None:
        self._seconds, self._begun, self._epoch = seconds, begun, 0

    def step(self) -> EpochReport:
        self._begun.append(self._seconds)
        self._epoch += 1
        return EpochReport(self._epoch, {"train_loss": 1.0, "val_loss": 1.0}, self._seconds)


def test_what_took_longest_begins_first_and_a_new_trial_before_all() -> None:
    begun: list[float] = []

    def start(seconds: float, data: Any, *, seed: int, device: torch.device) -> Any:
        return Timed(seconds, begun)

    lanes = LoopedLanes(None, device=CPU, start=start, threads=1)
    try:
        seats = [lanes.seat(number, seconds, seed=0) for number, seconds in enumerate([0.2, 0.9, 0.5])]
        assert list(lanes.advance()) == [0, 1, 2] and begun == [0.2, 0.9, 0.5]
        begun.clear()
        assert list(lanes.advance()) == [0, 1, 2] and begun == [0.9, 0.5, 0.2]
        begun.clear()
        seats[1].retire()
        lanes.seat(7, 0.1, seed=0)
        events = lanes.advance()
        assert begun == [0.1, 0.5, 0.2]
        assert {number: event.report.seconds for number, event in events.items() if event.report} == {
            0: 0.2,
            2: 0.5,
            7: 0.1,
        }
    finally:
        lanes.close()
