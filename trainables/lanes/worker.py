"""The lanes of one device, as an executor uses them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from trainables.errors import CannotStackError, is_out_of_memory
from trainables.lane_event import LaneEvent
from trainables.lanes.grouping import can_stack, usual_mode
from trainables.lanes.looped import LoopedLanes, Start
from trainables.lanes.maker import LaneMaker
from trainables.lanes.measure import IN_TURN, REBUILT, ModeChoice, seconds_per_lane_epoch
from trainables.lanes.modules.groups import ModuleGroups
from trainables.lanes.modules.source import BuiltModule, ModuleSource
from trainables.lanes.products import check_precision
from trainables.lanes.role import Role
from trainables.lanes.seat import Seat
from trainables.lanes.stack import Stack
from trainables.lanes.stacked import StackedLanes
from trainables.lanes.threads import usual_threads
from trainables.loop import TrainingRun
from trainables.machine import THIS_MACHINE, Machine
from trainables.protocols import HasStackableForm
from trainables.user_code import error_line

MODES = ("usual", "auto", "stacked", "looped")


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
        stands_in: names for a configuration that cannot stack one that can, and its examples: the trial then
            trains, and is saved, as that one; its ``Seat.weights`` are those of the whole model. Trials that are
            given the same object share stacks; when the last of them is retired the object is let go. Where there
            are such trials, those that can neither stack nor be stood in for are looped in the mode ``stacked`` too.
        side_by_side: says of which trials that cannot stack several may train at a time, in threads with a core
            each; None of none: they train in turn.
        modules: builds the modules of trials that are no configurations of ours. Such trials train side by side on a
            CPU where ``why_in_turn`` finds nothing against it.
        machine: what ``device`` is a device of.
        make_stack: makes the stacks; called as ``Stack``.
        time_epoch: how ``auto`` measures; called as ``seconds_per_lane_epoch``.

    Attributes:
        lanes: the capacity.
        modes: for each group that was seated how it trains, ``stacked``, ``looped`` or, of modules, ``in turn`` or
            ``rebuilt``.
        choices: what ``auto`` measured, or was found of modules, by ``str`` of the group's key.

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
        stands_in: HasStackableForm | None = None,
        side_by_side: Callable[[Any], bool] | None = None,
        modules: ModuleSource | None = None,
        machine: Machine = THIS_MACHINE,
        make_stack: Callable[..., Stack] = Stack,
        time_epoch: Callable[[StackedLanes | LoopedLanes, Sequence[Any]], float] = seconds_per_lane_epoch,
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
        self._mode = mode
        self._measured = dict(measured or {})
        self._stands_in = stands_in
        self._side_by_side = side_by_side
        if modules is not None:
            threads = threads or usual_threads(device)
        self._make = LaneMaker(device, precision, start, threads, modules, make_stack, time_epoch)
        self._groups: ModuleGroups | None = None
        if modules is not None:
            self._groups = ModuleGroups(
                modules,
                start or TrainingRun,
                device=device,
                mode=mode if precision == "fp32" else "looped",
                measured=self._measured,
                lanes=lanes if modules.at_once is None else modules.at_once,
                measure=self._make.faster_of_modules,
            )
        self._stacked_modules: dict[int, tuple[Seat, Role, int]] = {}
        self.choices: dict[str, ModeChoice] = {} if self._groups is None else self._groups.choices
        self._looped: dict[tuple[bool, ...], LoopedLanes] = {}
        self._stacked: StackedLanes | None = None

    @property
    def free(self) -> int:
        """Lanes that hold no trial."""
        return self.lanes - len(self._numbers)

    def seat(
        self, number: int, config: Any, *, seed: int, state: dict[str, Any] | None = None, data: Any = None
    ) -> Seat:
        """Put a trial into a free lane, and return its handle.

        Args:
            number: the caller's number for the trial.
            config: the trial's configuration.
            seed: the trial's seed.
            state: what ``Seat.state`` or the plain loop returned, to continue from.
            data: the trial's own examples, in place of the worker's; trials that are given the same object share
                stacks.

        Raises:
            ValueError: no lane is free, the trial holds one, or such a trial cannot be stacked and the
                mode is ``stacked``.
            Exception: what ``start`` or ``stands_in`` raised, or a state that does not fit; the lane stays free.
        """
        if number in self._numbers:
            raise ValueError(f"trial {number} already holds a lane")
        if self.free < 1:
            raise ValueError(f"no lane is free for trial {number}: all {self.lanes} are taken")
        role, built = self._role(config, self._data if data is None else data, seed)
        lanes = self._lanes_for(role)
        facts = {"seed": seed, "data": role.data, "full_state": role.full_state}
        if isinstance(lanes, LoopedLanes):
            seat = lanes.seat(number, role.config, **facts)
        else:
            seat = lanes.seat(number, role.config, built=built, **facts)
            if role.module is not None:
                self._stacked_modules[number] = (seat, role, seed)
        if state is not None:
            try:
                seat.load(state)
            except BaseException:
                seat.retire()
                raise
        return seat

    def learn(self, modes: Mapping[str, str]) -> None:
        """Take up how groups train, by ``str`` of their keys; what was measured here stays."""
        self._measured = {**modes, **self._measured}
        if self._groups is not None:
            self._groups.learn(modes)

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial, groups one after another; return an event for each.

        A trial whose report has a ``stop``, or that raised, is to be retired before the next call. The
        seconds of a report are the trial's share of its stack's epoch.
        """
        seated = set() if self._stacked is None else set(self._stacked.numbers)
        self._stacked_modules = {n: held for n, held in self._stacked_modules.items() if n in seated}
        stacked = {} if self._stacked is None else self._stacked.advance()
        stacked = {number: event for number, event in stacked.items() if not self._goes_on_looped(number, event)}
        events: dict[int, LaneEvent] = {}
        for looped in self._looped.values():
            events |= looped.advance()
        return events | stacked

    def _goes_on_looped(self, number: int, event: LaneEvent) -> bool:
        """Move a module's trial whose stack raised to the plain loop, to the beginning of that epoch; say if so.

        A stack that ran out of memory is one of fewer trials next; one that holds a single trial cannot be.
        """
        held, error = self._stacked_modules.get(number), event.error
        if error is None or held is None or self._groups is None or (is_out_of_memory(error) and event.shared):
            return False
        seat, role, seed = held
        assert role.module is not None, "such trials are remembered alone"
        state = seat.state()
        self._groups.loop(role.module, _why_no_longer(error))
        self.modes[role.key] = "looped"
        try:
            other = self._lanes_for(role).seat(number, role.config, seed=seed, data=role.data)
            other.load(state)
        except Exception:
            return False  # the trial ends with what its stack raised
        seat.move_to(other)
        return True

    def compact(self, lanes: int) -> None:
        """Shrink to ``lanes`` lanes once no trial waits for one, so that empty ones cost nothing.

        Raises:
            ValueError: fewer than are seated, or than 1, or more than there are.
        """
        seated = max(1, len(self._numbers))
        if not seated <= lanes <= self.lanes:
            raise ValueError(f"lanes must be between {seated} (seated) and {self.lanes}, got {lanes}")
        self.lanes = lanes
        if self._stacked is not None:
            self._stacked.compact()

    def close(self) -> None:
        """End the threads; the worker is of no use afterwards."""
        for looped in self._looped.values():
            looped.close()
        if self._stacked is not None:
            self._stacked.close()

    @property
    def _numbers(self) -> list[int]:
        """The numbers of the trials that hold a lane."""
        numbers = [number for looped in self._looped.values() for number in looped.numbers]
        return numbers if self._stacked is None else numbers + self._stacked.numbers

    def _role(self, config: Any, data: Any, seed: int) -> tuple[Role, BuiltModule | None]:
        """Return what a trial trains as, and its module, where it is none of ours."""
        stands_in = self._stands_in
        if stands_in is not None and (found := stands_in.stackable_form(config, data)) is not None:
            return Role(*found, full_state=partial(stands_in.full_state, config, data)), None
        built = None if self._groups is None else self._groups.group(config, data, seed=seed)
        return Role(config, data, module=None if built is None else built.key), built

    def _lanes_for(self, role: Role) -> StackedLanes | LoopedLanes:
        """Return the lanes that a trial belongs in."""
        if role.module is not None and self._groups is not None:
            self.modes[role.key] = self._groups.modes[role.module]
        if role.key not in self.modes:
            self.modes[role.key] = self._mode_for(role)
        if self.modes[role.key] == "stacked" and not role.too_small_for_norm:
            if self._stacked is None:
                self._stacked = self._make.stacked(self._data)
            return self._stacked
        beside = self._trains_beside_others(role)
        rebuilt = role.module is not None and self.modes[role.key] == REBUILT
        which = (beside, role.stands_in, role.module is not None, rebuilt)
        if which not in self._looped:
            self._looped[which] = self._make.looped(role, self._data, beside=beside, rebuilt=rebuilt)
        return self._looped[which]

    def _mode_for(self, role: Role) -> str:
        if not can_stack(role.config) or role.streams:
            if self._mode == "stacked" and self._stands_in is None:
                raise ValueError(f"a {type(role.config).__name__} cannot be stacked; use mode looped")
            return "looped"
        if self._mode == "usual":
            return usual_mode(role.config, self._device)
        if self._mode != "auto":
            return self._mode
        name = str(role.key)
        if name not in self._measured:
            self.choices[name] = choice = self._make.faster(role, lanes=self.lanes)
            self._measured[name] = choice.mode
        return self._measured[name]

    def _trains_beside_others(self, role: Role) -> bool:
        """Say whether several such trials may train at a time; our own may."""
        if role.module is not None:
            return self.modes[role.key] not in (IN_TURN, REBUILT)
        return can_stack(role.config) or (self._side_by_side is not None and self._side_by_side(role.config))


def _why_no_longer(error: BaseException) -> str:
    """Return why a group of modules is stacked no longer, given what its stack raised."""
    if is_out_of_memory(error):
        return "not stacked any longer, as there is no memory for two lanes of it"
    if isinstance(error, CannotStackError):
        return f"not stacked any longer, as {error}"
    return f"stacked it raised {error_line(error)}"
