"""Makes the lanes of a worker, stacked or looped, and measures which of them are faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from trainables.device_data import DeviceData
from trainables.lanes.looped import LoopedLanes, Start
from trainables.lanes.measure import (
    IN_TURN,
    MEASURED_LANES,
    MEASURED_MODULES,
    WORTH_STACKING,
    ModeChoice,
    faster_loops,
    faster_mode,
    sample,
)
from trainables.lanes.modules.source import ModuleSource
from trainables.lanes.role import Role
from trainables.lanes.stack import Stack
from trainables.lanes.stacked import StackedLanes
from trainables.lanes.threads import usual_threads


@dataclass(frozen=True)
class LaneMaker:
    """Makes lanes of either mode; for the fields see ``LaneWorker``."""

    device: torch.device
    precision: str
    start: Start | None
    threads: int | None
    modules: ModuleSource | None
    make_stack: Callable[..., Stack]
    time_epoch: Callable[[StackedLanes | LoopedLanes, Sequence[Any]], float]

    def stacked(self, data: Any) -> StackedLanes:
        """Return lanes for stacks."""
        return StackedLanes(
            data,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            modules=self.modules,
            make_stack=self.make_stack,
        )

    def looped(self, role: Role, data: Any, *, beside: bool, rebuilt: bool = False) -> LoopedLanes:
        """Return lanes for plain loops of such trials: several at a time where they may train ``beside`` others.

        With ``rebuilt`` each is built again before its epochs, so that what its code keeps outside of it is its own.
        """
        on_cpu = self.device.type == "cpu"
        if rebuilt and self.modules is not None:
            build = partial(self.modules.trainable.module_of, device=self.device)
            threads = 1 if on_cpu else None
            return LoopedLanes(
                data, device=self.device, precision=self.precision, start=self.start, threads=threads, rebuild=build
            )
        if role.module is not None and on_cpu and self.precision == "fp32":
            return self._loops_of_modules(data, beside=beside)
        threads = (self.threads or usual_threads(self.device)) if beside and on_cpu else None
        if threads is not None and role.streams and role.data.in_turn:
            threads = 1
        start = None if role.stands_in else self.start
        return LoopedLanes(data, device=self.device, precision=self.precision, start=start, threads=threads)

    def faster(self, role: Role, *, lanes: int) -> ModeChoice:
        """Measure both modes of a trial that can stack, on a sample of its data; at most so many lanes of them."""
        part, share = sample(role.data, role.config.batch_size)
        stacked, looped = self.stacked(part), self.looped(role, part, beside=True)
        most = min(lanes, MEASURED_LANES)
        try:
            return faster_mode(stacked, looped, role.config, lanes=most, share=share, time_epoch=self.time_epoch)
        finally:
            stacked.close()
            looped.close()

    def faster_of_modules(self, config: Any, data: DeviceData, batches: int, lanes: int) -> ModeChoice:
        """Measure a trial that trains a module, on so many batches: loops either way, and a stack of so many lanes.

        Args:
            config: of the trial.
            data: the examples.
            batches: on how many of them.
            lanes: how many would be stacked at most; 0 leaves stacks out.
        """
        assert self.modules is not None, "there are modules"
        part, share = sample(data, self.modules.trainable.training_of(config).batch_size, batches=batches)
        loops = self._faster_loops(config, part, share)
        if not lanes:
            return loops
        stacked = self.stacked(part)
        try:
            together = self.time_epoch(stacked, [config] * min(lanes, MEASURED_MODULES)) * share * 1e3
        finally:
            stacked.close()
        alone = loops.in_turn_ms if loops.mode == IN_TURN else loops.looped_ms
        return replace(loops, mode="stacked" if together <= WORTH_STACKING * alone else loops.mode, stacked_ms=together)

    def _faster_loops(self, config: Any, part: DeviceData, share: float) -> ModeChoice:
        if self.threads is None or self.threads == 1:  # side by side is in turn
            loops = self._loops_of_modules(part, beside=False)
            try:
                return ModeChoice("looped", looped_ms=self.time_epoch(loops, [config]) * share * 1e3)
            finally:
                loops.close()
        beside, in_turn = (self._loops_of_modules(part, beside=beside) for beside in (True, False))
        try:
            return faster_loops(beside, in_turn, config, share=share, time_epoch=self.time_epoch)
        finally:
            beside.close()
            in_turn.close()

    def _loops_of_modules(self, data: Any, *, beside: bool) -> LoopedLanes:
        """Return loops side by side, or in turn with the one core that each would have so."""
        threads = self.threads if beside and self.threads is not None else 1
        return LoopedLanes(data, device=self.device, start=self.start, threads=threads, beside=threads > 1)
