"""The oracle of our scheduler is Ray's own: both are told the same and must decide the same, every time."""

import json
import math
import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.utils import flatten_dict

from search.brain.scheduler import build_scheduler
from search.executors.tune_adapters import TuneScheduler
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from spaces import BASELINE_TRIAL
from tests.search.conftest import make_study
from trainables.report import EpochReport, to_result

STOP, CONTINUE = TrialScheduler.STOP, TrialScheduler.CONTINUE

CURVES = json.loads((Path(__file__).parent / "curves.json").read_text())
"""32 real trials on digits: 24 of the regularization study (random sampler, seed 0, 27 epochs, patience 4,
learning rates up to 10, AdamW and SGD), 6 of SGD whose weight decay blows the weights up over some epochs, and
2 of SGD with a learning rate of 1000."""


@dataclass(frozen=True)
class Curve:
    """What a trial would report if nobody stopped it.

    Attributes:
        values: the objective by epoch.
        end: why it ends itself after the last of them; ``error`` where it raises instead of a next report.
    """

    values: tuple[float, ...]
    end: str


@dataclass(frozen=True)
class Handle:
    """A trial as Ray's scheduler knows it, by an id of its own; ours makes one of the number."""

    trial_id: str


class Waiting:
    """What Ray's median rule asks of Tune's controller: no trial waits for a place."""

    def get_live_trials(self):
        return []


class Pair:
    """Our scheduler and Ray's, told the same."""

    def __init__(self, study):
        self.study = study
        self.ours = build_scheduler(study)
        self.bare = self._bare()
        self.sign = 1 if study.objective.mode == "max" else -1
        self.handles = {}
        self.decisions = []

    def _bare(self):
        objective, spec = self.study.objective, self.study.scheduler
        common = {"time_attr": "epoch", "metric": objective.metric, "mode": objective.mode}
        if spec.name == "asha":
            return AsyncHyperBandScheduler(
                **common,
                max_t=self.study.budget.max_epochs,
                grace_period=spec.grace,
                reduction_factor=spec.reduction_factor,
            )
        return MedianStoppingRule(**common, grace_period=spec.grace)

    def add(self, number):
        handle = self.handles[number] = Handle(f"ray-{number}")
        self.ours.add(number)
        self.bare.on_trial_add(Waiting(), handle)

    def result(self, number, epoch, value):
        """Report an epoch; return the decision that both took."""
        handle, report = self.handles[number], self._report(epoch, value, None)
        rung, cutoff = self._expected(handle.trial_id, epoch)
        bare = self.bare.on_trial_result(Waiting(), handle, to_result(report))
        decision = self.ours.decide(number, report)
        spared = bare == STOP and number == BASELINE_TRIAL
        assert (decision is not None and decision.stops) == (bare == STOP and not spared)
        if isinstance(self.bare, AsyncHyperBandScheduler):
            assert (decision is None) == (rung is None)
        if decision is not None:
            self.decisions.append((number, decision))
            assert (decision.action, decision.value) == ("stop" if bare == STOP and not spared else "continue", value)
            assert (decision.epoch, decision.cutoff) == ((rung, cutoff) if rung is not None else (epoch, None))
        if spared:
            if isinstance(self.bare, MedianStoppingRule):
                self.bare._stopped_trials.discard(handle)  # else Ray asserts that it hears no more of it
            assert decision.reason.endswith("; the baseline goes on all the same")
            return CONTINUE
        if bare == STOP:
            assert self.ours.outcome(number, None) == Outcome(StopReason.RUNG, rung=rung or epoch)
            self.ours.complete(number, report)
            self.bare.on_trial_complete(Waiting(), handle, to_result(report))
        return bare

    def end(self, number, epoch, value, stop):
        """Report an epoch after which the trial ends itself."""
        handle, report = self.handles[number], self._report(epoch, value, stop)
        self.ours.complete(number, report)
        if stop == "diverged" and not math.isnan(value):
            # Ray would take the infinite loss (or the accuracy beside it) for a result and compare others with
            # it; a NaN it leaves out by itself.
            self.bare.on_trial_remove(Waiting(), handle)
        else:
            self.bare.on_trial_complete(Waiting(), handle, to_result(report))
        assert self.ours.outcome(number, stop).label == stop

    def fail(self, number):
        """Let the trial raise, of which ours need not hear: what it had at the rungs stays."""
        self.bare.on_trial_error(Waiting(), self.handles[number])

    def _report(self, epoch, value, stop):
        return EpochReport(epoch, {self.study.objective.metric: value}, 0.0, stop)

    def _expected(self, trial_id, epoch):
        """Return the rung that Ray is about to look at, and its cutoff in the objective's units."""
        if not isinstance(self.bare, AsyncHyperBandScheduler) or epoch >= self.study.budget.max_epochs:
            return None, None
        (bracket,) = self.bare._brackets
        for milestone, recorded in bracket._rungs:
            if epoch >= milestone and trial_id not in recorded:
                finite = {t: v for t, v in recorded.items() if not math.isnan(v)}
                return milestone, self.sign * bracket.cutoff(finite) if finite else None
        return None, None


def play(study, curves, *, slots, seed):
    """Run ``slots`` of the trials at once, in a random order; return the pair and where each trial ended."""
    pair, rng = Pair(study), random.Random(seed)
    waiting, running, ended = list(range(len(curves)))[::-1], {}, {}
    while waiting or running:
        while waiting and len(running) < slots:
            number = waiting.pop()
            pair.add(number)
            running[number] = 0
        number = rng.choice(sorted(running))
        curve, epoch = curves[number], running[number] + 1
        running[number] = epoch
        if epoch > len(curve.values):
            assert curve.end == "error"
            pair.fail(number)
            ended[number] = ("error", epoch - 1)
        elif epoch == len(curve.values) and curve.end != "error":
            pair.end(number, epoch, curve.values[-1], curve.end)
            ended[number] = (curve.end, epoch)
        elif pair.result(number, epoch, curve.values[epoch - 1]) == STOP:
            ended[number] = ("stopped", epoch)
        if number in ended:
            del running[number]
    return pair, ended


@pytest.fixture(autouse=True)
def rays_own_warning():
    """Ray's ASHA keeps NaN in its rungs; numpy warns where a rung holds nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        yield


VALUE = st.floats(-10, 10) | st.sampled_from([0.25, 0.5, 0.75])  # ties as well


@st.composite
def drawn_curves(draw, max_epochs):
    n = draw(st.integers(0 if max_epochs == 1 else 1, max_epochs))
    values = draw(st.lists(VALUE, min_size=n, max_size=n))
    end = draw(st.sampled_from(["max_epochs", "patience", "nan", "inf", "error"]))
    if end == "error":
        return Curve(tuple(values[: max_epochs - 1]), "error")
    if end in ("nan", "inf") or n == 0:
        last = draw(st.sampled_from([math.inf, -math.inf])) if end == "inf" else math.nan
        return Curve((*values[: max_epochs - 1], last), "diverged")
    return Curve(tuple(values), "max_epochs" if n == max_epochs else "patience")


@st.composite
def drawn_plays(draw, name):
    max_epochs = draw(st.integers(1, 20))
    grace = draw(st.integers(1, max_epochs))
    study = make_study(
        objective={"metric": "val_loss", "mode": draw(st.sampled_from(["min", "max"]))},
        budget={"max_epochs": max_epochs},
        scheduler={"name": name, "grace": grace, "reduction_factor": draw(st.integers(2, 4))},
    )
    curves = draw(st.lists(drawn_curves(max_epochs), min_size=2, max_size=12))
    return study, curves, draw(st.integers(1, 6)), draw(st.integers(0, 2**32))


@given(drawn_plays("asha"))
def test_asha_decides_as_rays_own_on_drawn_curves(drawn):
    study, curves, slots, seed = drawn
    pair, ended = play(study, curves, slots=slots, seed=seed)
    assert len(ended) == len(curves)
    assert ended[BASELINE_TRIAL][0] != "stopped"
    assert_no_rung_holds_what_diverged(pair, curves, ended)


@given(drawn_plays("median"))
def test_the_median_rule_decides_as_rays_own_on_drawn_curves(drawn):
    study, curves, slots, seed = drawn
    pair, ended = play(study, curves, slots=slots, seed=seed)
    assert len(ended) == len(curves)
    assert all(d.cutoff is None and (d.action == "stop") == (n != BASELINE_TRIAL) for n, d in pair.decisions)
    assert ended[BASELINE_TRIAL][0] != "stopped"


def recorded(metric):
    return [Curve(tuple(row[metric]), row["stop"]) for row in CURVES]


@pytest.mark.parametrize("slots", [1, 4, 32])
@pytest.mark.parametrize(("grace", "factor"), [(1, 2), (1, 3), (1, 4), (4, 2)])
@pytest.mark.parametrize(("metric", "mode"), [("val_loss", "min"), ("val_accuracy", "max")])
def test_asha_decides_as_rays_own_on_recorded_curves(slots, grace, factor, metric, mode):
    study = make_study(
        objective={"metric": metric, "mode": mode},
        budget={"max_epochs": 27},
        scheduler={"grace": grace, "reduction_factor": factor},
    )
    pair, ended = play(study, recorded(metric), slots=slots, seed=slots)
    assert_no_rung_holds_what_diverged(pair, recorded(metric), ended)
    # Else little was put to the test.
    ends = {end for end, _ in ended.values()}
    assert ends >= {"patience", "diverged", "stopped"}
    assert {d.action for _, d in pair.decisions} == {"stop", "continue"}


@pytest.mark.parametrize("slots", [1, 4, 32])
@pytest.mark.parametrize(("metric", "mode"), [("val_loss", "min"), ("val_accuracy", "max")])
def test_the_median_rule_decides_as_rays_own_on_recorded_curves(slots, metric, mode):
    study = make_study(
        objective={"metric": metric, "mode": mode},
        budget={"max_epochs": 27},
        scheduler={"name": "median", "grace": 2},
    )
    _, ended = play(study, recorded(metric), slots=slots, seed=slots)
    assert {end for end, _ in ended.values()} >= {"max_epochs", "diverged", "stopped"}


def assert_no_rung_holds_what_diverged(pair, curves, ended):
    """Check that a rung holds finite values alone, each as it was reported, and all that it should."""
    rungs = pair.ours.rungs()
    (bracket,) = pair.bare._brackets
    assert list(rungs) == [milestone for milestone, _ in bracket._rungs]
    for milestone, theirs in bracket._rungs:
        finite = {int(t.removeprefix("ray-")): pair.sign * v for t, v in theirs.items() if not math.isnan(v)}
        assert rungs[milestone] == finite
        for number, value in finite.items():
            assert math.isfinite(value)
            assert value in curves[number].values
            end, epoch = ended[number]
            assert not (end == "diverged" and epoch == milestone)


def asha(**values):
    return make_study(**{"budget": {"max_epochs": 9}, "scheduler": {"grace": 1, "reduction_factor": 3}, **values})


class Told:
    """A scheduler with some trials, told of epochs.

    Attributes:
        decisions: the last decision on each trial; None where its last epoch was not compared.
    """

    def __init__(self, scheduler, trials, metric="val_loss"):
        self.scheduler, self.metric, self.decisions = scheduler, metric, {}
        for number in range(trials):
            scheduler.add(number)

    def report(self, number, epoch, value):
        """Report an epoch; return whether the trial goes on."""
        report = EpochReport(epoch, {self.metric: value}, 0.0)
        decision = self.decisions[number] = self.scheduler.decide(number, report)
        return STOP if decision is not None and decision.stops else CONTINUE


def test_a_decision_names_the_rung_the_value_and_the_cutoff():
    told = Told(build_scheduler(asha()), 3)
    assert told.report(0, 1, 0.5) == CONTINUE
    decision = told.decisions[0]
    assert (decision.epoch, decision.action, decision.value, decision.cutoff) == (1, "continue", 0.5, None)
    assert decision.reason == "first at rung 1"

    assert told.report(1, 1, 0.25) == CONTINUE
    assert told.decisions[1].reason == "val_loss 0.25 meets the cutoff 0.5 of rung 1"

    assert told.report(2, 1, 0.75) == STOP
    decision = told.decisions[2]
    # A third of two values passes: the point two thirds of the way from 0.5 down to 0.25.
    assert decision.cutoff == pytest.approx(0.5 - 2 / 3 * 0.25, rel=1e-12)  # float64
    assert decision.reason == "val_loss 0.75 misses the cutoff 0.333333 of rung 1"
    assert told.scheduler.outcome(2, None) == Outcome(StopReason.RUNG, rung=1)


def test_the_cutoff_is_in_the_objectives_own_units_when_more_is_better():
    scheduler = build_scheduler(asha(objective={"metric": "val_accuracy", "mode": "max"}))
    told = Told(scheduler, 2, "val_accuracy")
    told.report(0, 1, 0.75)
    assert told.report(1, 1, 0.5) == STOP
    assert told.decisions[1].reason == "val_accuracy 0.5 misses the cutoff 0.75 of rung 1"
    assert scheduler.rungs() == {9: {}, 3: {}, 1: {0: 0.75, 1: 0.5}}


def test_between_rungs_there_is_no_decision():
    told = Told(build_scheduler(asha()), 1)
    taken = []
    for epoch in range(1, 9):
        assert told.report(0, epoch, 1 / epoch) == CONTINUE
        taken.append(told.decisions[0])
    assert [d.epoch for d in taken if d is not None] == [1, 3]


def test_the_value_at_the_rung_counts_not_the_best_so_far():
    told = Told(build_scheduler(asha(scheduler={"grace": 3, "reduction_factor": 3})), 2)
    for epoch, value in enumerate([0.9, 0.8, 0.5], 1):
        told.report(0, epoch, value)
    for epoch, value in enumerate([0.1, 0.1], 1):
        told.report(1, epoch, value)
    assert told.report(1, 3, 0.6) == STOP


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_trial_that_diverged_is_in_no_rung_and_moves_no_cutoff(value):
    scheduler = build_scheduler(asha())
    told = Told(scheduler, 3)
    told.report(0, 1, 0.5)
    scheduler.complete(1, EpochReport(1, {"val_loss": value}, 0.0, "diverged"))
    assert scheduler.rungs()[1] == {0: 0.5}
    assert scheduler.outcome(1, "diverged") == Outcome(StopReason.DIVERGED)
    told.report(2, 1, 0.4)
    assert told.decisions[2].cutoff == 0.5


def test_a_trial_that_ends_by_itself_counts_at_its_rung():
    scheduler = build_scheduler(asha())
    told = Told(scheduler, 2)
    scheduler.complete(0, EpochReport(1, {"val_loss": 0.5}, 0.0, "patience"))
    assert scheduler.rungs()[1] == {0: 0.5}
    assert told.report(1, 1, 0.75) == STOP


def test_without_a_scheduler_no_trial_is_stopped():
    scheduler = build_scheduler(asha(scheduler={"name": "none"}))
    told = Told(scheduler, 5)
    for epoch in range(1, 9):
        for number in range(5):
            assert told.report(number, epoch, number * 10.0) == CONTINUE
            assert told.decisions[number] is None
    assert scheduler.rungs() == {}


def test_the_median_rule_says_why():
    scheduler = build_scheduler(asha(scheduler={"name": "median", "grace": 1}))
    told = Told(scheduler, 5)
    for number in range(4):
        for epoch in (1, 2):
            told.report(number, epoch, 0.5)
    assert told.report(4, 1, 0.75) == STOP
    decision = told.decisions[4]
    assert (decision.epoch, decision.action, decision.value, decision.cutoff) == (1, "stop", 0.75, None)
    assert decision.reason == "val_loss 0.75 is behind the median of the others' running averages"
    assert scheduler.outcome(4, None) == Outcome(StopReason.RUNG, rung=1)


@pytest.mark.parametrize("name", ["asha", "median", "none"])
def test_ray_tune_can_give_a_scheduler_no_other_objective(name):
    scheduler = TuneScheduler(build_scheduler(asha(scheduler={"name": name})))
    assert scheduler.set_search_properties(None, None)
    assert not scheduler.set_search_properties("val_loss", "min")


def recorded_play(study, curves, ledger, study_id, *, until):
    """Play trials one epoch each in turn, the first ``until`` reports; write them to the ledger as they come."""
    pair, writer = Pair(study), LedgerWriter(ledger, study_id)
    for number in range(len(curves)):
        pair.add(number)
        writer.trial_started(number, {}, config_hash="", seed=0, sampler_attrs={}, repeats=[])
    reports = [(number, epoch) for epoch in range(1, 28) for number in range(len(curves))]
    ended, log = set(), []
    for number, epoch in reports:
        curve = curves[number]
        if number in ended or epoch > len(curve.values):
            continue
        value = curve.values[epoch - 1]
        if len(log) < until:
            writer.epoch(number, epoch, seconds=1.5, metrics={study.objective.metric: value})
        if epoch == len(curve.values):
            pair.end(number, epoch, value, curve.end)
            ended.add(number)
            log.append((number, epoch, curve.end))
            if len(log) <= until:
                writer.trial_ended(number, Outcome(StopReason(curve.end)))
        elif pair.result(number, epoch, value) == STOP:
            ended.add(number)
            log.append((number, epoch, "stop"))
            if len(log) <= until:
                writer.trial_ended(number, pair.ours.outcome(number, None))
        else:
            log.append((number, epoch, "continue"))
    writer.flush()
    return pair, log


@pytest.mark.parametrize("until", [1, 40, 100, 150])
@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_scheduler_that_replays_the_ledger_goes_on_as_if_nothing_had_happened(ledger, study_id, name, until):
    study = asha(budget={"max_epochs": 27}, scheduler={"name": name, "grace": 2, "reduction_factor": 3})
    curves = recorded("val_loss")
    whole, log = recorded_play(study, curves, ledger, study_id, until=until)
    assert len(log) > until

    resumed = build_scheduler(study)
    resumed.replay(ledger.epochs(study_id), ledger.trials(study_id))
    told = Told(resumed, 0)
    for number, epoch, expected in log[until:]:
        resumed.add(number)
        value = curves[number].values[epoch - 1]
        if expected in ("stop", "continue"):
            action = told.report(number, epoch, value)
            assert action == (STOP if expected == "stop" else CONTINUE)
        if expected != "continue":
            stop = None if expected == "stop" else expected
            resumed.complete(number, EpochReport(epoch, {"val_loss": value}, 0.0, stop))
    assert resumed.rungs() == whole.ours.rungs()


def test_an_epoch_that_was_decided_on_before_goes_on(ledger, study_id):
    study = asha()
    writer = LedgerWriter(ledger, study_id)
    for number, value in enumerate([0.5, 0.25]):
        writer.trial_started(number, {}, config_hash="", seed=0, sampler_attrs={}, repeats=[])
        writer.epoch(number, 1, seconds=0.0, metrics={"val_loss": value})
    writer.flush()
    scheduler = build_scheduler(study)
    scheduler.replay(ledger.epochs(study_id), ledger.trials(study_id))
    assert scheduler.rungs()[1] == {0: 0.5, 1: 0.25}
    told = Told(scheduler, 2)
    assert told.report(0, 1, 99.0) == CONTINUE  # trained again from an older checkpoint
    assert told.decisions[0] is None
    assert scheduler.rungs()[1] == {0: 0.5, 1: 0.25}


class RayTrial:
    """A trial as Tune's controller hands it to a scheduler."""

    def __init__(self, number, status="RUNNING"):
        self.config, self.status = {"number": number}, status


def flattened(epoch, value, stop=None):
    """Return a report as Tune's controller hands it to a scheduler."""
    return flatten_dict(to_result(EpochReport(epoch, {"val_loss": value}, 0.0, stop)))


def test_ray_tune_is_told_what_was_decided_and_the_decision_is_handed_out_once():
    scheduler = build_scheduler(asha())
    tune = TuneScheduler(scheduler)
    first, second, third = (RayTrial(number) for number in range(3))
    for trial in (first, second, third):
        tune.on_trial_add(None, trial)
    assert tune.on_trial_result(None, first, flattened(1, 0.5)) == CONTINUE
    assert tune.on_trial_result(None, second, flattened(1, 0.75)) == STOP
    assert tune.take_decision(1).reason == "val_loss 0.75 misses the cutoff 0.5 of rung 1"
    assert tune.take_decision(1) is None
    assert tune.on_trial_result(None, first, flattened(2, 0.4)) == CONTINUE
    assert tune.take_decision(0).epoch == 1, "nobody had asked"
    tune.on_trial_complete(None, first, flattened(3, 0.25, "patience"))
    tune.on_trial_complete(None, third, {"done": True, "stop": "error"})
    assert scheduler.rungs() == {9: {}, 3: {0: 0.25}, 1: {0: 0.5, 1: 0.75}}


def test_ray_tune_is_given_pending_trials_and_none_that_rests():
    pending, paused = RayTrial(0, "PENDING"), RayTrial(1, "PAUSED")
    tune = TuneScheduler(build_scheduler(asha()))
    assert tune.choose_trial_to_run(SimpleNamespace(get_trials=lambda: [paused, pending])) is pending
    assert tune.choose_trial_to_run(SimpleNamespace(get_trials=lambda: [paused])) is None


def test_seconds_as_the_objective_are_replayed_too(ledger, study_id):
    study = asha(objective={"metric": "epoch_seconds"})
    writer = LedgerWriter(ledger, study_id)
    writer.trial_started(0, {}, config_hash="", seed=0, sampler_attrs={}, repeats=[])
    writer.epoch(0, 1, seconds=2.5, metrics={"val_loss": 1.0})
    writer.flush()
    scheduler = build_scheduler(study)
    scheduler.replay(ledger.epochs(study_id), ledger.trials(study_id))
    assert scheduler.rungs()[1] == {0: 2.5}
