"""What is trained after a search, and that a resume trains no more than what is missing."""

import signal

import pytest

from search.control import Control
from search.ledger import LedgerWriter
from search.outcome import Outcome, StopReason
from search.refits import refit_best
from search.report.comparison import comparison
from search.studies import find
from search.study import Study
from trainables.data import DataSpec, load_splits

SPLITS = load_splits(DataSpec("wine"))
TRIALS = [
    ({"model": "linear", "linear_c": 1.0}, [0.9]),
    ({"model": "knn", "knn_neighbours": 3, "knn_weights": "uniform", "knn_power": 2}, [0.95]),
    ({"model": "torch_mlp", "hidden": "8", "learning_rate": 0.01, "dropout": 0.0, "weight_decay": 1e-4}, [0.5, 0.9]),
    ({"model": "linear", "linear_c": 0.001}, [0.8]),
]


def declared(**values):
    study = find("sklearn_comparison").model_dump()
    return Study.model_validate({**study, "name": "here", "refits": 2, **values})


def record(ledger, study_id, trials, first=0):
    writer = LedgerWriter(ledger, study_id)
    for number, (params, accuracies) in enumerate(trials, first):
        writer.trial_started(number, params, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
        for epoch, accuracy in enumerate(accuracies, 1):
            writer.epoch(number, epoch, seconds=0.1, metrics={"val_loss": 1.0, "val_accuracy": accuracy})
        writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()


class Stopped(Control):
    """Is asked to stop at the n-th look."""

    def __init__(self, after):
        super().__init__()
        self.looks = after

    @property
    def exit_code(self):
        self.looks -= 1
        if self.looks < 0:
            self.request(signal.SIGINT)
        return super().exit_code


def run(ledger, study_id, study=None, control=None):
    said = []
    refit_best(study or declared(), ledger, study_id, SPLITS, control or Control(), said.append)
    return ledger.study("here").facts.get("refits", {}), said


def keys(kept):
    return sorted((f["choice"], f["trial"], f["split"]) for f in kept["fits"])


def test_the_best_of_each_is_trained_on_each_split(ledger, study_id):
    record(ledger, study_id, TRIALS)
    kept, said = run(ledger, study_id)
    assert keys(kept) == [(c, t, s) for c, t in (("knn", 1), ("linear", 0), ("torch_mlp", 2)) for s in (0, 1)]
    assert all(0 < f["value"] <= 1 and f["seconds"] > 0 for f in kept["fits"])
    assert {e["choice"]: e["epoch"] for e in kept["chosen"]} == {"linear": 1, "knn": 1, "torch_mlp": 2}
    assert (kept["train"], kept["val"]) == (len(SPLITS.train), len(SPLITS.val))
    assert said == ["training the best of each model on 2 splits ..."]
    assert comparison(declared(), ledger.study("here").facts).splits == 2
    assert ledger.study("here").facts["uid"] == "u", "the other facts stay"


def test_the_same_study_gives_the_same_values(ledger, study_id, tmp_path):
    from search.ledger import Ledger, sqlite_url

    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    with Ledger(sqlite_url(tmp_path / "other.db"), create=True) as other:
        other_id = other.create_study("here", {}, fingerprint="", facts={})
        record(other, other_id, TRIALS)
        again, _ = run(other, other_id)
        assert [f["value"] for f in again["fits"]] == [f["value"] for f in first["fits"]]
        third, _ = run(other, other_id, declared(seed=9, refits=3))
    assert [f["value"] for f in third["fits"][:6]] == [f["value"] for f in first["fits"]], "they were not redone"


def test_a_second_time_nothing_is_trained(ledger, study_id):
    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    again, said = run(ledger, study_id)
    assert again == first, "the seconds of every fit are those of the first time"
    assert said == []


def test_an_interruption_keeps_whole_splits_and_the_next_time_trains_the_rest(ledger, study_id):
    record(ledger, study_id, TRIALS)
    # looks: three before the fits of the first split, one after it, one before a fit of the second
    first, _ = run(ledger, study_id, control=Stopped(5))
    assert {f["split"] for f in first["fits"]} == {0}
    assert len(first["fits"]) == 3
    found = comparison(declared(), ledger.study("here").facts)
    assert found.splits == 1
    whole, _ = run(ledger, study_id)
    assert whole["fits"][:3] == first["fits"]
    assert len(whole["fits"]) == 6


def test_an_interruption_before_the_first_split_is_done_leaves_nothing(ledger, study_id):
    record(ledger, study_id, TRIALS)
    kept, _ = run(ledger, study_id, control=Stopped(1))
    assert kept == {}


def test_after_an_extension_only_what_has_a_new_best_is_trained(ledger, study_id):
    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    record(ledger, study_id, [({"model": "linear", "linear_c": 10.0}, [0.99])], first=len(TRIALS))
    second, _ = run(ledger, study_id)
    assert {(f["choice"], f["trial"]) for f in second["fits"]} == {("linear", 4), ("knn", 1), ("torch_mlp", 2)}
    assert [f for f in second["fits"] if f["choice"] != "linear"] == [
        f for f in first["fits"] if f["choice"] != "linear"
    ]


def test_a_model_that_fails_is_a_row_and_the_others_are_trained(ledger, study_id):
    record(ledger, study_id, [*TRIALS[:2], ({"model": "svm", "svm_c": -1.0}, [1.0])])
    kept, _ = run(ledger, study_id)
    failed = [f for f in kept["fits"] if "error" in f]
    assert [(f["choice"], f["error"]) for f in failed] == [
        ("svm", "ConfigError: svm_c must satisfy 1e-12 <= svm_c, got -1.0")
    ] * 2
    found = comparison(declared(), ledger.study("here").facts)
    assert [row.choice for row in found.rows][-1] == "svm"
    assert found.rows[0].mean is not None


@pytest.mark.parametrize("trials", [[], [({"model": "linear", "linear_c": 1.0}, [])]])
def test_without_a_completed_value_there_is_nothing_to_train(ledger, study_id, trials):
    record(ledger, study_id, trials)
    kept, said = run(ledger, study_id)
    assert kept["fits"] == kept["chosen"] == []
    assert said == []
    assert comparison(declared(), ledger.study("here").facts) is None
