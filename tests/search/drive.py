"""Plays a search without Ray: calls sampler and scheduler in the order in which Ray Tune's controller does."""

import math

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.sampler import OptunaSampler
from search.scheduler import build_scheduler
from tests.search.conftest import Handle
from trainables.report import EpochReport, stop_reason, to_result


class Drive:
    """A search in which a trial's curve is a function of its parameters.

    Args:
        study: its budget and its scheduler count.
        curve: params -> values by epoch, as many as the trial would report; None where it raises.
    """

    def __init__(self, study, curve=lambda params: [1.0]):
        self.study, self.curve = study, curve
        self.scheduler = build_scheduler(study)
        self.sampler = OptunaSampler(study, self.scheduler)
        self.configs = []
        self.ended = {}

    def ask(self):
        """Return the next config, or None at the end."""
        config = self.sampler.suggest(f"t{len(self.configs)}")
        if config == Searcher.FINISHED:
            return None
        self.configs.append(config)
        return config

    def train(self, config):
        """Report one trial from its first epoch to its end."""
        trial, trial_id = Handle(config["number"]), f"t{self.configs.index(config)}"
        self.scheduler.on_trial_add(None, trial)
        result = None
        for epoch, value in enumerate(self.curve(config["params"]), 1):
            if value is None:
                self.scheduler.on_trial_error(None, trial)
                self.sampler.on_trial_complete(trial_id, error=True)
                self.ended[config["number"]] = "error"
                return
            result = self.result(epoch, value)
            if result["stop"] is not None:
                self.scheduler.on_trial_complete(None, trial, result)
                self.sampler.on_trial_complete(trial_id, result=result)
                self.ended[config["number"]] = result["stop"]
                return
            if self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                self.sampler.on_trial_complete(trial_id, result=result)
                self.ended[config["number"]] = self.scheduler.outcome(config["number"], None).label
                return
            self.sampler.on_trial_result(trial_id, result)
        raise AssertionError("the curve is shorter than max_epochs")

    def result(self, epoch, value):
        """Return what a trial reports after ``epoch``."""
        metrics = {**dict.fromkeys(("train_loss", "val_loss", "val_accuracy", "lr"), 1.0)}
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
