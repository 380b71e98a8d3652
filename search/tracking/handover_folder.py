"""The folder in which a study's report and model lie until its run in MLflow has them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PAGE = "report.html"
ABOUT = "about.json"
EXAMPLE_ROWS, EXAMPLE_ARRAY, ANSWER = "example.parquet", "example.npy", "answer.parquet"


@dataclass(frozen=True)
class HandedOn:
    """What lies in a folder for a study's run, beside the page.

    Attributes:
        model: which model it is, in words that are others for another one; None where there is none.
        folder: the name of the export's folder in it; None for a training function, whose state is one file.
        loader: the module whose ``_load_pyfunc`` reads an export.
        state: the file of a training function's state.
        missing: why a page or a model is not there, a line each.
    """

    model: str | None = None
    folder: str | None = None
    loader: str = ""
    state: str | None = None
    missing: tuple[str, ...] = ()


def write_about(folder: Path, about: HandedOn, *, example: Any = None, answer: pd.DataFrame | None = None) -> None:
    """Write what ``read_about`` and ``read_example`` read, beside the page and the export that lie in the folder.

    Args:
        folder: is there.
        about: what lies in it.
        example: raw examples, a frame or an array, for the signature and the input example.
        answer: what the model says of them.
    """
    if answer is not None:
        answer.to_parquet(folder / ANSWER)
        if hasattr(example, "columns"):
            example.to_parquet(folder / EXAMPLE_ROWS)
        else:
            import numpy as np

            np.save(folder / EXAMPLE_ARRAY, example)
    (folder / ABOUT).write_text(json.dumps(asdict(about)), encoding="utf-8")


def read_about(folder: Path) -> HandedOn:
    """Return what lies in a folder."""
    return HandedOn(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def read_example(folder: Path) -> tuple[Any, pd.DataFrame]:
    """Return the raw examples, and what the model says of them."""
    import numpy as np
    import pandas as pd

    rows = folder / EXAMPLE_ROWS
    example = pd.read_parquet(rows) if rows.is_file() else np.load(folder / EXAMPLE_ARRAY)
    return example, pd.read_parquet(folder / ANSWER)
