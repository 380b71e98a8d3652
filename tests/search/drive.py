"""Plays a search without training: the real loop, sampler, scheduler and recorder, over a worker that pretends."""

import math
from collections import defaultdict
from pathlib import Path

from search.brain.sampler import OptunaSampler
from search.brain.scheduler import build_scheduler
from search.executors.control import Control
from search.executors.control_loop import ControlLoop
from search.executors.lane_host import Advance, Orders
from search.executors.recorder import Recorder
from search.executors.search import Search
from tests.support.controls import SpentOnce
from trainables.lanes import LaneEvent
from trainables.report import EpochReport, stop_reason


class ScriptedPool:
    """A worker with one lane, in which a trial reports what a curve says.

    Args:
        drive: says what.

    Attributes:
        reported: the epochs so far: numbers of trials and epochs.
    """

    def __init__(self, drive):
        self._drive = drive
        self._orders, self._curves, self._epochs = Orders(), {}, {}
        self.lanes, self.reasons, self.starting = [1], [], ()
        self.reported = []

    def launch(self, index, orders):
        self._orders = orders

    def wait(self, timeout_s):
        for number in (*self._orders.retire, *self._orders.pause):
            del self._curves[number]
        for order in self._orders.seat:
            self._drive.orders.append(order)
            self._curves[order.number] = order, self._drive.curve(self._drive.params_of(order))
            self._epochs[order.number] = order.epochs
        return 0, Advance({number: self._step(number) for number in self._curves})

    def _step(self, number):
        order, curve = self._curves[number]
        epoch = self._epochs[number] = self._epochs[number] + 1
        assert epoch <= len(curve), "the curve is shorter than max_epochs"
        self.reported.append((number, epoch))
        if curve[epoch - 1] is None:
            return LaneEvent(None, ValueError("it raises here"))
        beside = self._drive.beside(self._drive.params_of(order))
        return LaneEvent(self._drive.report(epoch, curve[epoch - 1], beside))

    def grow(self):
        return []

    def take_best(self, index, numbers):
        pass

    def write_best(self, keeps):
        return []

    def save(self, numbers):
        return []


class Facts:
    """What a recorder writes: passed on to the writer of a ledger, if there is one.

    Attributes:
        ended: why each trial did, by number.
    """

    def __init__(self, writer):
        self._writer = writer
        self.ended = {}

    def trial_ended(self, number, outcome):
        self.ended[number] = outcome.label
        if self._writer is not None:
            self._writer.trial_ended(number, outcome)

    def __getattr__(self, name):
        return (lambda *_, **__: None) if self._writer is None else getattr(self._writer, name)


class Drive:
    """A search in which a trial's curve is a function of its parameters, one trial after the other.

    Args:
        study: its budget and its scheduler count.
        curve: params -> values by epoch, as many as the trial would report; None where it raises.
        writer: of the ledger that takes the facts, if any.
        beside: params -> what every epoch reports beside the curve, by name.

    Attributes:
        orders: of the trials that were asked for.
    """

    def __init__(self, study, curve=lambda params: [1.0], *, writer=None, beside=lambda params: {}):
        self.study, self.curve, self.writer, self.beside = study, curve, writer, beside
        self.scheduler = build_scheduler(study)
        self.sampler = OptunaSampler(study)
        self.orders = []
        self._facts = Facts(writer)
        self._recorder = Recorder(study, self._facts)

    def replay(self, ledger, study_id):
        """Take up what an earlier search left in ``ledger``."""
        epochs, trials = ledger.epochs(study_id), ledger.trials(study_id)
        values = defaultdict(dict)
        for row in epochs:
            values[row.number][row.epoch] = tuple(row.metrics[o.metric] for o in self.study.objectives)
        self._recorder.replay(trials, epochs)
        self.scheduler.replay(epochs, trials, ledger.decisions(study_id))
        self.sampler.replay(trials, values)
        return self

    def ask(self):
        """Ask for a trial that never reports; return its order, or None at the end."""
        order = self.sampler.ask()
        if order is not None:
            self.orders.append(order)
        return order

    def run(self, trials=None, *, until=None):
        """Train one trial after the other.

        Args:
            trials: stop when so many have ended; None goes on until there is none left.
            until: (number, epoch) stop when it is reported.
        """
        pool, before = ScriptedPool(self), len(self.ended)
        control = Control()
        if trials is not None or until is not None:
            control = SpentOnce(lambda: len(self.ended) - before == trials or until in pool.reported)
        search = Search(self.study, None, self.sampler, self.scheduler, self._recorder, control, Path("nowhere"))
        ControlLoop(search, pool).run()
        return self

    def report(self, epoch, value, beside=None):
        """Return what a trial reports after ``epoch``."""
        metrics = {**dict.fromkeys(("train_loss", "val_loss", "val_accuracy", "lr"), 1.0), **(beside or {})}
        metrics[self.study.objective.metric] = value
        stop = stop_reason(
            epoch=epoch,
            max_epochs=self.study.budget.max_epochs,
            finite=math.isfinite(value),
            out_of_patience=False,
        )
        return EpochReport(epoch, metrics, 0.0, stop)

    def params_of(self, order):
        """Return the parameters of a trial, with the study's settings."""
        return self.study.params_of(order.params)

    @property
    def params(self):
        """The parameters of all trials."""
        return [self.params_of(order) for order in self.orders]

    @property
    def ended(self):
        """Why each trial ended, by number."""
        return self._facts.ended

    @property
    def optuna_trials(self):
        """All trials of the Optuna study, those that only repeat another among them."""
        return self.sampler._optuna.study.trials
