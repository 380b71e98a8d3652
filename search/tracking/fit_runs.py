"""The runs of a confirmation in MLflow: one each, below the study's own, sent once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.ledger import FitRow
from search.ledger.outcome import MLFLOW_STATUS
from search.tracking.mlflow_client import Metric, MlflowClient, Param

ROLE = "lanewise.role"
"""The tag that says what a run is for; a trial of the search has none."""
FIT = "lanewise.fit"
"""The tag that names a run of a confirmation within its study."""


@dataclass
class FitRuns:
    """What the server holds of a study's confirmation, and how more is sent.

    Attributes:
        open: runs that were created and not closed, by name: they are filled again.
        sent: the names of those that arrived whole.
    """

    open: dict[str, str] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)

    def found(self, run: Any) -> None:
        """Take a run that the server has."""
        name = run.data.tags[FIT]
        if run.info.status == "RUNNING":
            self.open[name] = run.info.run_id
        else:
            self.sent.add(name)

    def send(
        self, client: MlflowClient, fit: FitRow, *, experiment: str, parent: str, tags: Mapping[str, str], settings: Any
    ) -> bool:
        """Send a run of a confirmation; return whether it was not there yet.

        Args:
            client: speaks to the server.
            fit: the run.
            experiment: the experiment's id.
            parent: the study's own run.
            tags: those of the study.
            settings: what every configuration of the study shares.
        """
        name = f"{fit.role.value}-{fit.config_hash}-{fit.split}"
        if name in self.sent:
            return False
        run_id = self.open.get(name) or _create(client, fit, name, experiment, parent, tags)
        self.open[name] = run_id
        at = int((fit.ended_at or 0.0) * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, at, fit.epochs) for key, value in fit.metrics.items()],
            params=[Param(k, str(v)) for k, v in {**settings, **fit.params}.items()],
        )
        client.set_terminated(run_id, MLFLOW_STATUS[fit.state], end_time=at)
        self.sent.add(name)
        return True


def _create(client: MlflowClient, fit: FitRow, name: str, experiment: str, parent: str, tags: Mapping[str, str]) -> str:
    of = f"trial {fit.trial}" if fit.trial is not None else fit.config_hash
    own = {
        "mlflow.parentRunId": parent,
        ROLE: fit.role.value,
        FIT: name,
        "lanewise.trial": "" if fit.trial is None else str(fit.trial),
        "lanewise.state": fit.state.value,
        "lanewise.stop_reason": "" if fit.reason is None else fit.reason.value,
        "lanewise.config_hash": fit.config_hash,
        "lanewise.seed": str(fit.seed),
        "lanewise.pair": str(fit.split),
        **({"lanewise.message": fit.message} if fit.message else {}),
    }
    run = client.create_run(
        experiment,
        start_time=int((fit.started_at or 0.0) * 1000),
        run_name=f"{fit.role.value} {of}, pair {fit.split}",
        tags={**tags, **own},
    )
    return str(run.info.run_id)
