"""Runs that are written to MLflow's database itself, many in one transaction.

Through the client a run takes seven transactions, each of which waits for the disk, and has the database read back what
was just written: 22 ms. Here a hundred runs take one (docs/decisions/0040).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from search.tracking.client_writer import ClientWriter, NewRun, RunUpdate
from search.tracking.mlflow_client import MlflowClient, MlflowException
from search.tracking.mlflow_tables import RunTables

METRICS_PER_TRANSACTION = 10_000
"""How many points are written at once: about 0.1 s, in which nobody else can write to a database in a file."""

ACTIVE = "active"
"""MLflow's word for an experiment or a run that is not in its bin."""

POINT = ("step", "timestamp", "value")
"""The columns by which MLflow tells which of two points of a metric is the later one."""

_Row = dict[str, Any]


class DatabaseWriter(ClientWriter):
    """Writes runs to the tables of MLflow's database, which then hold what the client would have written.

    What the client would refuse is left to the client, whose words a user then reads; and so are parameters for a run
    that is there already, which it compares with those of the run.

    Args:
        client: of the store.
        tables: the store's.
    """

    runs_at_once = 100

    def __init__(self, client: MlflowClient, tables: RunTables) -> None:
        super().__init__(client)
        self._tables = tables

    def write(self, updates: Sequence[RunUpdate]) -> None:
        """Write what the runs gain in as few transactions as are short ones, and note the ids of those that were made.

        Raises:
            One of ``UNREACHABLE``: the database refused or cannot be reached. Of a run's update all arrived or nothing,
            but for what follows its files.
        """
        super().write([update for update in updates if update.run_id is not None and update.params])
        for some in _portions(update for update in updates if update.run_id is None or not update.params):
            with_files = [update for update in some if update.texts or update.files]
            if not self._write_at_once(some):
                super().write(some)
                continue
            for update in with_files:
                self._log_files(update)
            closing = [RunUpdate(u.run_id, status=u.status, ended_ms=u.ended_ms) for u in with_files]
            if closing and not self._write_at_once(closing):
                super().write(closing)

    def _write_at_once(self, updates: Sequence[RunUpdate]) -> bool:
        """Write to all runs or none, in one transaction; return False where the client would refuse something.

        Runs that are given files are not closed.
        """
        tables = self._tables
        try:
            checked = [tables.validated(update.metrics, update.params, update.tags) for update in updates]
        except MlflowException:
            return False
        ids = [update.run_id or uuid.uuid4().hex for update in updates]
        there = {update.run_id for update in updates if update.run_id is not None}
        new = {run_id: u.new for run_id, u in zip(ids, updates, strict=True) if u.new is not None and u.run_id is None}
        points, params, tags = [], [], _first_tags(new)
        for run_id, (of_metrics, of_params, of_tags) in zip(ids, checked, strict=True):
            points += [self._point(run_id, metric) for metric in of_metrics]
            params += [_pair(run_id, param.key, param.value) for param in of_params]
            tags += [_pair(run_id, tag.key, tag.value) for tag in of_tags]
        statuses = [
            {"of": run_id, "now": update.status, "ended": _known_ms(update.ended_ms)}
            for run_id, update in zip(ids, updates, strict=True)
            if update.status is not None and not (update.texts or update.files)
        ]
        with tables.session(read_only=False) as session:
            places = self._places(session, {run.experiment_id for run in new.values()})
            if places is None or not self._are_active(session, there):
                return False
            latest = self._latest(session, points, there)
            self._insert(session, tables.runs, [self._run(i, run, places) for i, run in new.items()])
            self._insert(session, tables.params, params)
            self._insert(session, tables.tags, tags, renew=("value",))
            self._insert(session, tables.metrics, points)
            self._insert(session, tables.latest_metrics, latest, renew=(*POINT, "is_nan"))
            self._set_statuses(session, statuses)
        for run_id, update in zip(ids, updates, strict=True):
            update.run_id = run_id
        return True

    def _places(self, session: Any, experiments: set[str]) -> dict[str, str] | None:
        """Return where the artifacts of the experiments lie, by id; None where one of them is not there, or deleted."""
        table = self._tables.experiments
        query = sa.select(table.c.experiment_id, table.c.artifact_location)
        query = query.where(table.c.experiment_id.in_(map(int, experiments)), table.c.lifecycle_stage == ACTIVE)
        places = {str(experiment): place for experiment, place in session.execute(query)}
        return places if places.keys() == experiments else None

    def _are_active(self, session: Any, run_ids: set[str]) -> bool:
        table = self._tables.runs
        query = sa.select(table.c.run_uuid).where(table.c.run_uuid.in_(run_ids), table.c.lifecycle_stage == ACTIVE)
        return set(session.execute(query).scalars()) == run_ids

    def _point(self, run_id: str, metric: Any) -> _Row:
        is_nan, value = self._tables.storable(float(metric.value))
        point = {"key": metric.key, "value": float(value), "timestamp": metric.timestamp, "step": metric.step}
        return {"run_uuid": run_id, "is_nan": is_nan, **point}

    def _latest(self, session: Any, points: Iterable[_Row], there: set[str]) -> list[_Row]:
        """Return of each metric of each run the latest point, where that is one of these and not there already."""
        table = self._tables.latest_metrics
        known = session.execute(sa.select(table).where(table.c.run_uuid.in_(there))).mappings()
        latest = {(row["run_uuid"], row["key"]): row for row in known}
        changed: dict[tuple[str, str], _Row] = {}
        for point in points:
            at = point["run_uuid"], point["key"]
            before = changed.get(at) or latest.get(at)
            if before is None or [point[name] for name in POINT] > [before[name] for name in POINT]:
                changed[at] = point
        return list(changed.values())

    def _run(self, run_id: str, new: NewRun, places: Mapping[str, str]) -> _Row:
        """Return a new run as MLflow's own store writes it."""
        return {
            "run_uuid": run_id,
            "name": new.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "unknown",
            "status": "RUNNING",
            "start_time": _known_ms(new.started_ms),
            "end_time": None,
            "deleted_time": None,
            "source_version": "",
            "lifecycle_stage": ACTIVE,
            "artifact_uri": self._tables.below(places[new.experiment_id], run_id, "artifacts"),
            "experiment_id": int(new.experiment_id),
        }

    def _insert(self, session: Any, table: sa.Table, rows: Sequence[_Row], *, renew: Sequence[str] = ()) -> None:
        """Insert rows; of those that are there already, renew these columns, or leave them as they are."""
        if not rows:
            return
        insert = self._tables.insert(table)
        if renew:
            changes = {name: insert.excluded[name] for name in renew}
            insert = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)
        else:
            insert = insert.on_conflict_do_nothing()
        session.connection().execute(insert, rows)

    def _set_statuses(self, session: Any, rows: Sequence[_Row]) -> None:
        """Write how runs stand; one that goes on keeps the end that it had, as MLflow's own store has it."""
        table = self._tables.runs
        ended = sa.func.coalesce(sa.bindparam("ended", type_=sa.BigInteger), table.c.end_time)
        change = sa.update(table).where(table.c.run_uuid == sa.bindparam("of"))
        if rows:
            session.connection().execute(change.values(status=sa.bindparam("now"), end_time=ended), rows)


def _known_ms(at_ms: int | None) -> int | None:
    """Return a time as MLflow takes it, which reads 0 as now; None stays."""
    return int(time.time() * 1000) if at_ms == 0 else at_ms


def _pair(run_id: str, key: str, value: str) -> _Row:
    """Return a parameter or a tag as a row."""
    return {"run_uuid": run_id, "key": key, "value": value}


def _first_tags(new: Mapping[str, NewRun]) -> list[_Row]:
    """Return the tags that runs are made with, by the ids of these; their name is one of them."""
    own = {run_id: {**run.tags, "mlflow.runName": run.name} for run_id, run in new.items()}
    return [_pair(run_id, key, value) for run_id, tags in own.items() for key, value in tags.items()]


def _portions(updates: Iterable[RunUpdate]) -> Iterator[list[RunUpdate]]:
    """Yield the updates in parts that a short transaction takes."""
    portion: list[RunUpdate] = []
    points = 0
    for update in updates:
        if portion and points + len(update.metrics) > METRICS_PER_TRANSACTION:
            yield portion
            portion, points = [], 0
        portion.append(update)
        points += len(update.metrics)
    if portion:
        yield portion
