"""A search without an answer says why and ends with 1; divergence is told apart from what a scheduler stopped."""

import pandas as pd
import pytest
from rich.console import Console

from search import declare, run
from search.drive.result import Result
from search.face.present import print_answer
from search.ledger.paths import Paths
from search.report.kept import Kept
from search.report.problem import divergence_of, problem_of
from spaces import Space, category, float_
from tests.search.conftest import make_study

RATE = Space((float_("learning_rate", 0.5, 5, log=True, baseline=1.0),))
ENDS = {
    "complete": ("COMPLETE", "max_epochs"),
    "pruned": ("PRUNED", "rung_3"),
    "diverged": ("PRUNED", "diverged"),
    "failed": ("FAILED", "error"),
    "interrupted": ("INTERRUPTED", "died"),
    "cancelled": ("CANCELLED", "budget"),
}
HINT = "--set learning_rate.low=0.001 --set learning_rate.high=0.1"


def trials(*ends):
    rows = [(n, *ENDS[end], f"ValueError: {n}" if end == "failed" else None) for n, end in enumerate(ends)]
    return pd.DataFrame(rows, columns=["number", "state", "stop_reason", "message"])


def problem(*ends, space=RATE, ranked=0):
    return problem_of(make_study(space, seed=1), trials(*ends), pd.DataFrame({"rank": range(ranked)}))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (("diverged",) * 3, ("all 3 trials diverged", HINT)),
        (("failed",) * 2, ("all 2 trials failed; the first: ValueError: 0",)),
        (("diverged", "failed"), ("1 of 2 trials diverged, the others failed", "ValueError: 1", HINT)),
        (("complete", "pruned"), ("no trial reported a finite val_loss",)),
    ],
)
def test_why_there_is_no_answer_is_said_with_what_to_do(ends, words):
    assert all(word in problem(*ends) for word in words)


@pytest.mark.parametrize("ends", [(), ("interrupted", "failed"), ("cancelled", "diverged"), ("complete", "diverged")])
def test_a_search_that_has_an_answer_or_may_go_on_has_no_problem(ends):
    assert problem(*ends, ranked=1) is None


@pytest.mark.parametrize(
    ("space", "settings", "words"),
    [
        (Space((category("learning_rate", (10.0,), baseline=10.0),)), {}, "--set learning_rate=0.001"),
        (Space((float_("x", 0, 1, baseline=0),)), {"learning_rate": 7.0}, "learning_rate is 7.0; try a lower"),
        (Space((float_("x", 0, 1, baseline=0),)), {}, "try a lower learning rate"),
    ],
)
def test_the_advice_fits_where_the_rate_is_declared(space, settings, words):
    assert words in divergence_of(make_study(space, settings=settings), trials("diverged", "complete"))


def test_few_divergences_are_no_advice():
    assert divergence_of(make_study(RATE), trials("diverged", "complete", "complete")) is None


def test_everything_that_diverges_is_counted_as_such_and_ends_with_1(tmp_path):
    quiet = {"tracking": {"enabled": False}, "budget": {"trials": 3, "max_epochs": 2}}
    study = declare("tabular", name="wild", data="wine", set={"learning_rate": 1e30}, **quiet)
    answer = run(study, home=tmp_path).answer
    assert (answer.states, answer.diverged, answer.counts) == ({"PRUNED": 3}, 3, {"diverged": 3})
    console = Console(width=80, record=True)
    result = Result(answer, "done", None, 1.0, 1.0, 1, Kept(0, 0.0, None))
    print_answer(console, study, result, Paths(tmp_path, "wild"))
    text = console.export_text()
    assert "wild: 3 trials: 3 diverged in" in text
    assert answer.problem.startswith("all 3 trials diverged") and answer.problem in text.replace("\n", "")
