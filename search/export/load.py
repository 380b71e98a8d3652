"""A model that a search kept, by the name of an export, of a file or of a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from search.drive.lookup import no_study, read_result
from search.errors import UsageError
from search.export.folder import CONFIG, is_export, read_export
from search.ledger.paths import LEDGER_FILE, Paths
from trainables.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from trainables.kept_model import KeptModel

HOME = "lanewise-home"


def load_model(of: str | Path, *, home: str | Path = HOME) -> KeptModel:
    """Return a model that a search kept, with its preprocessing, on CPU and in evaluation mode.

    ``predict`` and ``predict_proba`` take raw examples, as the search's data had them: rows of the table, image files.

    Args:
        of: a folder that an export wrote; a ``best.pt``, whose path the search prints (the rest of the study may be
            gone); or a study's name, for the model of its best trial, or the study's folder.
        home: folder of all studies, where a name is given.

    Raises:
        UsageError: no such file or study, none kept of the best trial, or the file cannot be used; a line says why.

    Examples:
        >>> from sklearn.datasets import load_wine
        >>> from search import load_model
        >>> model = load_model("demo")
        >>> model.predict_proba(load_wine().data[:2]).shape
        (2, 3)
    """
    from trainables import best

    try:
        if is_export(Path(of)):
            return read_export(Path(of))
        return best.load_model(_kept_file(of, Path(home)))
    except (CheckpointError, ConfigError) as error:
        raise UsageError(getattr(error, "errors", [str(error)])) from None


def _kept_file(of: str | Path, home: Path) -> Path:
    """Return the file that is meant by its path or by a study's name."""
    path = Path(of)
    if (path / LEDGER_FILE).is_file():
        paths = Paths(path.parent, path.name)
    elif path.is_dir() and (isinstance(of, Path) or os.sep in of or not (home / of).is_dir()):
        raise UsageError(f"{of} is no export, as it has no {CONFIG}, and no study, as it has no {LEDGER_FILE}")
    elif isinstance(of, Path) or path.is_file() or path.suffix == ".pt":
        return path
    else:
        paths = Paths(home, of)
        if not paths.ledger_file.exists() and not path.exists():
            raise UsageError(f"{no_study(paths)}; nor is there a file or folder {of}")
    study, result = read_result(paths)
    found = result.answer.best
    if found is None:
        raise UsageError(f"{study.name}: no trial reported a finite {study.objective.metric} yet")
    if result.kept.best_model is None:
        why = result.kept.why_not or f"--keep-checkpoints was {study.keep_checkpoints}"
        raise UsageError(f"{study.name}: the model of its best trial ({found.trial}, {found.state}) is not kept; {why}")
    return result.kept.best_model
