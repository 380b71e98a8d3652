import pytest
from mlflow.entities import RunStatus
from optuna.trial import TrialState as OptunaState

from search.ledger.outcome import MLFLOW_STATUS, OPTUNA_STATE, STATES, Outcome, StopReason, TrialState

TABLE = [
    # reason, state, Optuna, MLflow
    ("max_epochs", "COMPLETE", "COMPLETE", "FINISHED"),
    ("patience", "COMPLETE", "COMPLETE", "FINISHED"),
    ("rung", "PRUNED", "PRUNED", "KILLED"),
    ("diverged", "PRUNED", "PRUNED", "KILLED"),
    ("out_of_memory", "FAILED", "FAIL", "FAILED"),
    ("error", "FAILED", "FAIL", "FAILED"),
    ("budget", "CANCELLED", "FAIL", "KILLED"),
    ("user", "CANCELLED", "FAIL", "KILLED"),
    ("died", "INTERRUPTED", "RUNNING", "RUNNING"),
]
"""The table of DESIGN.md, row by row."""


@pytest.mark.parametrize(("reason", "state", "optuna", "mlflow"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table_of_the_design(reason, state, optuna, mlflow):
    outcome = Outcome(StopReason(reason), rung=9)
    assert outcome.state is TrialState(state)
    assert OPTUNA_STATE[outcome.state] == optuna
    assert MLFLOW_STATUS[outcome.state] == mlflow


def test_the_table_has_a_row_for_every_reason_and_the_mappings_for_every_state():
    assert [row[0] for row in TABLE] == list(StopReason)
    assert set(STATES) == set(StopReason)
    assert set(MLFLOW_STATUS) == set(OPTUNA_STATE) == set(TrialState)


@pytest.mark.parametrize("state", TrialState)
def test_the_other_services_know_the_words(state):
    assert OptunaState[OPTUNA_STATE[state]].is_finished() == (OPTUNA_STATE[state] != "RUNNING")
    assert RunStatus.to_string(RunStatus.from_string(MLFLOW_STATUS[state])) == MLFLOW_STATUS[state]


@pytest.mark.parametrize("reason", StopReason)
def test_the_label_names_the_rung_and_otherwise_the_reason(reason):
    label = Outcome(reason, rung=9).label
    assert label == ("rung_9" if reason is StopReason.RUNG else reason.value)


def test_only_a_running_trial_has_not_ended():
    assert [s for s in TrialState if not s.ended] == [TrialState.RUNNING]


def test_a_resume_continues_what_was_cut_off_and_nothing_else():
    assert {s for s in TrialState if s.resumable} == {
        TrialState.RUNNING,
        TrialState.INTERRUPTED,
        TrialState.CANCELLED,
    }


def test_an_outcome_cannot_be_changed():
    with pytest.raises(AttributeError):
        Outcome(StopReason.ERROR).message = "x"
