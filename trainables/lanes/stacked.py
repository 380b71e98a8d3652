"""Stacked lanes: groups of trials in stacks, the stacks spread over the CPU's cores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any

import torch

from trainables.config import MlpConfig, loss_name
from trainables.device_data import DeviceData, batch_bounds
from trainables.errors import is_of_a_signal, is_out_of_memory
from trainables.lane_event import LaneEvent, raised
from trainables.lanes.blueprint import Blueprint, blueprint
from trainables.lanes.grouping import GroupKey, stack_sizes
from trainables.lanes.modules.blueprint import ModuleBlueprint
from trainables.lanes.modules.key import ModuleKey
from trainables.lanes.modules.source import BuiltModule, ModuleSource
from trainables.lanes.modules.trial import ModuleTrial
from trainables.lanes.products import products_for
from trainables.lanes.seat import Seat
from trainables.lanes.stack import Stack
from trainables.lanes.threads import start_pool, usual_threads
from trainables.lanes.trial import LaneTrial


class Group:
    """The trials that could share a stack, and the stacks they are in.

    Args:
        model: what they have in common.
        data: the examples, on ``device``.
        make_stack: (model, data, *, lanes) -> an empty stack.
        threads: how many stacks can train at the same time.
        device: where it all lies.
    """

    def __init__(
        self,
        model: Blueprint | ModuleBlueprint,
        data: DeviceData,
        *,
        make_stack: Callable[..., Stack],
        threads: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self.data = data
        self.stacks: list[Stack] = []
        self.waiting: list[LaneTrial] = []
        self._make_stack = make_stack
        self._threads = threads
        self._device = device

    @property
    def trials(self) -> list[LaneTrial]:
        """All trials of the group, in a stack or waiting for one."""
        return [*(t for stack in self.stacks for t in stack.seated), *self.waiting]

    def place(self) -> None:
        """Give every waiting trial a lane: a free one where there is one, else in larger stacks."""
        for trial in [*self.waiting]:
            free = [s for s in self.stacks if None in s.trials and not s.broken]
            if not free:
                break
            # a stack pays for batch norm if one of its trials has it, so like sits with like
            free.sort(key=lambda s: _has_norm(s) != trial.config.batch_norm)
            free[0].seat(trial)
            self.waiting.remove(trial)
        lanes = sum(len(s.trials) for s in self.stacks)
        if self.waiting or lanes > 2 * len(self.trials):
            self.rebuild()

    def retire(self, trial: LaneTrial) -> None:
        """Free the trial's lane; a stack that broke goes with the last of its trials, and its memory with it."""
        if trial in self.waiting:
            self.waiting.remove(trial)
            return
        for stack in [*self.stacks]:
            if trial in stack.trials:
                stack.retire(trial)
                if stack.broken and not stack.seated:
                    self.stacks.remove(stack)

    def rebuild(self) -> None:
        """Move all trials into stacks that have a lane for each and few to spare."""
        trials = sorted(self.trials, key=lambda t: _needs(t.config))
        sizes = stack_sizes(
            len(trials),
            lane_bytes=self.model.lane_bytes,
            fewest=self.model.fewest,
            threads=self._threads,
            device=self._device,
        )
        # all of them before any trial moves: if there is no room, everything stays as it was
        stacks = [self._make_stack(self.model, self.data, lanes=size) for size in sizes]
        for stack, size in zip(stacks, sizes, strict=True):
            for trial in trials[:size]:
                stack.seat(trial)
            del trials[:size]
        self.stacks = stacks
        self.waiting = []


class StackedLanes:
    """Trials that train in stacks.

    On CPU every stack of an epoch runs on one thread with one core, so that its numbers stay in that
    core's cache and no operation waits for another core; on a GPU one thread launches all.

    Args:
        data: the examples of the trials that bring none of their own, on ``device``.
        device: where the stacks train.
        precision: of the matrix products.
        threads: CPU threads; by default as many as torch uses, up to ``threads.MOST_THREADS``.
        modules: builds the modules of trials that are no configurations of ours.
        make_stack: makes the stacks; called as ``Stack``.
    """

    def __init__(
        self,
        data: DeviceData,
        *,
        device: torch.device,
        precision: str = "fp32",
        threads: int | None = None,
        modules: ModuleSource | None = None,
        make_stack: Callable[..., Stack] = Stack,
    ) -> None:
        self._data = data
        self._device = device
        self._modules = modules
        self._make_stack = partial(make_stack, products=products_for(precision), device=device)
        self._threads = threads if threads and device.type == "cpu" else usual_threads(device)
        self._pool = start_pool(self._threads, device, flush=True)
        self._groups: dict[Hashable, Group] = {}

    @property
    def numbers(self) -> list[int]:
        """The numbers of the trials in these lanes."""
        return [trial.number for group in self._groups.values() for trial in group.trials]

    def seat(
        self,
        number: int,
        config: Any,
        *,
        seed: int,
        data: DeviceData | None = None,
        full_state: Callable[[Any], Any] | None = None,
        built: BuiltModule | None = None,
    ) -> Seat:
        """Take a trial; it gets its lane at the next ``advance``.

        Args:
            number: the caller's number for the trial.
            config: the trial's configuration.
            seed: the trial's seed.
            data: the trial's own examples; it shares stacks with those that bring the same object.
            full_state: see ``Seat``.
            built: the trial's module, where it was built before; the trial takes it over.

        Raises:
            ConfigError: its loss is not for the data's task.
        """
        data = self._data if data is None else data
        if built is None and self._modules is not None and not isinstance(config, MlpConfig):
            built = self._modules.build(config, data, seed=seed, device=self._device)
        training: MlpConfig = config if built is None else built.training
        loss_name(training.loss, data.task, label_smoothing=training.label_smoothing)
        shared = GroupKey.of(training) if built is None else built.key
        key = (shared, id(data))  # of an object that the group holds, so that no other can have its number
        if key not in self._groups:
            self._groups[key] = Group(
                self._blueprint(shared, config, data),
                data,
                make_stack=self._make_stack,
                threads=self._threads,
                device=self._device,
            )
        group = self._groups[key]
        batches = len(batch_bounds(data.examples, training.batch_size))
        make: Callable[..., LaneTrial] = LaneTrial if built is None else partial(ModuleTrial, built=built)
        trial = make(number, training, group.model, batches=batches, seed=seed, device=self._device)
        group.waiting.append(trial)
        return Seat(number, trial, partial(self._retire, key, trial), full_state=full_state)

    def _blueprint(self, key: GroupKey | ModuleKey, config: Any, data: DeviceData) -> Blueprint | ModuleBlueprint:
        """Return what the trials of a group have in common, given the first."""
        if isinstance(key, GroupKey):
            return blueprint(key, data.shape, data.outputs)
        assert self._modules is not None, "only modules have such a key"
        build = partial(self._modules.trainable.module_of, config, data, seed=0, device=self._device)
        return ModuleBlueprint(key, build, data.shape, data.outputs)

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial.

        Where there is no room for the trials that wait for a lane, that is an event of theirs alone. Every
        trial that raised is to be retired before the next call.
        """
        events: dict[int, LaneEvent] = {}
        for key, group in [*self._groups.items()]:
            if not group.trials:
                del self._groups[key]
                continue
            try:
                group.place()
            except Exception as error:
                shared = len(group.trials) > 1
                events |= {trial.number: raised(error, shared=shared) for trial in group.waiting}
        for part in self._pool.map(_advance, self._busy_stacks()):
            events |= part
        return events

    def compact(self) -> None:
        """Give up the lanes that no trial holds; where even that takes more memory than there is, keep them."""
        for group in self._groups.values():
            try:
                group.place()
                if any(None in stack.trials for stack in group.stacks):
                    group.rebuild()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise

    @property
    def memory_bytes(self) -> int:
        """What the stacks' tensors take."""
        return sum(stack.memory_bytes for group in self._groups.values() for stack in group.stacks)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _retire(self, key: Hashable, trial: LaneTrial) -> None:
        """Free the trial's lane; data of its own that no other trial trains on is let go."""
        group = self._groups[key]
        group.retire(trial)
        if group.data is not self._data and not group.trials:
            del self._groups[key]

    def _busy_stacks(self) -> Iterator[Stack]:
        """Yield every stack that holds a trial; all of a group, then the next."""
        for group in self._groups.values():
            yield from (stack for stack in group.stacks if stack.seated)


def _advance(stack: Stack) -> dict[int, LaneEvent]:
    """Train one epoch of a stack; what it raises is an event of each of its trials."""
    seated = stack.seated
    try:
        return {trial.number: LaneEvent(report) for trial, report in stack.advance()}
    except BaseException as error:  # a module that calls sys.exit ends no worker
        if is_of_a_signal(error):
            raise
        stack.broken = True
        stack.go_back()
        return {trial.number: raised(error, shared=len(seated) > 1) for trial in seated}


def _needs(config: MlpConfig) -> tuple[bool, ...]:
    """Return what a whole stack pays for if one of its trials needs it, the dearest first."""
    return config.batch_norm, config.l1_penalty > 0, config.input_dropout > 0, config.label_smoothing > 0


def _has_norm(stack: Stack) -> bool:
    return any(t.config.batch_norm for t in stack.seated)
