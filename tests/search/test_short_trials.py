"""A study whose trials are made shorter than its first rung: the rung is lowered, and that is said."""

import pytest

from search import UsageError, declare, run
from search.declaration.from_options import declare_from_options
from search.declaration.options import Options
from search.declaration.rungs import lowered_grace
from search.face.live_view import Silent
from spaces import Space, float_
from trainables.data import DataSpec

SPACE = Space((float_("dropout", 0, 0.5, baseline=0),))


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
@pytest.mark.parametrize("how", ["options", "changed", "own"])
def test_epochs_alone_lower_the_first_rung(how, epochs):
    if how == "options":
        study, errors = declare_from_options(Options("regularization", max_epochs=epochs))
        assert errors == []
    else:
        own = {} if how == "changed" else {"space": SPACE}
        study = declare("regularization" if how == "changed" else "mine", budget={"max_epochs": epochs}, **own)
    assert (study.budget.max_epochs, study.scheduler.grace) == (epochs, min(3, epochs))
    said = f"asha: the first rung is at epoch {epochs}, not 3: a trial has no more than {epochs} epochs"
    assert lowered_grace(study) == (said if epochs < 3 else None)


def test_a_first_rung_that_was_asked_for_is_not_lowered():
    _, errors = declare_from_options(Options("regularization", max_epochs=2, grace=3))
    assert errors == ["--grace 3 is above --max-epochs 2; a trial must be able to reach its first rung"]
    with pytest.raises(UsageError, match=r"scheduler.grace 3 is above budget.max_epochs 2"):
        declare("regularization", budget={"max_epochs": 2}, scheduler={"grace": 3})


def test_it_is_said_when_the_search_begins(tmp_path):
    said = []
    view = Silent()
    view.say = said.append
    data = DataSpec("wine", train_examples=60)
    study = declare("tabular", data=data, budget={"trials": 1, "max_epochs": 2}, tracking={"enabled": False})
    run(study, home=tmp_path, view=view)
    assert lowered_grace(study) in said
