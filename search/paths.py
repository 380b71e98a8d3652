"""Where everything of a study lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LEDGER_FILE = "ledger.db"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Paths:
    """Where everything of one study lies.

    Attributes:
        home: holds all studies and, by default, MLflow's database.
        name: of the study.
    """

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.home.absolute() / self.name

    @property
    def ledger(self) -> Path:
        """The database of its facts."""
        return self.folder / LEDGER_FILE

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
        """What the tracker had to say."""
        return self.folder / "tracking.log"

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow runs go unless the user names another place."""
        return f"sqlite:///{self.home.absolute() / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """The artifacts of that default."""
        return self.home.absolute() / "mlflow-artifacts"
