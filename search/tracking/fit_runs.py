"""The runs of a confirmation and of an ablation in MLflow: one each, in a group of their own below the study's run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.ledger import FitRole, FitRow
from search.ledger.outcome import MLFLOW_STATUS
from search.report.ablation import variants
from search.tracking.client_writer import ClientWriter, NewRun, RunUpdate
from search.tracking.mlflow_client import Metric, MlflowClient, Param
from spaces import BASELINE_TRIAL, Space, hash_params

ROLE = "lanewise.role"
"""The tag that says what a run is for; a trial of the search has none."""
FIT = "lanewise.fit"
"""The tag that names a run of a confirmation within its study."""
GROUP = "lanewise.group"
"""The tag of a run that stands for several: its value is their role."""

GROUPS = {
    FitRole.CONFIRM: ("confirmation", "The finalists and the baseline, trained on the same fresh pairs."),
    FitRole.ABLATION: (
        "ablation",
        "The confirmed configuration with one parameter set back to the baseline's value, and the baseline with one of "
        "the configuration's, on the same pairs.",
    ),
}
"""Of a group, its name and what it says of itself."""


@dataclass
class FitRuns:
    """What the server holds of a study's confirmation, and how more is sent.

    Attributes:
        client: speaks to the server.
        writer: writes to many runs of it.
        groups: the runs that stand for those of a role, by that.
        open: runs that were created and not closed, by name: they are filled again.
        sent: the names of those that arrived whole.
    """

    client: MlflowClient
    writer: ClientWriter
    groups: dict[str, str] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)

    def found(self, run: Any) -> None:
        """Take a run that the server has."""
        if (role := run.data.tags.get(GROUP)) is not None:
            self.groups[role] = run.info.run_id
            return
        name = run.data.tags[FIT]
        if run.info.status == "RUNNING":
            self.open[name] = run.info.run_id
        else:
            self.sent.add(name)

    def send(
        self,
        fits: Iterable[FitRow],
        *,
        experiment: str,
        parent: str,
        tags: Mapping[str, str],
        settings: Mapping[str, Any],
        names: Callable[[], Mapping[str, str]],
    ) -> int:
        """Send runs of a confirmation; return how many were not there yet.

        Args:
            fits: the runs.
            experiment: the experiment's id.
            parent: the study's own run.
            tags: those of the study.
            settings: what every configuration of the study shares.
            names: returns what to call a configuration that no trial had, by its hash.
        """
        new = [fit for fit in fits if _name(fit) not in self.sent]
        called = names() if new else {}
        at_once = self.writer.runs_at_once
        for i in range(0, len(new), at_once):
            some = new[i : i + at_once]
            updates = []
            for fit in some:
                at = int((fit.ended_at or 0.0) * 1000)
                group = self._group(fit, experiment, parent, tags)
                update = RunUpdate(
                    self.open.get(_name(fit)),
                    _new_run(fit, experiment, group, tags, called.get(fit.config_hash)),
                    metrics=[Metric(key, value, at, fit.epochs) for key, value in fit.metrics.items()],
                    params=[Param(k, str(v)) for k, v in {**settings, **fit.params}.items()],
                    status=MLFLOW_STATUS[fit.state],
                    ended_ms=at,
                )
                updates.append(update)
            self.writer.write(updates)
            self.sent.update(_name(fit) for fit in some)
        return len(new)

    def close(self, notes: Mapping[FitRole, str]) -> None:
        """Close the groups, and have them say what their runs came to.

        Args:
            notes: what came of a role's runs, in words.
        """
        for role, run_id in self.groups.items():
            _, about = GROUPS[FitRole(role)]
            said = notes.get(FitRole(role))
            self.client.set_tag(run_id, "mlflow.note.content", about if said is None else f"{about}\n\n{said}")
            self.client.set_terminated(run_id)

    def _group(self, fit: FitRow, experiment: str, parent: str, tags: Mapping[str, str]) -> str:
        role = fit.role.value
        if role not in self.groups:
            name, about = GROUPS[fit.role]
            own = {"mlflow.parentRunId": parent, "mlflow.note.content": about, GROUP: role}
            at = int((fit.started_at or 0.0) * 1000)
            run = self.client.create_run(experiment, start_time=at, run_name=name, tags={**tags, **own})
            self.groups[role] = str(run.info.run_id)
        return self.groups[role]


def variant_names(space: Space, finalists: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the configurations of an ablation are called, by their hash.

    Args:
        space: of the study.
        finalists: the configurations whose parameters may have been set back.
    """
    names: dict[str, str] = {}
    for params in finalists:
        for variant in variants(space, params):
            names.setdefault(hash_params(dict(variant.set_back)), f"{variant.parameter} set back")
            names.setdefault(hash_params(dict(variant.alone)), f"{variant.parameter} alone")
    return names


def _name(fit: FitRow) -> str:
    return f"{fit.role.value}-{fit.config_hash}-{fit.split}"


def _called(fit: FitRow, name: str | None) -> str:
    """Return what a person calls the configuration of a run."""
    if fit.trial is None:
        return name or fit.config_hash
    return "baseline" if fit.trial == BASELINE_TRIAL else f"trial {fit.trial}"


def _new_run(fit: FitRow, experiment: str, group: str, tags: Mapping[str, str], name: str | None) -> NewRun:
    called = _called(fit, name)
    own = {
        "mlflow.parentRunId": group,
        ROLE: fit.role.value,
        FIT: _name(fit),
        "lanewise.configuration": called,
        "lanewise.trial": "" if fit.trial is None else str(fit.trial),
        "lanewise.state": fit.state.value,
        "lanewise.stop_reason": "" if fit.reason is None else fit.reason.value,
        "lanewise.config_hash": fit.config_hash,
        "lanewise.seed": str(fit.seed),
        "lanewise.pair": str(fit.split),
        **({"lanewise.message": fit.message} if fit.message else {}),
    }
    return NewRun(experiment, f"{called}, pair {fit.split}", int((fit.started_at or 0.0) * 1000), {**tags, **own})
