"""An empty SQLite database of MLflow's, made at once from the schema that MLflow itself comes to in some seventy steps.

The steps take more than a second of every new home, during which a search that is short waits for them at its end.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SCHEMA = Path(__file__).with_name("mlflow_schema.sql")
"""What ``schema_of`` says of a database of the MLflow that its first line names."""


def make_database(file: Path, *, version: str) -> bool:
    """Make MLflow's tables in a database that is not there; return whether that was done.

    Where it was not, as the schema is of another MLflow or the file cannot be written, there is no table: MLflow makes
    its own when it opens the file, or says why not.

    Args:
        file: the database.
        version: of the MLflow that is to open it.
    """
    script = SCHEMA.read_text()
    if not script.startswith(_heading(version)) or (file.exists() and file.stat().st_size):
        return False
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.executescript(script)  # one transaction: killed in the middle it leaves an empty file
    except sqlite3.Error:
        return False
    return True


def schema_of(file: Path, *, version: str) -> str:
    """Return what makes a database like one that MLflow has just made, as SQL in one transaction.

    Args:
        file: the database; of its experiments nothing is taken, as they name folders.
        version: of the MLflow that made it.
    """
    with closing(sqlite3.connect(file)) as database:
        lines = [line for line in database.iterdump() if not line.startswith('INSERT INTO "experiments"')]
    return "\n".join([_heading(version), *lines, ""])


def _heading(version: str) -> str:
    return f"-- what MLflow {version} makes of an empty database"
