"""Where everything of a study lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.credentials import UnreadableAddress, masked_address, put_back, take_out
from search.errors import UsageError

LEDGER_FILE = "ledger.db"
CHECKPOINTS = "checkpoints"
DATA = "data"
MLFLOW_FILE = "mlflow.db"
MLFLOW_ARTIFACTS = "mlflow-artifacts"


@dataclass(frozen=True)
class Paths:
    """Where everything of one study lies.

    Attributes:
        home: holds all studies and, by default, MLflow's database.
        name: the study's name.
        database: SQLAlchemy URL of a ledger kept elsewhere (PostgreSQL), without the password that it was given with;
            None for an SQLite file.

    Raises:
        UsageError: it cannot be told where the password of ``database`` ends.
    """

    home: Path
    name: str
    database: str | None = None

    def __post_init__(self) -> None:
        if self.database is not None:
            try:
                object.__setattr__(self, "database", take_out(self.database))
            except UnreadableAddress as error:
                raise UsageError(f"--ledger {masked_address(self.database)!r} {error}") from None

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
        """The database of its facts, with the password where one was given: to open it, and for nothing else."""
        return sqlite_url(self.ledger_file) if self.database is None else put_back(self.database)

    @property
    def ledger(self) -> str:
        """Where the ledger is, as a person reads it: the file, or the URL without its password."""
        return str(self.ledger_file) if self.database is None else masked_address(put_back(self.database))

    @property
    def lock(self) -> Path:
        """Held by the process that drives the study."""
        return self.folder / "driver.lock"

    @property
    def starting_lock(self) -> Path:
        """Held by the process that is about to drive the study, before that has a folder."""
        return self.home.absolute() / f".{self.name}.lock"

    @property
    def checkpoints(self) -> Path:
        """The states of trials that a resume continues from."""
        return self.folder / CHECKPOINTS

    @property
    def data(self) -> Path:
        """The examples, where a program held them."""
        return self.folder / DATA

    @property
    def audit(self) -> Path:
        """What pruned trials that train on need until they are done: states, Ray's files."""
        return self.folder / "audit"

    @property
    def handed_on(self) -> Path:
        """The report and the model that MLflow is given at the end; gone once it has them."""
        return self.folder / "handed-on"

    @property
    def predictions(self) -> Path:
        """What confirmed models predicted of each example."""
        return self.folder / "predictions"

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


def study_folders(home: Path) -> Iterator[Path]:
    """Yield the folders of a home that hold a ledger, by name; what begins with a dot is no study's."""
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        if not folder.name.startswith(".") and (folder / LEDGER_FILE).is_file():
            yield folder


def found_in(folder: Path, part: str, path: str) -> Path | None:
    """Return where a file of a study lies now, whose folder may have been moved or copied since the path was noted.

    Args:
        folder: the study's, now.
        part: what the file lay in, below the study's folder: ``DATA``, ``CHECKPOINTS``.
        path: where it lay.

    Returns:
        The file; None where it is not there, or never lay in such a part.
    """
    parts = Path(path).parts
    if part not in parts:
        return None
    last = len(parts) - 1 - parts[::-1].index(part)
    file = folder.joinpath(*parts[last:])
    return file if file.is_file() else None
