import pytest
from mlflow.entities import RunStatus
from optuna.trial import TrialState as OptunaState

from search.ledger.outcome import (
    MLFLOW_PARENT_STATUS,
    MLFLOW_STATUS,
    OPTUNA_STATE,
    STATES,
    Outcome,
    SessionEnding,
    StopReason,
    TrialState,
    parse_reason,
)

TABLE = [
    # reason, state, Optuna, MLflow
    ("max_epochs", "COMPLETE", "COMPLETE", "FINISHED"),
    ("patience", "COMPLETE", "COMPLETE", "FINISHED"),
    ("returned", "COMPLETE", "COMPLETE", "FINISHED"),
    ("rung", "PRUNED", "PRUNED", "KILLED"),
    ("not_resumed", "PRUNED", "PRUNED", "KILLED"),
    ("diverged", "PRUNED", "PRUNED", "KILLED"),
    ("out_of_memory", "FAILED", "FAIL", "FAILED"),
    ("error", "FAILED", "FAIL", "FAILED"),
    ("budget", "CANCELLED", "FAIL", "KILLED"),
    ("user", "CANCELLED", "FAIL", "KILLED"),
    ("died", "INTERRUPTED", "RUNNING", "RUNNING"),
]
"""The table of DESIGN.md, row by row."""


@pytest.mark.parametrize(("reason", "state", "optuna", "mlflow"), TABLE, ids=[row[0] for row in TABLE])
def test_each_stop_reason_leads_to_the_states_that_the_design_names(reason, state, optuna, mlflow):
    outcome = Outcome(StopReason(reason), rung=9)
    assert outcome.state is TrialState(state)
    assert OPTUNA_STATE[outcome.state] == optuna
    assert MLFLOW_STATUS[outcome.state] == mlflow


def test_the_table_has_a_row_for_every_reason_and_the_mappings_for_every_state():
    assert [row[0] for row in TABLE] == list(StopReason)
    assert set(STATES) == set(StopReason)
    assert set(MLFLOW_STATUS) == set(OPTUNA_STATE) == set(TrialState)


@pytest.mark.parametrize("state", TrialState)
def test_optuna_and_mlflow_know_the_names_of_their_states(state):
    assert OptunaState[OPTUNA_STATE[state]].is_finished() == (OPTUNA_STATE[state] != "RUNNING")
    assert RunStatus.to_string(RunStatus.from_string(MLFLOW_STATUS[state])) == MLFLOW_STATUS[state]


@pytest.mark.parametrize("reason", StopReason)
def test_the_label_names_the_rung_and_otherwise_the_reason(reason):
    label = Outcome(reason, rung=9).label
    assert label == ("rung_9" if reason is StopReason.RUNG else reason.value)
    assert parse_reason(label) == (reason, 9 if reason is StopReason.RUNG else None)


@pytest.mark.parametrize("label", ["rung", "rung_", "rung_x", "rung_None", "patienze", "patience_9", ""])
def test_a_label_that_no_ending_has_is_refused(label):
    with pytest.raises(ValueError):
        parse_reason(label)


@pytest.mark.parametrize("ending", SessionEnding)
def test_every_ending_of_a_session_closes_the_parent_run_in_mlflow(ending):
    status = MLFLOW_PARENT_STATUS[ending]
    assert RunStatus.is_terminated(RunStatus.from_string(status))
    assert (status == "FINISHED") == (ending is SessionEnding.DONE)


def test_only_a_running_trial_and_a_paused_one_have_not_ended():
    assert [s for s in TrialState if not s.ended] == [TrialState.RUNNING, TrialState.PAUSED]


def test_a_resume_continues_what_was_cut_off_and_nothing_else():
    assert {s for s in TrialState if s.resumable} == {
        TrialState.RUNNING,
        TrialState.PAUSED,
        TrialState.INTERRUPTED,
        TrialState.CANCELLED,
    }


def test_an_outcome_cannot_be_changed():
    with pytest.raises(AttributeError):
        Outcome(StopReason.ERROR).message = "x"
