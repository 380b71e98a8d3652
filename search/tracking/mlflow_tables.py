"""MLflow's own tables of runs, where a client's store is a database that holds them as they are known here.

They are no part of MLflow's public interface. So they are used of the versions alone that
``tests/search/test_bulk_runs.py`` compared with what the client writes; any other gets its runs through the client.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import mlflow
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.tracking.mlflow_client import MlflowClient

KNOWN_SERIES = ("3.17",)
"""The versions of MLflow, but for their last number, whose runs were compared."""

INSERT: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Of the databases whose ``INSERT`` can leave or renew what is there already, how it is made."""

COLUMNS = {
    "runs": (
        "run_uuid name source_type source_name entry_point_name user_id status start_time end_time deleted_time "
        "source_version lifecycle_stage artifact_uri experiment_id"
    ),
    "tags": "key value run_uuid",
    "params": "key value run_uuid",
    "metrics": "key value timestamp step is_nan run_uuid",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
}
"""All columns of the tables that are written."""


@dataclass(frozen=True)
class RunTables:
    """MLflow's tables of runs, and what of MLflow's own is needed to write to them as it does.

    Attributes:
        experiments, runs, tags, params, metrics, latest_metrics: the tables; ``latest_metrics`` holds of each metric of
            a run the point that the pages show and sort by.
        insert: makes an ``INSERT`` of this database.
        session: opens a transaction, which is committed at its end.
        validated: checks metrics, params and tags, and cuts what is too long.
        storable: returns of a metric's value whether it is NaN, and the number that stands for it in the database.
        below: joins a URI and the names below it.
    """

    experiments: sa.Table
    runs: sa.Table
    tags: sa.Table
    params: sa.Table
    metrics: sa.Table
    latest_metrics: sa.Table
    insert: Callable[[sa.Table], Any]
    session: Callable[..., AbstractContextManager[Any]]
    validated: Callable[..., tuple[Any, Any, Any]]
    storable: Callable[[float], tuple[bool, float]]
    below: Callable[..., str]


def run_tables(client: MlflowClient) -> RunTables | None:
    """Return the tables of a client's store; None where that is a server, another database or an MLflow not known."""
    if mlflow.__version__.rpartition(".")[0] not in KNOWN_SERIES:
        return None
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.uri import append_to_uri_path
    from mlflow.utils.validation import _validate_batch_log_data

    store = client._tracking_client.store
    if type(store) is not SqlAlchemyStore or store.engine.dialect.name not in INSERT:
        return None
    tables = Base.metadata.tables
    if any({c.name for c in tables[name].columns} != set(columns.split()) for name, columns in COLUMNS.items()):
        return None
    return RunTables(
        experiments=tables["experiments"],
        **{name: tables[name] for name in COLUMNS},
        insert=INSERT[store.engine.dialect.name],
        session=store.ManagedSessionMaker,
        validated=_validate_batch_log_data,
        storable=store.sanitize_metric_value,
        below=append_to_uri_path,
    )
