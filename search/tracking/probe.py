"""Whether a store of MLflow is of use: something real is written to it and read back."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from search.credentials import masked
from search.tracking.experiment import open_experiment
from search.tracking.store import Say, open_store

STORES = "URI of a server or a database, such as http://HOST:5000 or sqlite:////FOLDER/mlflow.db"
WORDS = ("databricks", "databricks-uc")
"""URIs of MLflow's that have no scheme."""
LONGEST = 240
"""Characters of an error that are told: MLflow's quote whole pages of a server."""
TRIED_AT = "lanewise.tried_at"
"""The tag of an experiment with which a store is tried before a search."""


def try_store(uri: str, kind: str, *, artifacts: Path | None, say: Say) -> str | None:
    """Write to the experiment of a study's kind and read it back; return in one line why that failed, or None.

    Args:
        uri: MLflow tracking URI.
        kind: the study's.
        artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
        say: is told what was mended.
    """
    try:
        if (why := _database_fault(uri)) is not None:
            return why
        client, _ = open_store(uri, artifacts=artifacts, say=say)
        experiment_id = open_experiment(client, kind, artifacts=artifacts, say=say)
        client.set_experiment_tag(experiment_id, TRIED_AT, str(time.time_ns()))
        if TRIED_AT not in client.get_experiment(experiment_id).tags:
            return "what is written to it cannot be read back"
    except Exception as error:  # MLflow lets through what its stores and plugins raise
        if urlsplit(uri).scheme in ("", "file") and uri not in WORDS:
            return f"it is no {STORES}"
        return first_line(error)
    return None


def _database_fault(uri: str) -> str | None:
    """Return why the database of a URI is of no use: MLflow itself would try for minutes to reach one."""
    try:
        url = sa.make_url(uri)
    except (ArgumentError, ValueError):
        return None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        return "a database in memory is gone with its process"
    if url.get_backend_name() in ("http", "https", "file"):
        return None
    try:
        engine = sa.create_engine(url)
    except ModuleNotFoundError as error:
        return f"it needs the package {error.name}"
    except sa.exc.NoSuchModuleError:
        return None  # no database
    try:
        with engine.connect():
            return None
    finally:
        engine.dispose()


def first_line(error: BaseException) -> str:
    """Return what an error says in one line."""
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return textwrap.shorten(masked(text.splitlines()[0]), LONGEST, placeholder=" ...")
