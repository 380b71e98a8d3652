"""Confirming what a search found: the same pairs for all, each run once, the test part opened here and nowhere else."""

import dataclasses
import json
import signal

import numpy as np
import pytest

from search.declaration.studies import find
from search.declaration.validate import valid_study
from search.drive import confirm as drive
from search.drive.confirm import Confirming
from search.drive.result import read_answer
from search.errors import UsageError
from search.executors.control import Control
from search.ledger import FitRole, LedgerWriter
from search.ledger.confirmed import read_confirmed
from search.ledger.events import ConfirmBegun, EventKind, HeldOutOpened
from search.ledger.outcome import Outcome, StopReason, TrialState
from search.ledger.paths import Paths
from search.report.confirmation import BETTER, SAME
from search.report.confirmation_words import confirmation_lines
from spaces import hash_params
from tests.support.command import invoke
from trainables.data import datasets
from trainables.derive import derive

BASE = {
    "learning_rate": 0.001,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "l1": "off",
    "batch_norm": False,
    "schedule": "none",
}
TRIALS = [
    (BASE, [0.9, 0.8]),
    ({**BASE, "learning_rate": 0.01, "batch_norm": True}, [0.2, 0.3]),
    ({**BASE, "learning_rate": 0.02}, [0.5, 0.4]),
    ({**BASE, "dropout": 0.5}, [0.95, 0.7]),
]


def declared(**confirm):
    study = find("regularization").model_dump()
    asked = {"pairs": 3, "finalists": 2, "ablate": False, **confirm}
    return valid_study(
        {**study, "name": "here", "budget": {"trials": 4, "max_epochs": 3}, "scheduler": {"grace": 2}, "confirm": asked}
    )


def record(ledger, study_id, trials=TRIALS, ended=StopReason.MAX_EPOCHS):
    writer = LedgerWriter(ledger, study_id)
    for number, (params, losses) in enumerate(trials):
        writer.trial_started(number, params, config_hash=hash_params(params), seed=0, sampler_attrs={}, repeats=[])
        for epoch, loss in enumerate(losses, 1):
            metrics = {"train_loss": loss, "val_loss": loss, "val_accuracy": 0.5, "lr": 0.1}
            writer.epoch(number, epoch, seconds=0.1, metrics=metrics)
        writer.trial_ended(number, Outcome(ended))
    writer.flush()


class StopsWith(Control):
    """Is asked to stop once the ledger has so many runs."""

    def __init__(self, ledger, runs):
        super().__init__(grace_s=100.0)
        self._ledger, self._runs = ledger, runs

    @property
    def stopping(self):
        if len(fits(self._ledger)) >= self._runs:
            self.request(signal.SIGINT)
        return super().stopping


def fits(ledger):
    return [fit for role in (FitRole.CONFIRM, FitRole.ABLATION) for fit in ledger.fits(1, role)]


def confirm(ledger, tmp_path, study=None, control=None):
    """Return what was said, and why there was nothing to confirm."""
    said = []
    (tmp_path / "here").mkdir(exist_ok=True)
    paths = Paths(tmp_path, "here")
    why = Confirming(study or declared(), ledger, 1, control or Control(), paths, said.append).run()
    return said, why


def plain(rows):
    """Return runs as they are the same in every session: without their times."""
    bare = [dataclasses.replace(r, started_at=None, ended_at=None, seconds=None) for r in rows]
    without = [
        dataclasses.replace(r, metrics={k: v for k, v in r.metrics.items() if k != "epoch_seconds"}) for r in bare
    ]
    return sorted(without, key=lambda r: (r.role, r.split, r.config_hash))


def found(ledger, study=None):
    return read_answer(ledger, ledger.study("here"), study or declared()).confirmation


def test_the_finalists_and_the_baseline_train_on_the_same_pairs(ledger, study_id, tmp_path):
    record(ledger, study_id)
    said, why = confirm(ledger, tmp_path)
    rows = ledger.fits(study_id, FitRole.CONFIRM)
    assert why is None and said[0] == "confirming 2 finalists and the baseline on 3 pairs ..."
    assert sorted((r.trial, r.split) for r in rows) == [(t, p) for t in (0, 1, 2) for p in range(3)]
    assert {(r.split, r.seed) for r in rows} == {(p, derive(0, "confirm", p)) for p in range(3)}
    assert all(0 < r.epochs <= 3 and r.state is TrialState.COMPLETE for r in rows)
    assert all(
        {"val_loss", "val_accuracy", "test_loss", "test_accuracy", "test_error"} <= r.metrics.keys() for r in rows
    )
    assert {(r.train_examples, r.scored_examples) for r in rows} == {(1079, 179)}


def test_the_answer_compares_them_in_pairs(ledger, study_id, tmp_path):
    record(ledger, study_id)
    confirm(ledger, tmp_path)
    answer = found(ledger)
    assert [s.trial for s in answer.finalists] == [1, 2] and answer.baseline.trial == 0
    assert answer.verdict == BETTER  # ten times the rate learns more in three epochs
    assert answer.pairs == answer.planned == 3 and answer.test_opened == 1
    assert answer.searched_gain == pytest.approx(0.2 - 0.8)
    first = answer.finalists[0]
    rows = {(r.trial, r.split): r.metrics["val_loss"] for r in ledger.fits(study_id, FitRole.CONFIRM)}
    assert first.to_baseline.mean == pytest.approx(np.mean([rows[1, p] - rows[0, p] for p in range(3)]))
    assert answer.confirmed_gain == first.to_baseline.mean
    assert first.test is not None and first.test.low < first.test.mean < first.test.high
    assert json.dumps(read_answer(ledger, ledger.study("here"), declared()).to_dict()["confirmation"]["verdict"])


def test_what_does_nothing_cannot_be_told_apart(ledger, study_id, tmp_path):
    space = {"momentum": {"type": "float", "low": 0.0, "high": 0.9, "baseline": 0.0}}
    study = valid_study({**declared().model_dump(), "space": space, "settings": {"hidden": "16"}})
    record(ledger, study_id, [({"momentum": m}, [loss]) for m, loss in ((0.0, 0.5), (0.3, 0.4), (0.6, 0.3))])
    confirm(ledger, tmp_path, study)
    answer = found(ledger, study)
    assert answer.verdict == SAME and answer.recommended == 0
    assert answer.confirmed_gain == 0.0 and "the baseline is simpler" in answer.sentence


@pytest.mark.parametrize("runs", [1, 3, 4, 5])
def test_a_stop_leaves_whole_runs_and_the_rest_is_trained_later(ledger, study_id, tmp_path, runs):
    record(ledger, study_id)
    said, _ = confirm(ledger, tmp_path, control=StopsWith(ledger, runs))
    some = fits(ledger)
    assert runs <= len(some) < 9
    assert "the confirmation lacks" in said[-1] and "python -m search confirm here" in said[-1]
    confirm(ledger, tmp_path)
    rows = fits(ledger)
    assert len(rows) == len({(r.config_hash, r.split) for r in rows}) == 9
    assert len(ledger.events(study_id, EventKind.TEST_OPENED)) == 1
    assert confirm(ledger, tmp_path) == ([], None)


def test_a_resumed_confirmation_has_the_rows_of_one_that_was_not(ledger, study_id, tmp_path):
    record(ledger, study_id)
    study = declared(ablate=True)
    for runs in (2, 5, 12):
        confirm(ledger, tmp_path, study, StopsWith(ledger, runs))
    confirm(ledger, tmp_path, study)
    interrupted = plain(fits(ledger))
    second = ledger.create_study("there", {"a": 1}, fingerprint="f" * 64, facts=ledger.study("here").facts)
    record(ledger, second)
    Confirming(study, ledger, second, Control(), Paths(tmp_path, "here"), lambda line: None).run()
    whole = plain([f for role in (FitRole.CONFIRM, FitRole.ABLATION) for f in ledger.fits(second, role)])
    assert interrupted == whole


def test_each_parameter_is_set_back_and_put_alone(ledger, study_id, tmp_path):
    record(ledger, study_id)
    study = declared(ablate=True)
    confirm(ledger, tmp_path, study)
    answer = found(ledger, study)
    table = answer.ablation
    assert table.trial == answer.recommended
    differing = {n for n, v in TRIALS[table.trial][0].items() if v != BASE[n]}
    assert {row.parameter for row in table.rows} == differing
    assert table.rows[0].parameter == "learning_rate" and table.rows[0].words == "helps"
    assert not any("test_loss" in r.metrics for r in ledger.fits(study_id, FitRole.ABLATION))


def test_pairs_are_added_until_the_verdict_is_settled(ledger, study_id, tmp_path):
    record(ledger, study_id)
    study = declared(pairs="auto", finalists=1)
    said, _ = confirm(ledger, tmp_path, study)
    assert said[0] == "confirming 1 finalist and the baseline on 5 pairs, of at most 40 ..."
    assert len(ledger.fits(study_id, FitRole.CONFIRM)) == 2 * 5
    assert found(ledger, study).verdict == BETTER and found(ledger, study).level < 0.05


def test_more_pairs_are_added_to_those_that_are_there_and_open_the_test_part_again(ledger, study_id, tmp_path):
    record(ledger, study_id)
    confirm(ledger, tmp_path)
    before = fits(ledger)
    confirm(ledger, tmp_path, declared(pairs=4))
    assert fits(ledger)[: len(before)] == before and len(fits(ledger)) == 3 * 4
    assert found(ledger, declared(pairs=4)).test_opened == 2


def test_a_configuration_that_fails_is_said_and_judged_by_the_rest(ledger, study_id, tmp_path):
    record(ledger, study_id)
    confirm(ledger, tmp_path, declared(pairs=5))
    rows = ledger.fits(study_id, FitRole.CONFIRM)
    for failing, judged in ((2, True), (3, False)):
        changed = [
            dataclasses.replace(r, state=TrialState.FAILED, metrics={}, message="ValueError: no")
            if r.trial == 1 and r.split < failing
            else r
            for r in rows
        ]
        second = ledger.create_study(f"with {failing}", {"a": 1}, fingerprint="f", facts=ledger.study("here").facts)
        record(ledger, second)
        LedgerWriter(ledger, second).flush()
        ledger.add_fits(second, changed)
        confirmed = dataclasses.replace(drive.read_confirmed(ledger, study_id), fits=changed)
        board = drive.leaderboard(ledger.trials_frame(1), ledger.epochs_frame(1), declared().objective)
        standing = drive.confirmation(declared(), board, confirmed).finalists[0]
        assert (standing.failed, standing.error) == (failing, "ValueError: no")
        assert (standing.to_baseline is not None) == judged


def test_the_predictions_of_every_example_are_kept(ledger, study_id, tmp_path):
    record(ledger, study_id)
    confirm(ledger, tmp_path)
    row = ledger.fits(study_id, FitRole.CONFIRM)[0]
    with np.load(tmp_path / "here" / "predictions" / f"confirm-{row.config_hash}-{row.split:03d}.npz") as kept:
        assert kept["loss"].mean() == pytest.approx(row.metrics["val_loss"], rel=1e-5)
        assert (kept["target"] == kept["predicted"]).mean() == pytest.approx(row.metrics["val_accuracy"])
        assert (kept["test_target"] == kept["test_predicted"]).mean() == pytest.approx(row.metrics["test_accuracy"])


@pytest.mark.parametrize(
    ("trials", "ended", "why"),
    [
        (TRIALS[:1], StopReason.MAX_EPOCHS, "no trial but the baseline has finished"),
        (TRIALS, StopReason.USER, "no trial but the baseline has finished"),
        ([(BASE, [float("nan")]), *TRIALS[1:]], StopReason.MAX_EPOCHS, "the baseline, trial 0, has no finite val_loss"),
    ],
)
def test_nothing_to_confirm_is_said(ledger, study_id, tmp_path, trials, ended, why):
    record(ledger, study_id, trials, ended)
    assert confirm(ledger, tmp_path) == ([], why)


class Untouchable:
    """Stands in for the examples of a test part: whatever is asked of it but their number is a fault."""

    def __init__(self, length):
        self._length = length

    def __len__(self):
        return self._length

    def __getattr__(self, name):
        raise AssertionError(f"the test part was read: {name}")

    def __getitem__(self, key):
        raise AssertionError("the test part was read")


@pytest.mark.parametrize("study", ["regularization", "regression", "schedules"])
def test_a_search_never_reads_the_test_part(monkeypatch, tmp_path, study):
    read, opened = datasets._read, []

    def poisoned(spec, pair):
        parts = read(spec, pair)
        if pair is not None:
            opened.append(pair)
            return parts
        length = len(parts.test)
        return dataclasses.replace(parts, test=datasets.Arrays(Untouchable(length), Untouchable(length)))

    datasets._load.cache_clear()
    monkeypatch.setattr(datasets, "_read", poisoned)
    monkeypatch.setattr(datasets, "fingerprint", lambda *parts: "0" * 64)
    options = [
        "--trials",
        "4",
        "--max-epochs",
        "2",
        "--tracking",
        "offline",
        "--home",
        str(tmp_path),
        "--name",
        "poisoned",
    ]
    try:
        invoke("run", study, *options, "--no-confirm")
        assert opened == []
        invoke("confirm", "poisoned", "--home", tmp_path, "--seeds", 2)
        assert len(opened) == 2
    finally:
        datasets._load.cache_clear()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["absent"], "no study 'absent'"),
        (["here", "--seeds", "1"], "--seeds must be a number between 2 and 1000, or auto, got '1'"),
        (["here", "--seeds", "two", "--finalists", "0"], "--finalists must be between 1 and 100, got 0"),
    ],
)
def test_bad_input_gets_a_line(tmp_path, options, line):
    with pytest.raises(UsageError) as raised:
        invoke("confirm", *options, "--home", tmp_path)
    assert any(text.startswith(line) for text in raised.value.errors)


def test_an_ablation_that_was_stopped_says_on_how_many_pairs_it_is(ledger, study_id, tmp_path):
    record(ledger, study_id)
    study = declared(pairs=4, finalists=1, ablate=True)
    confirm(ledger, tmp_path, study, StopsWith(ledger, 2 * 4 + 2 * 2))
    partial = found(ledger, study)
    assert partial.pairs == 4 and partial.ablation.pairs in (2, 3)
    confirm(ledger, tmp_path, study)
    assert found(ledger, study).ablation.pairs == found(ledger, study).pairs == 4


def test_looks_of_one_confirmation_open_the_test_part_once_and_stay_spent(ledger, study_id, tmp_path):
    record(ledger, study_id)
    writer = LedgerWriter(ledger, study_id)
    for event in (
        ConfirmBegun(finalists=(1, 2), pairs=40, auto=True),
        HeldOutOpened(finalists=(1, 2), pairs=(0, 1, 2, 3, 4)),
        HeldOutOpened(finalists=(1, 2), pairs=(5, 6, 7)),
    ):
        writer.event(event)
    writer.flush()
    assert read_confirmed(ledger, study_id).test_opened == 1
    confirm(ledger, tmp_path)
    after = read_confirmed(ledger, study_id)
    assert after.test_opened == 2 and after.planned == 3 and after.auto


def winner_with(answer, *, p, **changes):
    """Return a confirmation whose winner differs from the baseline with this p-value."""
    first, *others = answer.finalists
    first = dataclasses.replace(first, to_baseline=dataclasses.replace(first.to_baseline, p=p))
    return dataclasses.replace(answer, finalists=(first, *others), **changes)


@pytest.mark.parametrize("confirmed", [-0.7, -0.1, 0.2])
def test_nothing_is_said_of_luck_where_no_gain_was_shown(ledger, study_id, tmp_path, confirmed):
    record(ledger, study_id)
    confirm(ledger, tmp_path, declared(pairs=2))
    answer = winner_with(found(ledger), p=0.4, searched_gain=-0.6, confirmed_gain=confirmed)
    line = confirmation_lines(answer)[0]
    assert line.endswith(f"fresh pairs say {confirmed:+.3g}, which cannot be told apart from no gain")


@pytest.mark.parametrize(
    ("searched", "confirmed", "said"),
    [(-0.6, -0.5, "; 0.1 of it was luck"), (-0.6, -0.7, "none of it was luck"), (-0.6, 0.1, "all of it was luck")],
)
def test_luck_is_what_is_missing_from_what_was_promised(ledger, study_id, tmp_path, searched, confirmed, said):
    record(ledger, study_id)
    confirm(ledger, tmp_path, declared(pairs=2))
    answer = winner_with(found(ledger), p=0.001, searched_gain=searched, confirmed_gain=confirmed)
    assert said in confirmation_lines(answer)[0]
    other_way = dataclasses.replace(answer, mode="max", searched_gain=-searched, confirmed_gain=-confirmed)
    assert said in confirmation_lines(other_way)[0]
