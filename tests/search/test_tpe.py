"""The bounded tpe is Optuna's own until its history outgrows the bound; what it takes of Optuna is as it was."""

import math

import pytest

from search.brain import trial_history
from search.brain.sampler import OptunaSampler
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from spaces import Space, category, float_, int_, when
from spaces.regularization import SPACE
from tests.search.conftest import make_study
from tests.search.drive import Drive
from trainables.report import EpochReport

NONE = {"name": "none"}
MIXED = Space(
    (
        category("c", ("x", "y", "z"), baseline="x"),
        int_("n", 1, 90, log=True, baseline=2, when=when("c", "y")),
        float_("f", 0.0, 1.0, baseline=0.5),
        category("b", (False, True), baseline=False, when=when("c", "z")),
        float_("g", 1e-4, 1.0, log=True, baseline=1e-2),
    )
)


def loss(params):
    return sum(math.cos(i + (v if isinstance(v, int | float) else len(v))) for i, v in enumerate(params.values()))


def searched(sampler, trials, *, beside=4, **changes):
    """Return the params of a search with ``beside`` trials at once, whose trials end out of order and each its way."""
    study = make_study(sampler=sampler, budget={"trials": trials, "max_epochs": 4}, scheduler=NONE, **changes)
    brain, running, proposed = OptunaSampler(study), [], []
    while (order := brain.ask()) is not None:
        proposed.append(order.params)
        running.append(order)
        if len(running) == beside:
            ended = running.pop(order.number % beside)
            how, value = ended.number % 5, loss(ended.params)
            for epoch in range(1, 3 if how == 1 else 1 if how == 2 else 5):
                metrics = {o.metric: value * (-1) ** i / epoch for i, o in enumerate(study.objectives)}
                brain.observe(ended.number, EpochReport(epoch, {"lr": 0.1, "train_loss": value, **metrics}, 0.0, None))
            reasons = {1: StopReason.RUNG, 2: StopReason.DIVERGED, 3: StopReason.ERROR}
            brain.tell(ended.number, Outcome(reasons.get(how, StopReason.MAX_EPOCHS), 2 if how == 1 else None))
    return proposed


@pytest.mark.parametrize("space", [SPACE, MIXED], ids=["regularization", "mixed"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_its_trials_are_those_of_optunas_own_sampler(space, mode):
    objective = {"metric": "val_loss", "mode": mode}
    bounded, own = (searched(s, 45, space=space, objective=objective) for s in ("tpe", "optuna_tpe"))
    assert bounded == own


def test_its_trials_are_those_of_optunas_own_sampler_with_several_objectives():
    further = [{"metric": "val_accuracy", "mode": "max"}]
    bounded, own = (searched(s, 45, space=MIXED, further=further) for s in ("tpe", "optuna_tpe"))
    assert bounded == own


@pytest.mark.parametrize("further", [[], [{"metric": "val_accuracy", "mode": "max"}]], ids=["one", "several"])
def test_a_history_past_the_bound_is_searched_on_otherwise_and_within_the_space(monkeypatch, further):
    monkeypatch.setattr(trial_history, "SELECTED", 20)
    monkeypatch.setattr(trial_history, "BEST", 5)
    bounded, own = (searched(s, 90, space=MIXED, further=further) for s in ("tpe", "optuna_tpe"))
    assert bounded[:20] == own[:20]
    assert bounded != own
    assert all(MIXED.validate(params) == params for params in bounded)


def test_a_resume_past_the_bound_proposes_what_an_uninterrupted_search_would(monkeypatch, ledger, study_id):
    monkeypatch.setattr(trial_history, "SELECTED", 12)
    study = make_study(MIXED, sampler="tpe", budget={"trials": 50, "max_epochs": 4}, scheduler={"grace": 2})

    def curve(params):
        return [loss(params) / epoch for epoch in range(1, 5)]

    whole = Drive(study, curve).run()
    first = Drive(study, curve, writer=LedgerWriter(ledger, study_id)).run(35)
    first.writer.flush()
    resumed = Drive(study, curve).replay(ledger, study_id).run()
    assert first.orders + resumed.orders == whole.orders
