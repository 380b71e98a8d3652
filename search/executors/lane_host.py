"""One worker of the lanes: it holds a device with its data, carries out orders, and says what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.ledger.events import LaneModeMeasured
from trainables.best import BestModels, Weights, trial_facts
from trainables.checkpoint_store import CheckpointStore
from trainables.errors import CheckpointWriteError
from trainables.registry import KeepsMore, Run, SideBySide, StandsIn, Trainable, find_trainable

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits
    from trainables.lanes import LaneEvent
    from trainables.report import EpochReport


@dataclass(frozen=True)
class Seat:
    """A trial to be seated.

    Attributes:
        params: active parameters and settings.
        resume: continue from the newest whole checkpoint, if there is one.
        epochs: how many are in the ledger already. Those that the checkpoint lacks are trained again
            before anything new is, so that all trials stand where the ledger saw them.
        best: the best of these epochs and its value, if any.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    resume: bool = False
    epochs: int = 0
    best: tuple[int, float] | None = None


@dataclass(frozen=True)
class Orders:
    """What a worker does in one go: free lanes, fill lanes, then train one epoch of all of them.

    Attributes:
        retire: trials whose lanes become free.
        compact: shrink to this many lanes, or None.
        seat: trials that begin.
    """

    retire: tuple[int, ...] = ()
    compact: int | None = None
    seat: tuple[Seat, ...] = ()


@dataclass(frozen=True)
class Advance:
    """What came of a worker's orders.

    Attributes:
        events: what each seated trial reported.
        notes: what the ledger should know besides (a damaged checkpoint, say).
        measured: how groups train whose mode was measured since the last orders.
        unsaved: why a checkpoint could not be written, or empty; the search cannot go on safely then.
        saved: whether checkpoints of these epochs were written.
    """

    events: dict[int, LaneEvent]
    notes: tuple[str, ...] = ()
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
        marker: file that holds the number of the trial in training, for whoever finds this worker dead
            or hung; None where nobody looks.
        modes: how groups train whose mode was measured before.
    """

    def __init__(
        self,
        study: Study,
        splits: Splits,
        *,
        device: str | None,
        checkpoints: Path,
        marker: Path | None = None,
        modes: Mapping[str, str] | None = None,
    ) -> None:
        import torch

        from search.executors.choice import choose_number, choose_precision
        from trainables.lanes import LaneWorker

        where = _assigned_device() if device is None else torch.device(device)
        self._study = study
        self._shape, self._outputs = splits.shape, splits.outputs
        self._trainable: Trainable = find_trainable(study.trainable)
        self._store = CheckpointStore(checkpoints)
        self._best = BestModels(self._store, study.remembered_by)
        self._marker = marker
        self._seating = -1
        self._saved_at = time.monotonic()
        self._seated: set[int] = set()
        data = self._trainable.prepare(splits, where)
        self._choice = choose_number(study, self._trainable, data, where)
        self._data = data
        self._configs: dict[int, Any] = {}
        stands_in = self._trainable.stand_in if isinstance(self._trainable, StandsIn) else None
        # a marker names one trial in training
        trainable = self._trainable
        side_by_side = trainable.side_by_side if marker is None and isinstance(trainable, SideBySide) else None
        self._worker = LaneWorker(
            data,
            device=where,
            lanes=self._choice.lanes,
            precision=choose_precision(study, where),
            mode=study.lanes.mode if self._trainable.stacks or stands_in else "looped",
            start=self._start,
            measured=modes,
            stands_in=stands_in,
            side_by_side=side_by_side,
        )

    def describe(self) -> tuple[int, str]:
        """Return the number of lanes, and how it came about."""
        return self._choice.lanes, self._choice.reason

    def advance(self, orders: Orders) -> Advance:
        """Carry out ``orders`` and return what every seated trial reported.

        A trial that cannot be seated, or that raises on its way to where it was, is in no lane afterwards.
        """
        notes: list[str] = []
        for number in orders.retire:
            self._retire(number)
            self._best.forget(number)
        if orders.compact is not None:
            self._worker.compact(orders.compact)
        failed: dict[int, LaneEvent] = {}
        behind = [seat for seat in orders.seat if seat.epochs]
        if behind and not self._seated:
            self._catch_up(behind, notes, failed)
        for seat in orders.seat:
            if seat.number not in self._seated and seat.number not in failed:
                self._seat(seat, notes, failed)
        events, unsaved = self._train(), ""
        due = time.monotonic() - self._saved_at >= self._study.checkpoint_every_s
        if due:
            try:
                notes += self.save(n for n, e in events.items() if e.report is not None and e.report.stop is None)
            except CheckpointWriteError as error:
                unsaved = str(error)
        return Advance(events | failed, tuple(notes), self._take_measured(), unsaved, saved=due)

    def close(self) -> None:
        """Let go of the lanes and the data; the host is of no use afterwards."""
        self._worker.close()
        del self._worker, self._data

    def save(self, numbers: Iterable[int]) -> list[str]:
        """Write a checkpoint of each of the seated trials ``numbers``; return what the ledger should know."""
        notes: list[str] = []
        for number in numbers:
            notes += self._best.write(number)
            self._store.save(number, self._worker.state_dict(number))
        self._saved_at = time.monotonic()
        return notes

    def keep(self, numbers: Sequence[int]) -> list[str]:
        """Write the best models of trials that ended and were not retired yet; return as ``save``."""
        return [note for write in self.take(numbers).values() for note in write()]

    def take(self, numbers: Sequence[int]) -> dict[int, Callable[[], list[str]]]:
        """Return what does so, for each of them."""
        return {number: self._best.keep(number) for number in numbers}

    def _train(self) -> dict[int, LaneEvent]:
        """Train an epoch, and remember the models of those for which it was the best."""
        events = self._worker.advance()
        for number, event in events.items():
            if event.report is not None:
                try:
                    self._best.heard(number, event.report, partial(self._weights, number))
                except Exception as error:  # its own state, which its own code may fail to say
                    events[number] = replace(event, report=None, error=error)
        return events

    def _weights(self, number: int) -> Weights:
        """Return what makes the state of a trial's model as it is now, whatever trained in its place."""
        weights, trainable = self._worker.weights(number), self._trainable
        if not isinstance(trainable, StandsIn):
            return weights
        config = self._configs[number]
        return lambda: trainable.whole(config, self._data, weights())

    def _retire(self, number: int) -> None:
        """Free the lane of a trial, if it has one."""
        self._configs.pop(number, None)
        if number in self._seated:
            self._worker.retire(number)
            self._seated.discard(number)

    def _take_measured(self) -> tuple[LaneModeMeasured, ...]:
        taken = dict(self._worker.choices)
        self._worker.choices.clear()
        return tuple(
            LaneModeMeasured(group=group, mode=c.mode, stacked_ms=c.stacked_ms, looped_ms=c.looped_ms)
            for group, c in taken.items()
        )

    def _seat(
        self, seat: Seat, notes: list[str], failed: dict[int, LaneEvent], state: dict[str, Any] | None = None
    ) -> int:
        """Seat a trial and return the epochs it has; what keeps it from its lane goes to ``failed``."""
        from trainables.lanes import raised

        epochs = 0
        try:
            config = self._trainable.configure(seat.params, max_epochs=self._study.budget.max_epochs)
            self._seating = seat.number
            self._configs[seat.number] = config

            def use(state: dict[str, Any] | None) -> None:
                nonlocal epochs
                self._worker.seat(seat.number, config, seed=seat.seed, state=state)
                epochs = int(state["epoch"]) if state else 0

            if state is None:
                notes += self._best.begin(seat.number, self._facts(seat), known=seat.best if seat.resume else None)
            if state is None and seat.resume:
                # none that the ledger has not got to: a search that dies between a checkpoint and its transaction
                # leaves such a one, and to go on from there would leave an epoch out
                notes += self._store.restore(seat.number, use, at_most=seat.epochs)
            else:
                use(state)
        except Exception as error:
            failed[seat.number] = raised(error)
            return 0
        self._seated.add(seat.number)
        return epochs

    def _facts(self, seat: Seat) -> dict[str, Any]:
        """Return what the file of a trial's best model says of it."""
        return trial_facts(
            seat.number,
            trainable=self._study.trainable,
            params=seat.params,
            max_epochs=self._study.budget.max_epochs,
            seed=seat.seed,
            shape=self._shape,
            outputs=self._outputs,
        )

    def _start(self, config: Any, data: Any, *, seed: int, device: torch.device) -> Run:
        """Start a looped trial; each of its steps says first whose it is."""
        run = self._trainable.start(config, data, seed=seed, device=device)
        return run if self._marker is None else _Marked(run, self._marker, self._seating)

    def _catch_up(self, seats: Sequence[Seat], notes: list[str], failed: dict[int, LaneEvent]) -> None:
        """Bring trials of an earlier session to the epoch that the ledger has of each.

        A trial that is there leaves its lane until all are, so that none runs ahead of the others.
        """
        behind = {seat.number: seat.epochs - self._seat(seat, notes, failed) for seat in seats}
        states: dict[int, dict[str, Any]] = {}
        while self._seated:
            for number in [n for n, epochs in behind.items() if epochs <= 0 and n in self._seated]:
                states[number] = self._worker.state_dict(number)
                self._retire(number)
            for number, event in (self._train() if self._seated else {}).items():
                if event.error is not None:
                    failed[number] = event
                    self._retire(number)
            behind = {number: epochs - 1 for number, epochs in behind.items()}
        for seat in seats:
            if seat.number in states:
                self._seat(seat, notes, failed, states[seat.number])


class _Marked:
    """A run that writes its trial's number into a file before each step."""

    def __init__(self, run: Run, marker: Path, number: int) -> None:
        self._run, self._marker, self._text = run, marker, f"{number}\n"
        self.state_dict = run.state_dict
        self.load_state_dict = run.load_state_dict
        if isinstance(run, KeepsMore):
            self.weights = run.weights

    def step(self) -> EpochReport:
        self._marker.write_text(self._text)
        return self._run.step()


def _assigned_device() -> torch.device:
    from trainables.tune import assigned_device

    return assigned_device()
