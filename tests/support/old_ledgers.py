"""The studies that an older Lanewise recorded, whose ledgers have schema version 1; see their README."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from search.ledger.paths import Paths

FOLDER = Path(__file__).parents[1] / "fixtures" / "ledgers_v1"
STUDIES = tuple(sorted(folder.name for folder in (FOLDER / "home").iterdir()))


def copy_of(name: str, home: Path) -> Paths:
    """Return a copy of one of the studies, in ``home``, that can be resumed there."""
    paths = Paths(home, name)
    shutil.copytree(FOLDER / "home" / name, paths.folder)
    if name == "alone":  # its trainable writes into a folder that is one of its settings
        diary = home / "diary"
        shutil.copytree(FOLDER / "diary", diary)
        with closing(sqlite3.connect(paths.ledger_file)) as connection, connection:
            connection.execute("update studies set declaration = replace(declaration, '{diary}', ?)", (str(diary),))
    return paths


def expected(name: str, file: str) -> str:
    """Return what the older Lanewise printed of a study."""
    return (FOLDER / "expected" / name / file).read_text()


def resumed_by_the_older(name: str) -> dict[str, list[tuple]]:
    """Return the tables that a resume of a study by the older Lanewise led to, by name."""
    tables = json.loads(expected(name, "resumed.json"))
    return {table: [tuple(row) for row in rows] for table, rows in tables.items()}


def dump(file: Path) -> list[str]:
    """Return all that an SQLite file holds, as statements."""
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())
