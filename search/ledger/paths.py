"""Where everything of a study lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

LEDGER_FILE = "ledger.db"
CHECKPOINTS = "checkpoints"
MLFLOW_FILE = "mlflow.db"
MLFLOW_ARTIFACTS = "mlflow-artifacts"


@dataclass(frozen=True)
class Paths:
    """Where everything of one study lies.

    Attributes:
        home: holds all studies and, by default, MLflow's database.
        name: the study's name.
        database: SQLAlchemy URL of a ledger kept elsewhere (PostgreSQL); None for an SQLite file.
    """

    home: Path
    name: str
    database: str | None = None

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.home.absolute() / self.name

    @property
    def scratch(self) -> Path:
        """What trials compute from the data and share; gone when the search is done."""
        return self.folder / "scratch"

    @property
    def ledger_file(self) -> Path:
        """The SQLite file of its facts, where the ledger is one."""
        return self.folder / LEDGER_FILE

    @property
    def ledger_url(self) -> str:
        """The database of its facts."""
        return self.database or sqlite_url(self.ledger_file)

    @property
    def ledger(self) -> str:
        """Where the ledger is, as a person reads it: the file, or the URL without its password."""
        return str(self.ledger_file) if self.database is None else masked(self.database)

    @property
    def lock(self) -> Path:
        """Held by the process that drives the study."""
        return self.folder / "driver.lock"

    @property
    def checkpoints(self) -> Path:
        """The states of trials that a resume continues from."""
        return self.folder / CHECKPOINTS

    @property
    def tracking_log(self) -> Path:
        """The log of the process that feeds MLflow."""
        return self.folder / "tracking.log"

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow runs go unless the user names another place."""
        return sqlite_url(self.home.absolute() / MLFLOW_FILE)

    @property
    def mlflow_artifacts(self) -> Path:
        """The artifacts of that default."""
        return self.home.absolute() / MLFLOW_ARTIFACTS


def sqlite_url(file: Path) -> str:
    """Return the URL, for SQLAlchemy and MLflow, of a database in a file of any name.

    What would be read as an escape or as the URL's end is escaped, and nothing else, so that it stays readable.
    """
    return f"sqlite:///{str(file.absolute()).replace('%', '%25').replace('?', '%3F')}"


def reserved(name: str) -> bool:
    """Say whether a name in a home is of what lies there beside the studies, or of what may come to lie there."""
    lower = name.lower()  # some file systems do not tell the two apart
    return lower == MLFLOW_ARTIFACTS or lower == MLFLOW_FILE or lower.startswith((f"{MLFLOW_FILE}-", f"{MLFLOW_FILE}."))


def masked(url: str) -> str:
    """Return a database URL with ``***`` for its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:  # no URL: said when it is opened
        return url
