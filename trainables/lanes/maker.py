"""Makes the lanes of a worker, stacked or looped, and measures which of them are faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.device_data import DeviceData
from trainables.lanes.looped import LoopedLanes, Start
from trainables.lanes.measure import MEASURED_LANES, MEASURED_MODULES, ModeChoice, faster_mode, sample
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

    def looped(self, role: Role, data: Any, *, beside: bool) -> LoopedLanes:
        """Return lanes for plain loops of such trials: several at a time where they may train ``beside`` others."""
        on_cpu = self.device.type == "cpu"
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
        looped = self.looped(role, part, beside=True)
        return self._faster(looped, role.config, part, share, min(lanes, MEASURED_LANES))

    def faster_of_modules(self, config: Any, data: DeviceData, batches: int, lanes: int) -> ModeChoice:
        """Measure the same of a trial that trains a module, on so many batches: a stack, and loops side by side."""
        assert self.modules is not None, "there are modules"
        part, share = sample(data, self.modules.trainable.training_of(config).batch_size, batches=batches)
        looped = self._loops_of_modules(part, beside=True)
        return self._faster(looped, config, part, share, min(lanes, MEASURED_MODULES))

    def _faster(self, looped: LoopedLanes, config: Any, part: DeviceData, share: float, lanes: int) -> ModeChoice:
        stacked = self.stacked(part)
        try:
            return faster_mode(stacked, looped, config, lanes=lanes, share=share, time_epoch=self.time_epoch)
        finally:
            stacked.close()
            looped.close()

    def _loops_of_modules(self, data: Any, *, beside: bool) -> LoopedLanes:
        """Return loops side by side, or in turn with the one core that each would have so."""
        threads = self.threads if beside and self.threads is not None else 1
        return LoopedLanes(data, device=self.device, start=self.start, threads=threads, beside=threads > 1)
