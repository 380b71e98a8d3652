"""How fast lanes are, measured: stacked or looped for a group, and how many lanes are worth having."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes.looped import LoopedLanes
from trainables.lanes.stacked import StackedLanes

SAMPLE_BATCHES = 16
"""Measurements train on this many batches; an epoch's time is in proportion."""
MEASURED_LANES = 16
"""Lanes that are stacked to decide between the modes; more would not change the answer."""
MEASURED_MODULES = 8
"""The same of modules, whose larger steps cost more."""
WORTH_STACKING = 0.85
"""Modules are stacked where that takes at most this share of what loops take: lanes that are refilled cost a new
recording, which the measurement does not see, and a loop's curve is the plain one bit for bit."""
IN_TURN = "in turn"
"""How looped trials of modules train where they share a generator, or where that is faster: one after another."""
REBUILT = "rebuilt"
"""How those train whose code keeps parameters outside of the module: in turn, each built again before its epochs."""
MARGIN = 0.05
"""A number of lanes is worth it if an epoch of a lane becomes cheaper by this share."""


@dataclass(frozen=True)
class Measurement:
    """What an epoch of a lane cost.

    Attributes:
        lanes: how many trained.
        ms_per_lane_epoch: wall time of an epoch of all lanes, divided by their number; scaled from the
            sample to all training and validation examples.
        memory_bytes: of the stacks' tensors.
    """

    lanes: int
    ms_per_lane_epoch: float
    memory_bytes: int


@dataclass(frozen=True)
class LanesChoice:
    """How many lanes to use, and the measurements that say so.

    Attributes:
        lanes: the smallest number within ``MARGIN`` of the fastest that was measured.
        measurements: in the order of growing lanes.
        reason: why no larger number was tried.
    """

    lanes: int
    measurements: tuple[Measurement, ...]
    reason: str


@dataclass(frozen=True)
class ModeChoice:
    """Which mode a group trains in, and the measurements that say so: ms of an epoch of a lane.

    Attributes:
        reason: where something else than a measurement says so, what.
        in_turn_ms: of loops one after another; 0 where that was not measured.
    """

    mode: str
    stacked_ms: float = 0.0
    looped_ms: float = 0.0
    reason: str = ""
    in_turn_ms: float = 0.0


def choose_lanes(
    data: DeviceData,
    config: MlpConfig,
    *,
    device: torch.device,
    limit: int,
    memory_bytes: int | None = None,
    precision: str = "fp32",
) -> LanesChoice:
    """Measure 1, 2, 4, ... lanes until more of them no longer pay.

    Args:
        data: the examples, on ``device``.
        config: of a typical trial.
        device: where the lanes will train.
        limit: most lanes.
        memory_bytes: what the stacks may take; by default half of what is free.
        precision: of the matrix products.

    Raises:
        ValueError: ``limit`` is below 1.
    """
    part, share = sample(data, config.batch_size)

    def measure(lanes: int) -> Measurement:
        return _measure_stacked(part, config, lanes, share, device=device, precision=precision)

    allowed = free_memory(device) // 2 if memory_bytes is None else memory_bytes
    return grow_while_it_pays(measure, limit=limit, memory_bytes=allowed)


def grow_while_it_pays(measure: Callable[[int], Measurement], *, limit: int, memory_bytes: int) -> LanesChoice:
    """Double the lanes until more no longer pay or exceed ``memory_bytes``; choose among those measured.

    Args:
        measure: number of lanes -> what an epoch of a lane costs.
        limit: most lanes.
        memory_bytes: what the stacks may take.

    Raises:
        ValueError: ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be >= 1, got {limit}")
    found: list[Measurement] = []
    lanes, reason = 1, f"the limit is {limit}"
    while lanes <= limit:
        found.append(measure(lanes))
        if found[-1].memory_bytes > memory_bytes and len(found) > 1:
            found.pop()
            reason = f"{lanes} lanes would take more than {memory_bytes >> 20} MiB"
            break
        if not _still_paying(found):
            reason = "more lanes no longer made an epoch of a lane cheaper"
            break
        lanes *= 2
    best = min(m.ms_per_lane_epoch for m in found)
    chosen = next(m.lanes for m in found if m.ms_per_lane_epoch <= best * (1 + MARGIN))
    return LanesChoice(chosen, tuple(found), reason)


def faster_mode(
    stacked: StackedLanes,
    looped: LoopedLanes,
    config: Any,
    *,
    lanes: int,
    share: float,
    time_epoch: Callable[[StackedLanes | LoopedLanes, Sequence[Any]], float],
) -> ModeChoice:
    """Measure both ways for trials of ``config``.

    Args:
        stacked: empty, over a sample of the data.
        looped: empty, over the same.
        config: of the trials.
        lanes: how many would be stacked.
        share: how many times the sample is in the data.
        time_epoch: called as ``seconds_per_lane_epoch``.
    """
    together = time_epoch(stacked, [config] * lanes)
    alone = time_epoch(looped, [config] * min(lanes, looped.threads))
    mode = "stacked" if together <= alone else "looped"
    return ModeChoice(mode, together * share * 1e3, alone * share * 1e3)


def faster_loops(
    beside: LoopedLanes,
    in_turn: LoopedLanes,
    config: Any,
    *,
    share: float,
    time_epoch: Callable[[StackedLanes | LoopedLanes, Sequence[Any]], float],
) -> ModeChoice:
    """Measure loops side by side and in turn for trials of ``config``; see ``faster_mode``.

    Threads that start many short operations wait for Python's lock more than they compute: then a single one is done
    sooner.
    """
    each = time_epoch(beside, [config] * beside.threads)
    alone = time_epoch(in_turn, [config])
    return ModeChoice(
        "looped" if each <= alone else IN_TURN, looped_ms=each * share * 1e3, in_turn_ms=alone * share * 1e3
    )


def seconds_per_lane_epoch(lanes: StackedLanes | LoopedLanes, configs: Sequence[Any], *, epochs: int = 2) -> float:
    """Seat trials, train a first epoch that is not counted, and return the faster of the next.

    Raises:
        BaseException: what a trial raised.
    """
    seats = [lanes.seat(number, config, seed=number) for number, config in enumerate(configs)]
    times = []
    for _ in range(1 + epochs):
        started = time.perf_counter()
        events = lanes.advance()
        times.append(time.perf_counter() - started)
        for event in events.values():
            if event.error is not None:
                raise event.error
    for seat in seats:
        seat.retire()
    return min(times[1:]) / len(configs)


def sample(data: DeviceData, batch_size: int, *, batches: int = SAMPLE_BATCHES) -> tuple[DeviceData, float]:
    """Return the first batches of ``data`` and a like part of the rest, and how many times they are in it."""
    n = data.examples
    rows = min(n, batches * batch_size)
    val = max(1, len(data.x_val) * rows // n)
    part = replace(
        data,
        x_train=data.x_train[:rows],
        y_train=data.y_train[:rows],
        x_val=data.x_val[:val],
        y_val=data.y_val[:val],
        views=1,
    )
    return part, n / rows


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on the device, or in the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _measure_stacked(
    data: DeviceData, config: MlpConfig, lanes: int, share: float, *, device: torch.device, precision: str
) -> Measurement:
    stacked = StackedLanes(data, device=device, precision=precision)
    seconds = seconds_per_lane_epoch(stacked, [config] * lanes)
    memory = stacked.memory_bytes
    stacked.close()
    return Measurement(lanes, seconds * share * 1e3, memory)


def _still_paying(found: Sequence[Measurement]) -> bool:
    """Say whether one of the last two sizes was cheaper than all before by the margin."""
    if len(found) < 3:
        return True
    before = min(m.ms_per_lane_epoch for m in found[:-2])
    return min(m.ms_per_lane_epoch for m in found[-2:]) < before * (1 - MARGIN)
