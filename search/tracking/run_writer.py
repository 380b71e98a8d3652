"""Which way the runs of a store are written: many at once where that is known to hold the same, else by the client."""

from __future__ import annotations

from search.tracking.client_writer import ClientWriter
from search.tracking.database_writer import DatabaseWriter
from search.tracking.mlflow_client import MlflowClient
from search.tracking.mlflow_tables import run_tables


def run_writer(client: MlflowClient) -> ClientWriter:
    """Return what writes runs to the store of ``client`` the fastest."""
    tables = run_tables(client)
    return ClientWriter(client) if tables is None else DatabaseWriter(client, tables)
