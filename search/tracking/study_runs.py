"""The runs of one study in MLflow, found by its tag: named as the study is, or put into MLflow's bin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from search.tracking.mlflow_client import MlflowClient, ViewType
from search.tracking.process import UID

STUDY = "lanewise.study"
"""The tag that holds the study's name."""
PARENT = "mlflow.parentRunId"
"""MLflow's tag of a run that belongs below another; the study's own has none."""

LOGGED = "models:/"
"""What the source of a registered model begins with that is a model logged to a run, not a file among its artifacts."""


def logged_model_of(version: Any) -> str | None:
    """Return the id of the logged model that a version of a registered one stands for; None where it is a file."""
    source = str(version.source)
    return source.removeprefix(LOGGED) if source.startswith(LOGGED) else None


def study_runs(client: MlflowClient, experiment_id: str, uid: str, *, view: str = ViewType.ALL) -> Iterator[Any]:
    """Yield the runs of a study.

    Args:
        client: speaks to the store.
        experiment_id: of the study's kind.
        uid: the study's, which stays when it is renamed.
        view: whether those in MLflow's bin are among them.
    """
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            filter_string=f"tags.`{UID}` = '{uid}'",
            run_view_type=view,
            max_results=1000,
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def name_run(client: MlflowClient, run: Any, study: str) -> None:
    """Have a run say the name of its study, where that was renamed since the run was made."""
    if run.data.tags.get(STUDY) == study:
        return
    if PARENT not in run.data.tags:
        client.update_run(run.info.run_id, name=study)
    client.set_tag(run.info.run_id, STUDY, study)  # last: a run that has it is done
