"""What MLflow is told of a folder that holds a model, known without importing MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelFolder:
    """A folder that holds a model, and what MLflow is told of it.

    Attributes:
        folder: what MLflow copies.
        loader: the module whose ``_load_pyfunc`` reads the folder.
        example: raw examples, which are the input example.
        answer: what the model says of them, for the signature.
    """

    folder: Path
    loader: str
    example: Any
    answer: pd.DataFrame
