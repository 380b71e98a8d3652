"""Which way the runs of a store are written: many at once where that is known to hold the same, else by the client."""

from __future__ import annotations

import logging

from search.tracking.client_writer import ClientWriter
from search.tracking.database_writer import DatabaseWriter
from search.tracking.mlflow_client import VERSION, MlflowClient
from search.tracking.mlflow_tables import run_tables

log = logging.getLogger("lanewise.tracking")


def run_writer(client: MlflowClient) -> ClientWriter:
    """Return what writes runs to the store of ``client`` the fastest.

    A log says where that is the client though the store is a database: some 20 ms a run instead of 1, which is no harm,
    but not to be wondered about.
    """
    tables = run_tables(client)
    if tables is not None:
        return DatabaseWriter(client, tables)
    if hasattr(client._tracking_client.store, "engine"):
        log.warning("runs are written one by one: the tables of MLflow %s in this database are not known", VERSION)
    return ClientWriter(client)
