"""An export as MLflow's ``python_function``: what ``mlflow.pyfunc.load_model`` imports to load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from trainables.kept_model import KeptModel


class ExportedFunction:
    """A model as MLflow calls it.

    Args:
        model: read from an export.
    """

    def __init__(self, model: KeptModel) -> None:
        self._model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a row for each raw example: ``prediction``, and of classes a probability each."""
        return self._model.predict_frame(model_input)


def _load_pyfunc(path: str) -> ExportedFunction:
    """Return the model of an export; MLflow calls this by its name."""
    from search.export.folder import read_export

    return ExportedFunction(read_export(Path(path)))
