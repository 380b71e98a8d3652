"""The parent run of a study in MLflow: how it begins, and the answer that is logged to it at the end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from search.ledger import FitRole, Ledger, StudyRow
from search.ledger.confirmed import read_confirmed
from search.ledger.outcome import MLFLOW_PARENT_STATUS
from search.ledger.smoothed import read_smoothed
from search.report.answer import answer
from search.report.comparison import Comparison, comparison_csv
from search.report.comparison_plot import comparison_figure
from search.report.confirmation import Confirmation, confirmation_csv
from search.report.curve import Curve, curve_csv
from search.report.curve_plot import artifact_stem, curve_figure
from search.report.leaderboard import leaderboard
from search.report.page.summary import description
from search.report.pareto import pareto
from search.tracking.fit_runs import FitRuns
from search.tracking.mlflow_client import Dataset, DatasetInput, Metric, MlflowClient, Param, RunTag
from search.tracking.process import UID

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study


def source_tags(study: Study) -> dict[str, str]:
    """Return the tags from which MLflow's list of runs fills its column of sources."""
    return {"mlflow.source.name": f"search.run {study.kind}", "mlflow.source.type": "LOCAL"}


def create_parent(client: MlflowClient, experiment_id: str, row: StudyRow, study: Study) -> str:
    """Create the run of a study, with its declaration and its data, and return its id.

    Args:
        client: speaks to the server.
        experiment_id: the experiment that the run belongs to.
        row: the study as the ledger holds it.
        study: its declaration.
    """
    run = client.create_run(
        experiment_id,
        start_time=int(row.created_at * 1000),
        run_name=row.name,
        tags={
            "lanewise.study": row.name,
            UID: row.facts.uid,
            "lanewise.seed": str(study.seed),
            "lanewise.data_fingerprint": row.fingerprint,
            "mlflow.note.content": study.question,
            **source_tags(study),
            **{f"lanewise.version.{name}": version for name, version in row.facts.versions.items()},
        },
    )
    run_id = str(run.info.run_id)
    params = {
        "study": study.kind,
        "trainable": study.trainable,
        "dataset": study.data.name,
        "objective": ", ".join(f"{o.metric} {o.mode}" for o in study.objectives),
        **({} if study.data.folds is None else {"folds": study.data.folds}),
        "trials": study.budget.trials,
        "max_epochs": study.budget.max_epochs,
        "sampler": study.sampler,
        "scheduler": study.scheduler.name,
        **study.settings,
    }
    client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
    client.log_dict(run_id, row.declaration, "study.json")
    dataset = Dataset(
        name=study.data.name,
        digest=row.fingerprint[:36],  # the longest that MLflow's databases hold; the tag has it whole
        source_type="local",
        source=json.dumps({"data_dir": study.data.data_dir, "path": study.data.path, "target": study.data.target}),
    )
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[])])
    return run_id


def finish_parent(
    client: MlflowClient, run_id: str, fit_runs: FitRuns, ledger: Ledger, row: StudyRow, study: Study
) -> None:
    """Log what the study found to its run, and close that as its last session ended; one that goes on stays open.

    Args:
        client: speaks to the server.
        run_id: the parent run.
        fit_runs: those of its confirmation.
        ledger: the one that holds the study.
        row: the study as the ledger holds it.
        study: its declaration.
    """
    sessions = ledger.sessions(row.id)  # first: what is logged is then never older than the ending
    epochs, trials = ledger.epochs_frame(row.id), ledger.trials_frame(row.id)
    smoothed = read_smoothed(ledger, row.id, epochs=len(epochs))
    board = leaderboard(trials, epochs, study.objective, smoothed)
    client.log_text(run_id, board.drop(columns=["params", "metrics"]).to_csv(index=False), "leaderboard.csv")
    if study.further:
        front = pareto(board, epochs, study.objectives).drop(columns=["params", "metrics"])
        client.log_text(run_id, front.to_csv(index=False), "pareto.csv")
    refits, confirmed = ledger.fits(row.id, FitRole.REFIT), read_confirmed(ledger, row.id)
    found = answer(study, trials, epochs, row.facts, refits, confirmed, smoothed=smoothed)
    _log_comparison(client, run_id, found.comparison)
    _log_confirmation(client, run_id, found.confirmation)
    _log_curve(client, run_id, found.curve)
    said = found.confirmation
    fit_runs.close({} if said is None else {FitRole.CONFIRM: said.sentence})
    client.set_tag(run_id, "mlflow.note.content", description(study, found))
    if len(board):
        _log_best(client, run_id, board, study.objective.metric)
    if sessions and (ending := sessions[-1].ending) is not None:
        client.set_tag(run_id, "lanewise.state", ending.value)
        client.set_terminated(run_id, MLFLOW_PARENT_STATUS[ending])


def _log_best(client: MlflowClient, run_id: str, board: pd.DataFrame, metric: str) -> None:
    """Log the best value and the baseline's, each where the run does not have it yet."""
    now = int(time.time() * 1000)
    known = client.get_run(run_id).data.metrics
    values = {f"best_{metric}": board.iloc[0]["value"]}
    baseline = board[board["number"] == 0]
    if len(baseline):
        values[f"baseline_{metric}"] = baseline.iloc[0]["value"]
    client.log_batch(
        run_id,
        metrics=[Metric(key, float(v), now, 0) for key, v in values.items() if known.get(key) != v],
        tags=[RunTag("lanewise.best_trial", str(int(board.iloc[0]["number"])))],
    )


def _log_comparison(client: MlflowClient, run_id: str, found: Comparison | None) -> None:
    """Log the choices of the balanced parameter side by side, where the study compared them."""
    if found is None:
        return
    client.log_text(run_id, comparison_csv(found), "comparison.csv")
    client.log_figure(run_id, comparison_figure(found), "comparison.png")
    client.set_tag(run_id, "lanewise.comparison", found.verdict)


def _log_confirmation(client: MlflowClient, run_id: str, found: Confirmation | None) -> None:
    """Log the verdict and the table of the confirmation, where there was one."""
    if found is None:
        return
    client.log_text(run_id, confirmation_csv(found), "confirmation.csv")
    client.set_tag(run_id, "lanewise.verdict", found.verdict)
    client.set_tag(run_id, "lanewise.confirmation", found.sentence)
    client.set_tag(run_id, "lanewise.recommended_trial", str(found.recommended))


def _log_curve(client: MlflowClient, run_id: str, found: Curve | None) -> None:
    """Log the values of the study's whole-number parameter side by side, where it names one."""
    if found is None:
        return
    stem = artifact_stem(found)
    client.log_text(run_id, curve_csv(found), f"{stem}.csv")
    client.log_figure(run_id, curve_figure(found), f"{stem}.png")
    client.set_tag(run_id, "lanewise.curve", found.verdict)
