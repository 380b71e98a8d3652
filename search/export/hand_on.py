"""What a person takes from a study's run in MLflow: the report as a page, and the recommended model."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.drive.lookup import read_result
from search.drive.report import read_material
from search.drive.report_file import content
from search.errors import UserError
from search.export.export import export_model, model_folder
from search.export.folder import read_export
from search.ledger.paths import Paths
from search.tracking.mlflow_client import MlflowClient, RunTag
from search.tracking.registered_model import log_folder
from trainables.checkpoint_store import CheckpointStore
from trainables.errors import first_line
from trainables.registry import is_train_function

log = logging.getLogger("lanewise.tracking")

PAGE = "report.html"
MODEL = "lanewise.model"
"""The tag that says which model a study's run has, or why it has none."""
MODEL_ID = "lanewise.model_id"
"""The tag that holds the id of that model."""
MOST_TRIALS = 2000
"""A page of more trials takes longer than a search should wait for; ``search report`` writes it."""
MOST_MB = 1000.0
"""A larger model is not copied unasked; ``search export --register`` does that."""


@dataclass(frozen=True)
class HandOn:
    """Logs the report and the recommended model of a study to its run; whatever goes wrong there is said and no more.

    Attributes:
        paths: of the study.
        say: is told what could not be logged, and why.
    """

    paths: Paths
    say: Callable[[str], None]

    def __call__(self, client: MlflowClient, run_id: str, uri: str) -> None:
        """Log both; what is there already is replaced where it is another now.

        Args:
            client: speaks to the store.
            run_id: the study's run.
            uri: of the store.
        """
        for what, hand in (("the report", self._page), ("the model", self._model)):
            try:
                hand(client, run_id, uri)
            except UserError as error:
                self._say_why(what, error.errors[0])
            except Exception as error:  # of a user's own model, of MLflow, of a disk: the runs are there all the same
                log.exception("%s of %s", what, self.paths.name)
                self._say_why(what, f"{type(error).__name__}: {first_line(error)}")

    def _say_why(self, what: str, why: str) -> None:
        self.say(f"{what} of {self.paths.name} is not in its MLflow run: {why}")

    def _page(self, client: MlflowClient, run_id: str, uri: str) -> None:
        material = read_material(self.paths)
        if len(material.trials) <= MOST_TRIALS:
            client.log_text(run_id, content(material, "html").decode(), PAGE)

    def _model(self, client: MlflowClient, run_id: str, uri: str) -> None:
        study, result = read_result(self.paths)
        if not study.keep_checkpoints or result.answer.best is None:
            return
        if is_train_function(study.trainable):
            found = result.answer.confirmation
            self._state(client, run_id, result.answer.best.trial if found is None else found.recommended)
            return
        tags = client.get_run(run_id).data.tags
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / _model_name(self.paths.name)
            config = export_model(self.paths, folder).config
            weights = config["files"][config["weights"]]
            known = f"trial {config['trial']}, {config['why']}; sha256 {weights[:16]}"
            if tags.get(MODEL) == known:
                return
            if (size := (folder / config["weights"]).stat().st_size / 1e6) > MOST_MB:
                raise UserError(f"it takes {size:,.0f} MB; python -m search export --register NAME logs it")
            model_id = log_folder(client, uri, run_id, model_folder(folder, read_export(folder)))
        if MODEL_ID in tags:
            client.delete_logged_model(tags[MODEL_ID])
        client.log_batch(run_id, tags=[RunTag(MODEL, known), RunTag(MODEL_ID, model_id)])

    def _state(self, client: MlflowClient, run_id: str, trial: int) -> None:
        """Log what a training function gave to ``trial.keep``, at its best epoch."""
        file = CheckpointStore(self.paths.checkpoints).best_path(trial)
        known = f"trial {trial}: what its function kept at its best epoch"
        if not file.is_file() or client.get_run(run_id).data.tags.get(MODEL) == known:
            return
        client.log_artifact(run_id, str(file), "model")
        client.set_tag(run_id, MODEL, known)


def _model_name(study: str) -> str:
    """Return a name that MLflow takes for a model."""
    return "".join("-" if c in "/:.%\"'" else c for c in study)
