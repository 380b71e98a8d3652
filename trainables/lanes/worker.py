"""The lanes of one device, as an executor uses them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.device_data import DeviceData, batch_bounds
from trainables.lanes.event import LaneEvent
from trainables.lanes.grouping import can_stack, group_key, usual_mode
from trainables.lanes.looped import LoopedLanes, Start
from trainables.lanes.measure import ModeChoice, faster_mode, sample
from trainables.lanes.products import check_precision
from trainables.lanes.stacked import StackedLanes
from trainables.lanes.threads import usual_threads
from trainables.lanes.trial import LaneTrial
from trainables.machine import THIS_MACHINE, Machine
from trainables.weights_snapshot import WeightsSnapshot, snapshot_weights

MODES = ("usual", "auto", "stacked", "looped")
MEASURED_LANES = 16
"""Lanes that are stacked to decide between the modes; more would not change the answer."""


StandIn = Callable[[Any, Any], tuple[MlpConfig, DeviceData] | None]
"""(config, data) -> what the trial trains as, and on what; None where it trains as itself."""


@dataclass(frozen=True, slots=True)
class _Role:
    """What a trial trains as.

    Attributes:
        data: of the worker, or the trial's own.
        stands_in: whether it does so in place of another configuration.
    """

    config: Any
    data: Any
    stands_in: bool = False

    @property
    def key(self) -> Hashable:
        """What the trials of a mode have in common; where data differ, their size decides too."""
        key = group_key(self.config)
        return f"{key}, {self.data.features} features" if self.stands_in else key

    @property
    def too_small_for_norm(self) -> bool:
        """Whether batch norm has a batch of one example, which it refuses: the loop says so, for this trial alone."""
        if not can_stack(self.config) or not self.config.batch_norm:
            return False
        return any(stop - start == 1 for start, stop in batch_bounds(self.data.examples, self.config.batch_size))


class LaneWorker:
    """Holds one device and trains many trials at once, a lane each.

    A trial's curve depends on its configuration, its seed and the data. On CPU it is the same bit for bit
    whatever its lane, its neighbours and their number: every operation treats each lane alone. Stacked
    CNNs are the exception, and on a GPU all stacks: for another number of lanes the library may choose
    another kernel, which rounds otherwise.

    Args:
        data: the examples, on ``device``; for trainables of another kind whatever ``start`` takes.
        device: where the trials train.
        lanes: how many trials at once, over all groups.
        precision: of the matrix products: ``fp32``, or ``bf16`` (weights and moments stay fp32).
        mode: ``stacked``, ``looped``, ``usual`` (see ``usual_mode``), or ``auto``: for each group whichever
            was measured faster.
        start: (config, data, *, seed, device) -> run with ``step``, ``state_dict``, ``load_state_dict``;
            used by looped lanes; the plain loop by default.
        threads: CPU threads; by default as many as torch uses, up to 8.
        measured: what ``auto`` chose before, by ``str`` of the group's key; it is not measured again.
        stands_in: for a configuration that cannot stack another that can, and its examples: the trial then
            trains, and is saved, as that one. Trials that are given the same object share stacks; when
            the last of them is retired the object is let go. Where there are such trials, those that can neither
            stack nor be stood in for are looped in the mode ``stacked`` too.
        side_by_side: says of which trials that cannot stack several may train at a time, in threads with a core
            each; None of none: they train in turn.
        machine: what ``device`` is a device of.

    Attributes:
        lanes: the capacity.
        modes: for each group that was seated how it trains, ``stacked`` or ``looped``.
        choices: what ``auto`` measured, by ``str`` of the group's key.

    Raises:
        ValueError: lanes below 1, an unknown mode or precision, or a precision that the device lacks.
    """

    def __init__(
        self,
        data: Any,
        *,
        device: torch.device,
        lanes: int,
        precision: str = "fp32",
        mode: str = "auto",
        start: Start | None = None,
        threads: int | None = None,
        measured: Mapping[str, str] | None = None,
        stands_in: StandIn | None = None,
        side_by_side: Callable[[Any], bool] | None = None,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        if lanes < 1:
            raise ValueError(f"lanes must be >= 1, got {lanes}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        check_precision(precision, device, machine)
        self.lanes = lanes
        self.modes: dict[Hashable, str] = {}
        self._data = data
        self._device = device
        self._precision = precision
        self._mode = mode
        self._start = start
        self._threads = threads
        self._measured = dict(measured or {})
        self._stands_in = stands_in
        self._side_by_side = side_by_side
        self.choices: dict[str, ModeChoice] = {}
        self._looped: dict[tuple[bool, bool], LoopedLanes] = {}
        self._stacked: StackedLanes | None = None
        self._seats: dict[int, StackedLanes | LoopedLanes] = {}

    @property
    def free(self) -> int:
        """Lanes that hold no trial."""
        return self.lanes - len(self._seats)

    def seat(self, ticket: int, config: Any, *, seed: int, state: dict[str, Any] | None = None) -> None:
        """Put a trial into a free lane.

        Args:
            ticket: the caller's number for the trial.
            config: the trial's configuration.
            seed: the trial's seed.
            state: what ``state_dict`` of a lane or of the plain loop returned, to continue from.

        Raises:
            ValueError: no lane is free, the ticket is taken, or such a trial cannot be stacked and the
                mode is ``stacked``.
            Exception: what ``start`` or ``stands_in`` raised, or a state that does not fit; the lane stays free.
        """
        if ticket in self._seats:
            raise ValueError(f"trial {ticket} already holds a lane")
        if self.free < 1:
            raise ValueError(f"no lane is free for trial {ticket}: all {self.lanes} are taken")
        role = self._role(config)
        kind = self._kind(role)
        trial = kind.seat(ticket, role.config, seed=seed, data=role.data)
        if state is not None:
            try:
                trial.load_state_dict(state)
            except Exception:
                kind.retire(ticket)
                raise
        self._seats[ticket] = kind

    def retire(self, ticket: int) -> None:
        """Free the trial's lane, whatever became of the trial."""
        self._seat_of(ticket).retire(ticket)
        del self._seats[ticket]

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial, groups one after another; return an event for each.

        A trial whose report has a ``stop``, or that raised, is to be retired before the next call. The
        seconds of a report are the trial's share of its stack's epoch.
        """
        events: dict[int, LaneEvent] = {}
        for looped in self._looped.values():
            events |= looped.advance()
        if self._stacked is not None:
            events |= self._stacked.advance()
        return events

    def state_dict(self, ticket: int) -> dict[str, Any]:
        """Return the trial's checkpoint, in the format of the plain loop."""
        return self._seat_of(ticket).trial(ticket).state_dict()

    def weights(self, ticket: int) -> WeightsSnapshot:
        """Return what makes the state of the trial's model as it is now, in the names of the plain loop."""
        trial = self._seat_of(ticket).trial(ticket)
        return trial.weights() if isinstance(trial, LaneTrial) else snapshot_weights(trial)

    def compact(self, lanes: int) -> None:
        """Shrink to ``lanes`` lanes once no trial waits for one, so that empty ones cost nothing.

        Raises:
            ValueError: fewer than are seated, or than 1, or more than there are.
        """
        if not max(1, len(self._seats)) <= lanes <= self.lanes:
            raise ValueError(f"lanes must be between {max(1, len(self._seats))} (seated) and {self.lanes}, got {lanes}")
        self.lanes = lanes
        if self._stacked is not None:
            self._stacked.compact()

    def close(self) -> None:
        """End the threads; the worker is of no use afterwards."""
        for looped in self._looped.values():
            looped.close()
        if self._stacked is not None:
            self._stacked.close()

    def _seat_of(self, ticket: int) -> StackedLanes | LoopedLanes:
        if ticket not in self._seats:
            raise KeyError(f"trial {ticket} holds no lane")
        return self._seats[ticket]

    def _role(self, config: Any) -> _Role:
        found = None if self._stands_in is None else self._stands_in(config, self._data)
        return _Role(config, self._data) if found is None else _Role(*found, stands_in=True)

    def _kind(self, role: _Role) -> StackedLanes | LoopedLanes:
        """Return the lanes that a trial belongs in."""
        if role.key not in self.modes:
            self.modes[role.key] = self._mode_for(role)
        if self.modes[role.key] == "stacked" and not role.too_small_for_norm:
            if self._stacked is None:
                self._stacked = self._stacked_lanes(self._data)
            return self._stacked
        which = (self._threads_well(role), role.stands_in)
        if which not in self._looped:
            self._looped[which] = self._looped_lanes(role, self._data)
        return self._looped[which]

    def _mode_for(self, role: _Role) -> str:
        if not can_stack(role.config):
            if self._mode == "stacked" and self._stands_in is None:
                raise ValueError(f"a {type(role.config).__name__} cannot be stacked; use mode looped")
            return "looped"
        if self._mode == "usual":
            return usual_mode(role.config, self._device)
        if self._mode != "auto":
            return self._mode
        name = str(role.key)
        if name not in self._measured:
            self.choices[name] = choice = self._measure(role)
            self._measured[name] = choice.mode
        return self._measured[name]

    def _measure(self, role: _Role) -> ModeChoice:
        part, share = sample(role.data, role.config.batch_size)
        stacked, looped = self._stacked_lanes(part), self._looped_lanes(role, part)
        try:
            return faster_mode(stacked, looped, role.config, lanes=min(self.lanes, MEASURED_LANES), share=share)
        finally:
            stacked.close()
            looped.close()

    def _threads_well(self, role: _Role) -> bool:
        """Say whether several such trials may train at a time; our own may."""
        return can_stack(role.config) or (self._side_by_side is not None and self._side_by_side(role.config))

    def _stacked_lanes(self, data: Any) -> StackedLanes:
        return StackedLanes(data, device=self._device, precision=self._precision, threads=self._threads)

    def _looped_lanes(self, role: _Role, data: Any) -> LoopedLanes:
        """Return lanes for plain loops: several at a time where that is known to do no harm."""
        ours = self._threads_well(role) and self._device.type == "cpu"
        threads = (self._threads or usual_threads(self._device)) if ours else None
        start = None if role.stands_in else self._start
        return LoopedLanes(data, device=self._device, precision=self._precision, start=start, threads=threads)
