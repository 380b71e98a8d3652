"""What is trained after a search, and that a resume trains no more than what is missing."""

import signal
import threading
from pathlib import Path

import pytest

from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.refits import refit_best
from search.drive.result import read_answer
from search.executors.control import Control
from search.ledger import FitRole, LedgerWriter
from search.ledger.events import EventKind
from search.ledger.outcome import Outcome, StopReason, TrialState
from search.ledger.paths import Paths
from tests.search.test_resume import again, read, start, succeed
from tests.support.facts import FACTS
from trainables.data import DataSpec, load_splits
from trainables.derive import derive
from trainables.report import EpochReport

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


class StopsWith(Control):
    """Is asked to stop once the ledger has so many fits."""

    def __init__(self, ledger, fits):
        super().__init__()
        self._ledger, self._fits = ledger, fits

    @property
    def stopping(self):
        if len(self._ledger.fits(1, FitRole.REFIT)) >= self._fits:
            self.request(signal.SIGINT)
        return super().stopping


class Waits:
    """A trainable whose first epoch lasts until it is told to end."""

    metrics = ("val_accuracy",)
    goes_on = threading.Event()
    began = threading.Event()

    def configure(self, params, *, max_epochs):
        return max_epochs

    def prepare(self, splits, device):
        return None

    def start(self, config, data, *, seed, device):
        return self

    def step(self):
        Waits.began.set()
        assert Waits.goes_on.wait(100)
        return EpochReport(1, {"val_accuracy": 0.5}, 0.1)


def run(ledger, study_id, study=None, control=None):
    said = []
    paths = Paths(Path("home"), "here")
    refit_best(study or declared(), ledger, study_id, SPLITS, control or Control(), paths, said.append)
    return ledger.fits(study_id, FitRole.REFIT), said


def compared(ledger):
    """Return the comparison that the ledger's fits make."""
    return read_answer(ledger, ledger.study("here"), declared()).comparison


def test_the_best_trial_of_each_choice_is_refitted_on_each_split(ledger, study_id):
    record(ledger, study_id, TRIALS)
    fits, said = run(ledger, study_id)
    trained = sorted((f.params["model"], f.trial, f.split) for f in fits)
    assert trained == [(c, t, s) for c, t in (("knn", 1), ("linear", 0), ("torch_mlp", 2)) for s in (0, 1)]
    assert all(0 < f.metrics["val_accuracy"] <= 1 and f.seconds > 0 for f in fits)
    assert {f.params["model"]: f.epochs for f in fits} == {"linear": 1, "knn": 1, "torch_mlp": 2}
    assert {(f.train_examples, f.scored_examples) for f in fits} == {(len(SPLITS.train), len(SPLITS.val))}
    assert {f.split: f.seed for f in fits} == {split: derive(0, "refit", split) for split in (0, 1)}
    assert all(f.started_at <= f.ended_at for f in fits)
    assert said == ["training the best of each model on 2 splits ..."]
    assert compared(ledger).splits == 2


def test_refits_of_the_same_study_give_the_same_values(ledger, study_id, tmp_path):
    from search.ledger import Ledger, sqlite_url

    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    with Ledger(sqlite_url(tmp_path / "other.db"), create=True) as other:
        other_id = other.create_study("here", {}, fingerprint="", facts=FACTS)
        record(other, other_id, TRIALS)
        again, _ = run(other, other_id)
        assert [f.metrics["val_accuracy"] for f in again] == [f.metrics["val_accuracy"] for f in first]
        third, _ = run(other, other_id, declared(seed=9, refits=3))
    assert third[:6] == again, "they were not redone"


def test_where_all_refits_are_there_nothing_is_trained(ledger, study_id):
    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    again, said = run(ledger, study_id)
    assert again == first, "the seconds of every fit are those of the first time"
    assert said == []


def test_interrupted_refits_keep_whole_splits_and_the_next_session_trains_the_rest(ledger, study_id):
    record(ledger, study_id, TRIALS)
    first, said = run(ledger, study_id, control=StopsWith(ledger, 3))
    assert {f.split for f in first} == {0}
    assert len(first) == 3
    line = "the best of each model was not trained on 1 of 2 splits: the search was stopped"
    assert said[1:] == [f"{line}; go on with: python -m search resume here --home home"]
    assert [e.message for e in ledger.events(study_id, EventKind.REFITS_MISSING)] == [line]
    found = compared(ledger)
    assert found.splits == 1
    assert "over 1 of 2 splits" in found.verdict
    whole, _ = run(ledger, study_id)
    assert whole[:3] == first
    assert len(whole) == 6
    assert "over 2 splits" in compared(ledger).verdict


def test_once_the_time_budget_is_used_up_nothing_is_trained_and_that_is_said(ledger, study_id):
    record(ledger, study_id, TRIALS)
    fits, said = run(ledger, study_id, control=Control(0))
    assert fits == []
    line = "the best of each model was not trained on 2 of 2 splits: the time budget is used up"
    assert said == [f"{line}; go on with: python -m search extend here --home home --time-budget 10m"]
    assert [e.message for e in ledger.events(study_id, EventKind.REFITS_MISSING)] == [line]
    whole, _ = run(ledger, study_id, control=Control(1000))
    assert len(whole) == 6


@pytest.mark.parametrize("ends", ["the time budget", "a signal"])
def test_a_refit_that_outlasts_a_stop_is_given_up(ledger, study_id, monkeypatch, ends):
    monkeypatch.setattr(Waits, "goes_on", threading.Event())
    monkeypatch.setattr(Waits, "began", threading.Event())
    record(ledger, study_id, TRIALS)
    control = Control(grace_s=0.05)

    def stop():
        assert Waits.began.wait(100)
        control.allow(0) if ends == "the time budget" else control.request(signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        study = declared().model_copy(update={"trainable": f"{__name__}:Waits"})
        fits, said = run(ledger, study_id, study, control)
        assert not Waits.goes_on.is_set(), "the fit has not ended"
    finally:
        Waits.goes_on.set()
        stopping.join()
    assert fits == []
    assert "was not trained on 2 of 2 splits" in said[-1]
    assert control.stopping is (StopReason.BUDGET if ends == "the time budget" else StopReason.USER)


def test_after_an_extension_only_choices_with_a_new_best_trial_are_refitted(ledger, study_id):
    record(ledger, study_id, TRIALS)
    first, _ = run(ledger, study_id)
    record(ledger, study_id, [({"model": "linear", "linear_c": 10.0}, [0.99])], first=len(TRIALS))
    second, _ = run(ledger, study_id)
    assert second[: len(first)] == first, "what was trained stays"
    assert [(f.trial, f.split) for f in second[len(first) :]] == [(4, 0), (4, 1)]
    assert {(row.choice, row.trial) for row in compared(ledger).rows} == {("linear", 4), ("knn", 1), ("torch_mlp", 2)}


def test_a_refit_that_fails_is_a_row_and_the_others_are_trained(ledger, study_id):
    record(ledger, study_id, [*TRIALS[:2], ({"model": "svm", "svm_c": -1.0}, [1.0])])
    fits, _ = run(ledger, study_id)
    failed = [f for f in fits if f.state is TrialState.FAILED]
    assert [(f.params["model"], f.reason, f.message) for f in failed] == [
        ("svm", StopReason.ERROR, "ConfigError: svm_c must satisfy 1e-12 <= svm_c, got -1.0")
    ] * 2
    found = compared(ledger)
    assert [row.choice for row in found.rows][-1] == "svm"
    assert found.rows[0].mean is not None


@pytest.mark.parametrize("trials", [[], [({"model": "linear", "linear_c": 1.0}, [])]])
def test_without_a_completed_trial_there_is_nothing_to_refit(ledger, study_id, trials):
    record(ledger, study_id, trials)
    assert run(ledger, study_id) == ([], [])
    assert compared(ledger) is None


@pytest.mark.slow
def test_a_signal_among_the_fits_ends_the_command_and_a_resume_trains_the_rest(tmp_path):
    process = start(tmp_path, "s", "--trials", "8", kind="sklearn_comparison")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("training the best of each"):
            process.terminate()
            break
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "was not trained on" in output and "the search was stopped; go on with:" in output
    before = fits_in(tmp_path)
    assert len(before) < 5
    assert "was not trained" not in succeed(again(tmp_path, "s"))
    after = fits_in(tmp_path)
    assert len(after) == 5
    assert all(after[split] == fits for split, fits in before.items()), "what was trained stays"


def fits_in(home):
    """Return the fits of the study called s by split."""
    by_split = {}
    for split, *fit in read(home, "s", "select split, number, metrics, seconds from fits order by id"):
        by_split.setdefault(split, []).append(fit)
    return by_split
