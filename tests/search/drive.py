"""Plays a search without Ray: calls sampler and scheduler in the order in which Ray Tune's controller does."""

import math
from collections import defaultdict

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.brain.sampler import OptunaSampler
from search.brain.scheduler import build_scheduler
from search.ledger.outcome import Outcome, StopReason
from tests.search.conftest import Handle
from trainables.report import EpochReport, stop_reason, to_result


class Drive:
    """A search in which a trial's curve is a function of its parameters.

    Args:
        study: its budget and its scheduler count.
        curve: params -> values by epoch, as many as the trial would report; None where it raises.
        writer: of the ledger that takes the facts, if any.
        beside: params -> what every epoch reports beside the curve, by name.
    """

    def __init__(self, study, curve=lambda params: [1.0], *, writer=None, beside=lambda params: {}):
        self.study, self.curve, self.writer, self.beside = study, curve, writer, beside
        self.scheduler = build_scheduler(study)
        self.sampler = OptunaSampler(study, self.scheduler)
        self.configs = []
        self.ended = {}

    def replay(self, ledger, study_id):
        """Take up what an earlier search left in ``ledger``."""
        epochs, trials = ledger.epochs(study_id), ledger.trials(study_id)
        values = defaultdict(dict)
        for row in epochs:
            values[row.number][row.epoch] = tuple(row.metrics[o.metric] for o in self.study.objectives)
        self.scheduler.replay(epochs, trials)
        self.sampler.replay(trials, values)
        return self

    def ask(self):
        """Return the next config, or None at the end."""
        trial_id = f"t{len(self.configs)}"
        config = self.sampler.suggest(trial_id)
        if config == Searcher.FINISHED:
            return None
        self.configs.append(config)
        if self.writer is not None and not config["resumed"]:
            asked = self.sampler.proposal(trial_id)
            self.writer.trial_started(
                asked.number,
                asked.params,
                config_hash=asked.config_hash,
                seed=asked.seed,
                sampler_attrs=asked.sampler_attrs,
                repeats=asked.repeats,
            )
        return config

    def train(self, config, *, until=None):
        """Report one trial to its end, or up to the epoch ``until``; one that was resumed goes on."""
        number, trial_id = config["number"], f"t{self.configs.index(config)}"
        trial = Handle(number)
        self.scheduler.on_trial_add(None, trial)
        for epoch, value in enumerate(self.curve(config["params"]), 1):
            if epoch <= config["epochs_before"]:
                continue
            if value is None:
                self.scheduler.on_trial_error(None, trial)
                self.sampler.on_trial_complete(trial_id, error=True)
                return self._end(number, Outcome(StopReason.ERROR))
            result = self.result(epoch, value, self.beside(config["params"]))
            stopped = result["stop"] is not None
            stopped = stopped or self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
            if self.writer is not None:
                self.writer.epoch(number, epoch, seconds=0.0, metrics=result["metrics"])
            if stopped:
                self.scheduler.on_trial_complete(None, trial, result)
                self.sampler.on_trial_complete(trial_id, result=result)
                return self._end(number, self.scheduler.outcome(number, result["stop"]))
            self.sampler.on_trial_result(trial_id, result)
            if epoch == until:
                return None
        raise AssertionError("the curve is shorter than max_epochs")

    def _end(self, number, outcome):
        self.ended[number] = outcome.label
        if self.writer is not None:
            self.writer.trial_ended(number, outcome)

    def result(self, epoch, value, beside=None):
        """Return what a trial reports after ``epoch``."""
        metrics = {**dict.fromkeys(("train_loss", "val_loss", "val_accuracy", "lr"), 1.0), **(beside or {})}
        metrics[self.study.objective.metric] = value
        stop = stop_reason(
            epoch=epoch,
            max_epochs=self.study.budget.max_epochs,
            finite=math.isfinite(value),
            out_of_patience=False,
        )
        return to_result(EpochReport(epoch, metrics, 0.0, stop))

    def run(self):
        """Ask and train one trial after the other until there is none left."""
        while (config := self.ask()) is not None:
            self.train(config)
        return self

    @property
    def params(self):
        """The parameters of all trials."""
        return [config["params"] for config in self.configs]
