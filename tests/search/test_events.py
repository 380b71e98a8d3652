"""The records of what happens in a study, and the sentences they are shown as."""

import pytest
from pydantic import ValidationError

from search.ledger import LedgerWriter
from search.ledger.events import (
    EVENTS,
    Aborted,
    ActorLost,
    AuditEnded,
    CheckpointNote,
    ChoicesWeighed,
    ConfirmBegun,
    ConfirmEnded,
    CredentialsRemoved,
    CurvesSmoothed,
    EventKind,
    Extended,
    GainBelow,
    HeldOutOpened,
    LaneModeMeasured,
    LanesChosen,
    LanesHalved,
    LaneWorkerLost,
    LedgerMigrated,
    Level,
    ModelChanged,
    ProposalsSlow,
    Redeclared,
    RefitsMissing,
    SchedulerReplaced,
    ShareUsedUp,
    SpaceExhausted,
    SurrogateFailed,
    TrialNote,
    TrialsKept,
    TriedAlone,
    VersionsChanged,
)
from search.ledger.outcome import StopReason

EXAMPLES = [
    (
        SurrogateFailed(epochs=40, reason="a covariance of 40 values is singular"),
        Level.WARNING,
        "after 40 epochs the surrogate failed (a covariance of 40 values is singular): the best so far and new ones "
        "train",
    ),
    (
        ChoicesWeighed(epochs=64, choice_ms=11.6, epoch_ms=2.04, epochs_a_choice=9),
        Level.INFO,
        "after 64 epochs a choice took 11.6 ms, an epoch 2.04 ms: from here on each choice is for 9 epochs",
    ),
    (
        ChoicesWeighed(epochs=64, choice_ms=11.6, epoch_ms=204.0, epochs_a_choice=1),
        Level.INFO,
        "after 64 epochs a choice took 11.6 ms, an epoch 204 ms: from here on each choice is for 1 epoch",
    ),
    (
        CurvesSmoothed(epochs=90, metric="val_loss", means={0: 0.5, 3: 0.25}),
        Level.INFO,
        "after 90 epochs the model of the curves has a smoothed val_loss of 2 trials",
    ),
    (
        SchedulerReplaced(scheduler="freeze_thaw", by="promote", reason="trials of one epoch have no curves"),
        Level.WARNING,
        "freeze_thaw: trials of one epoch have no curves; promote decides in its place",
    ),
    (
        ConfirmBegun(finalists=(44, 3), pairs=40, auto=True),
        Level.INFO,
        "confirming trials [44, 3] beside the baseline on at most 40 pairs",
    ),
    (
        ConfirmEnded(missing=4, runs=20, reason=StopReason.BUDGET),
        Level.WARNING,
        "the confirmation lacks 4 of 20 runs: the time budget is used up",
    ),
    (
        HeldOutOpened(finalists=(44,), pairs=(0, 1, 2)),
        Level.INFO,
        "the test part was opened for trials [44] and the baseline on 3 pairs",
    ),
    (Aborted(reason="3 trials failed"), Level.ERROR, "3 trials failed"),
    (
        ActorLost(trial=4, reason="node died", wait_s=0.5, failures=1, max_failures=3),
        Level.WARNING,
        "trial 4: its actor was lost (node died); it is started again in 0.5 s (failure 1, --max-failures 3)",
    ),
    (CheckpointNote(trial=2, note="trial 2: damaged"), Level.WARNING, "trial 2: damaged"),
    (
        CredentialsRemoved(texts=2),
        Level.WARNING,
        "passwords or tokens that an older Lanewise had stored were taken out of 2 texts of the ledger; copies of it, "
        "and what was sent to MLflow, may still hold them: change them",
    ),
    (Extended(field="budget.trials", before=4, after=7), Level.INFO, "budget.trials: 4 -> 7"),
    (
        LaneModeMeasured(group="cnn 8", mode="looped", stacked_ms=12.34, looped_ms=5.0),
        Level.INFO,
        "cnn 8: looped (12.3 ms stacked, 5.0 ms looped)",
    ),
    (LanesChosen(choice="3 lanes, as asked for"), Level.INFO, "3 lanes, as asked for"),
    (
        LanesHalved(worker=0, together=6, lanes=3, queued=(1, 2), reason="no room"),
        Level.WARNING,
        "worker 0 ran out of memory with 6 trials at once (no room): from now on it has 3 of 6 lanes; "
        "trials [1, 2] are queued again",
    ),
    (
        LaneWorkerLost(worker=1, reason="killed", retried={3: 0.0, 11: 2.5}, given_up=(7,), failed_starts=4),
        Level.WARNING,
        "worker 1 was lost (killed); trial 3 is tried again in 0 s; trial 7 is given up; trial 11 is tried again in "
        "2.5 s; it died 4 times before it was up and is given up",
    ),
    (AuditEnded(trial=3, reason=StopReason.PATIENCE), Level.INFO, "trial 3: its audit ended (patience)"),
    (
        GainBelow(trials=23, planned=64, metric="val_loss", gain=0.00123456, below=0.002),
        Level.INFO,
        "ended after 23 trials beside the baseline, of 64: twice as many are expected to better val_loss by 0.00123, "
        "less than 0.002 (--until-gain-below)",
    ),
    (
        LedgerMigrated(old_version=1, new_version=2, copy_of_old="/x/ledger.db.v1"),
        Level.INFO,
        "the ledger was brought from schema version 1 to 2; a copy of it as it was is in /x/ledger.db.v1",
    ),
    (ModelChanged(change="a, b now"), Level.WARNING, "the model is not what it was: a, b now, as was accepted"),
    (Redeclared(field="resources.workers", before=None, after=2), Level.INFO, "resources.workers: None -> 2"),
    (
        RefitsMissing(parameter="model", missing=2, refits=5, reason=StopReason.BUDGET),
        Level.WARNING,
        "the best of each model was not trained on 2 of 5 splits: the time budget is used up",
    ),
    (
        ProposalsSlow(sampler="gp", trials=600, planned=2000, proposal_s=1.234, left_s=7620.0, training_s=90.0),
        Level.WARNING,
        "gp takes 1.2 s a proposal after 600 trials; for the 1400 that are left its proposals take about 2 h 07 min, "
        "training about 1 min 30 s",
    ),
    (
        ShareUsedUp(parameter="norm", choice=True, trials=3),
        Level.INFO,
        "norm=True has no more points after 3 trials; the others had its share",
    ),
    (SpaceExhausted(trials=12), Level.INFO, "the space has no more points after 12 trials"),
    (TrialNote(trial=2, about="note", note="warm start"), Level.INFO, "trial 2: warm start"),
    (TrialNote(trial=2, about="artifact", note="curve.png"), Level.INFO, "trial 2: artifact curve.png"),
    (TrialsKept(fitting=3, trials=4), Level.INFO, "3 of 4 trials fit and are told to the sampler"),
    (TriedAlone(trial=5), Level.WARNING, "trial 5 ran out of memory; it is tried once more, alone"),
    (
        VersionsChanged(changes={"torch": ("2.1", "2.2"), "ray": (None, "3")}),
        Level.WARNING,
        "since the study began: torch 2.1 -> 2.2, ray absent -> 3; it goes on, but equality bit for bit with a search "
        "that was never interrupted is not promised",
    ),
]


def test_every_kind_has_a_record_and_an_example_here():
    assert set(EVENTS) == set(EventKind) == {event.kind for event, _, _ in EXAMPLES}


@pytest.mark.parametrize(("event", "level", "sentence"), EXAMPLES, ids=[e.kind.value for e, _, _ in EXAMPLES])
def test_an_event_reads_back_from_the_ledger_as_the_record_that_was_written(ledger, study_id, event, level, sentence):
    writer = LedgerWriter(ledger, study_id)
    writer.event(event)
    writer.flush()
    (row,) = ledger.events(study_id, event.kind)
    assert (row.event, row.trial, row.level, row.message) == (event, event.trial, level, sentence)


def test_an_event_that_is_no_record_of_its_kind_is_refused_as_it_is_made():
    with pytest.raises(ValidationError, match="trial"):
        TriedAlone()
    with pytest.raises(ValidationError, match="trails"):
        SpaceExhausted(trials=1, trails=1)
