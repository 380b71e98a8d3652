"""One worker of the lanes: it holds a device with its data, carries out orders, and says what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.brain.order import TrialOrder
from search.declaration.study import Study
from search.executors.marker import MarkerFile, RunWithMarkerFile
from search.executors.paused_states import PausedStates, paused_mb
from search.ledger.events import CheckpointNote, LaneModeMeasured
from trainables.best import BestModels, trial_facts
from trainables.checkpoint_store import CheckpointStore
from trainables.errors import CheckpointWriteError, first_line, is_of_a_signal
from trainables.folded import with_folds
from trainables.kept_data import KeptData
from trainables.model_function import take_function
from trainables.notice import Notice
from trainables.protocols import IsToldItsTrial, Run, Trainable
from trainables.registry import find_trainable, function_path, is_train_function

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits
    from trainables.lanes import FoldSeat, LaneEvent, LaneWorker, Seat


@dataclass(frozen=True)
class Orders:
    """What a worker does in one go: free lanes, fill lanes, then train one epoch of all of them.

    Attributes:
        retire: trials whose lanes become free.
        pause: trials that give up their lanes, and may come back with what they have; each with whether the model of
            its best epoch is to be written now.
        compact: shrink to this many lanes, or None.
        seat: trials that begin, or go on.
    """

    retire: tuple[int, ...] = ()
    pause: Mapping[int, bool] = field(default_factory=dict)
    compact: int | None = None
    seat: tuple[TrialOrder, ...] = ()


@dataclass(frozen=True)
class Advance:
    """What came of a worker's orders.

    Attributes:
        events: what each seated trial reported.
        notes: what the ledger should know of checkpoints (that one was damaged, say).
        notices: what trials have to say beside their reports, each with the trial's number.
        measured: how groups train whose mode was measured since the last orders.
        unsaved: why a checkpoint could not be written, or empty; the search cannot go on safely then.
        saved: whether checkpoints of these epochs were written.
    """

    events: dict[int, LaneEvent]
    notes: tuple[CheckpointNote, ...] = ()
    notices: tuple[tuple[int, list[Notice]], ...] = ()
    measured: tuple[LaneModeMeasured, ...] = ()
    unsaved: str = ""
    saved: bool = False


class LaneHost:
    """One worker: the data on its device, and the lanes. Lives in the driver or in a Ray actor.

    Args:
        study: the declaration.
        splits: the examples; copied to the device once.
        device: a torch device, or None for the GPU that Ray assigned (CPU if it assigned none).
        checkpoints: folder of the study's checkpoints; every node must see it.
        marker: file that names the trials in training, for whoever finds this worker dead or hung; None where
            nobody looks.
        in_turn: whether trials that may train side by side train in turn, so that one alone is in training.
        processes: how many such workers share the trials, with a core each: there each trains its own in turn.
        modes: how groups train whose mode was measured before.
        function: a model's function of the driver's script or notebook, as ``carried_function`` returned it.
        make_worker: makes the lanes; called as ``LaneWorker``, which it is by default.
    """

    def __init__(
        self,
        study: Study,
        splits: Splits,
        *,
        device: str | None,
        checkpoints: Path,
        marker: Path | None = None,
        in_turn: bool = False,
        processes: int = 1,
        modes: Mapping[str, str] | None = None,
        function: bytes | None = None,
        make_worker: Callable[..., LaneWorker] | None = None,
    ) -> None:
        import torch

        from search.executors.choice import choose_number
        from search.executors.lane_workers import build_lanes, threads_of

        where = _assigned_device() if device is None else torch.device(device)
        self._study = study
        take_function(function_path(study.trainable), function)
        kept = splits.of_the_kept
        self._shape, self._outputs = kept.shape, kept.outputs
        self._kept_data, self._folds = KeptData.of(kept).to_dict(), len(splits.folds)
        self._of_a_lane: Trainable = find_trainable(study.trainable)
        self._trainable = with_folds(self._of_a_lane, splits)
        self._store = CheckpointStore(checkpoints)
        self._best = BestModels(self._store, study.remembered_by)
        self._paused = PausedStates(self._store, self._best, limit_mb=paused_mb(study))
        self._orders: dict[int, TrialOrder] = {}
        self._marker = None if marker is None else MarkerFile(marker)
        self._seating = -1
        self._saved_at = time.monotonic()
        self._seats: dict[int, Seat | FoldSeat] = {}
        self._notices: list[tuple[int, list[Notice]]] = []
        data = self._trainable.prepare(splits, where)
        self._lanes, self._reason = choose_number(study, self._trainable, data, where)
        if processes > 1:
            self._reason += f"; up to {processes} train at a time, in processes with a core each"
        elif not in_turn and (threads := threads_of(study, where, self._lanes)) is not None:
            most = "" if is_train_function(study.trainable) else "up to "
            self._reason += f"; {most}{threads} train at a time, a core each"
        self._worker = build_lanes(
            study,
            self._trainable,
            data,
            device=where,
            lanes=self._lanes,
            start=self._start,
            marked=marker is not None,
            in_turn=in_turn,
            processes=processes,
            measured=modes,
            doing=None if self._marker is None else self._marker.doing,
            make_worker=make_worker,
        )

    def describe(self) -> tuple[int, str]:
        """Return the number of lanes, and how it came about."""
        return self._lanes, self._reason

    def learn(self, modes: Mapping[str, str]) -> None:
        """Take up how groups train that another worker found out about; what is known here stays."""
        self._worker.learn(modes)

    def advance(
        self, orders: Orders, *, seated: Callable[[tuple[LaneModeMeasured, ...]], None] | None = None
    ) -> Advance:
        """Carry out ``orders`` and return what every seated trial reported.

        A trial that cannot be seated, or that raises on its way to where it was, is in no lane afterwards.

        Args:
            orders: what to do.
            seated: called before anything trains, with how groups train whose mode was measured meanwhile.
        """
        notes: list[CheckpointNote] = []
        for number in orders.retire:
            self._retire(number)
            self._best.forget(number)
            self._orders.pop(number, None)
        unsaved = self._pause(orders.pause, notes)
        if orders.compact is not None:
            self._worker.compact(orders.compact)
        failed: dict[int, LaneEvent] = {}
        behind = [order for order in orders.seat if order.epochs]
        if behind and (not self._seats or self._study.scheduler.pauses):
            self._catch_up(behind, notes, failed)
        for order in orders.seat:
            if order.number not in self._seats and order.number not in failed:
                self._seat(order, notes, failed)
        measured = self._take_measured()
        if seated is not None:
            seated(measured)
        events = self._train()
        due = time.monotonic() - self._saved_at >= self._study.checkpoint_every_s
        if due:
            try:
                notes += self.save(n for n, e in events.items() if e.report is not None and e.report.stop is None)
                notes += _as_notes(self._paused.save())
            except CheckpointWriteError as error:
                unsaved = str(error)
        for number, seat in self._seats.items():
            self._notices.append((number, seat.take_notices()))
        notices = tuple(told for told in self._notices if told[1])
        self._notices.clear()
        measured += self._take_measured()
        return Advance(events | failed, tuple(notes), notices, measured, unsaved, saved=due)

    def close(self) -> None:
        """Let go of the lanes and the data; the host is of no use afterwards."""
        self._worker.close()
        self._seats.clear()
        del self._worker

    def save(self, numbers: Iterable[int]) -> list[CheckpointNote]:
        """Write a checkpoint of each of ``numbers``, seated or paused; return what the ledger should know."""
        notes: list[CheckpointNote] = []
        for number in numbers:
            if number not in self._seats:
                notes += _as_notes(self._paused.save([number]))
                continue
            notes += _checkpoint_notes(number, self._best.write(number))
            self._store.save(number, self._seats[number].state())
        self._saved_at = time.monotonic()
        return notes

    def write_best(self, numbers: Sequence[int]) -> list[CheckpointNote]:
        """Write the best models of trials that ended and were not retired yet; return as ``save``."""
        return [note for write in self.best_model_writers(numbers).values() for note in write()]

    def best_model_writers(self, numbers: Sequence[int]) -> dict[int, Callable[[], list[CheckpointNote]]]:
        """Return, by trial, what writes its best model; it may be called after the trial is retired."""
        return {number: partial(_write_best, number, self._best.keep(number)) for number in numbers}

    def _train(self) -> dict[int, LaneEvent]:
        """Train an epoch, and remember the models of those for which it was the best."""
        if self._marker is not None:
            self._marker.clear()  # stacks come first, which may take longer than the trial that is named
        events = self._worker.advance()
        for number, event in events.items():
            if event.report is not None:
                try:
                    self._best.observe(number, event.report, self._seats[number].weights)
                except BaseException as error:  # its own state, which its own code may fail to say
                    if is_of_a_signal(error):
                        raise
                    events[number] = replace(event, report=None, error=error)
        return events

    def _retire(self, number: int) -> None:
        """Free the lane of a trial, if it has one."""
        if number in self._seats:
            self._notices.append((number, self._seats.pop(number).retire()))

    def _pause(self, numbers: Mapping[int, bool], notes: list[CheckpointNote]) -> str:
        """Take trials out of their lanes; return why their states cannot be written where there is no room."""
        unsaved = ""
        for number, leads in numbers.items():
            unsaved = self._take_state(number, notes, leads=leads) or unsaved
            self._retire(number)
            del self._orders[number]
        self._paused.give_back()
        return unsaved

    def _take_state(self, number: int, notes: list[CheckpointNote], *, leads: bool) -> str:
        """Take the state of a trial; nothing else holds it once this returns. Return as ``_pause``."""
        try:
            state = self._seats[number].state()
        except BaseException as error:  # of its own code; it trains again from its last checkpoint
            if is_of_a_signal(error):
                raise
            self._best.forget(number)
            lost = f"trial {number}: its state cannot be taken where it was paused: {first_line(error)}"
            notes.append(CheckpointNote(trial=number, note=lost))
            return ""
        try:
            notes += _as_notes(self._paused.put(number, state, leads=leads))
        except CheckpointWriteError as error:
            return str(error)
        return ""

    def _take_measured(self) -> tuple[LaneModeMeasured, ...]:
        taken = dict(self._worker.choices)
        self._worker.choices.clear()
        return tuple(LaneModeMeasured(group=group, **asdict(choice)) for group, choice in taken.items())

    def _seat(
        self,
        order: TrialOrder,
        notes: list[CheckpointNote],
        failed: dict[int, LaneEvent],
        state: dict[str, Any] | None = None,
    ) -> int:
        """Seat a trial and return the epochs it has; what keeps it from its lane goes to ``failed``."""
        from trainables.lanes import raised

        number, epochs = order.number, 0
        self._orders[number] = order
        if state is None:
            state = self._paused.take(number, epochs=order.epochs)
        try:
            params = self._study.params_of(order.params)
            config = self._trainable.configure(params, max_epochs=self._study.budget.max_epochs)
            self._seating = number

            def use(state: dict[str, Any] | None) -> None:
                nonlocal epochs
                with nullcontext() if self._marker is None else self._marker.seating(number):
                    self._seats[number] = self._worker.seat(number, config, seed=order.seed, state=state)
                epochs = int(state["epoch"]) if state else 0

            if state is None:
                known = order.best if order.resumed else None
                notes += _checkpoint_notes(number, self._best.begin(number, self._facts(order, params), known=known))
            if state is None and order.resumed:
                # none that the ledger has not got to: a search that dies between a checkpoint and its transaction
                # leaves such a one, and to go on from there would leave an epoch out
                notes += _checkpoint_notes(number, self._store.restore(number, use, at_most=order.epochs))
            else:
                use(state)
        except BaseException as error:  # its own code may call sys.exit
            if is_of_a_signal(error):
                raise
            failed[number] = raised(error)
            return 0
        return epochs

    def _facts(self, order: TrialOrder, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the file of a trial's best model says of it."""
        return trial_facts(
            order.number,
            trainable=self._study.trainable,
            params=params,
            max_epochs=self._study.budget.max_epochs,
            seed=order.seed,
            shape=self._shape,
            outputs=self._outputs,
            data=self._kept_data,
            folds=self._folds,
        )

    def _start(self, config: Any, data: Any, *, seed: int, device: torch.device) -> Run:
        """Start a looped trial; each of its steps says first whose it is."""
        run = self._of_a_lane.start(config, data, seed=seed, device=device)
        if isinstance(run, IsToldItsTrial):
            run.identify(self._seating, self._store.files_folder(self._seating))
        return run if self._marker is None else RunWithMarkerFile(run, self._marker, self._seating)

    def _catch_up(
        self, orders: Sequence[TrialOrder], notes: list[CheckpointNote], failed: dict[int, LaneEvent]
    ) -> None:
        """Bring trials that go on to the epoch that the ledger has of each, where their states are of earlier ones.

        A trial that is there stands still, or leaves its lane where that cannot, until all are, so that none runs
        ahead of the others.
        """
        there = dict.fromkeys(self._seats, 0)
        behind = there | {order.number: order.epochs - self._seat(order, notes, failed) for order in orders}
        if there and not any(epochs > 0 for number, epochs in behind.items() if number in self._seats):
            return
        states: dict[int, dict[str, Any]] = {}
        held: set[int] = set()
        while self._seats.keys() - held:
            for number in [n for n, epochs in behind.items() if epochs <= 0 and n in self._seats.keys() - held]:
                if self._seats[number].hold(True):
                    held.add(number)
                    continue
                states[number] = self._seats[number].state()
                self._retire(number)
            for number, event in (self._train() if self._seats.keys() - held else {}).items():
                if event.error is not None:
                    failed[number] = event
                    self._retire(number)
            behind = {number: epochs - 1 for number, epochs in behind.items()}
        for number in held:
            self._seats[number].hold(False)
        for number in (*there, *(order.number for order in orders)):
            if number in states:
                self._seat(self._orders[number], notes, failed, states[number])


def _assigned_device() -> torch.device:
    from trainables.tune import assigned_device

    return assigned_device()


def _write_best(number: int, write: Callable[[], list[str]]) -> list[CheckpointNote]:
    return _checkpoint_notes(number, write())


def _as_notes(lines: Iterable[str]) -> list[CheckpointNote]:
    """Return lines about paused trials, each of which begins with ``trial 3``, as events."""
    return [CheckpointNote(trial=int(line.split()[1].rstrip(":")), note=line) for line in lines]


def _checkpoint_notes(number: int, lines: Iterable[str]) -> list[CheckpointNote]:
    """Return what was said of the checkpoints of a trial as events."""
    return [CheckpointNote(trial=number, note=line) for line in lines]
