"""A study's declaration, read back from its row."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.errors import RunError, UsageError
from search.ledger.paths import DATA, found_in
from search.ledger.rows import StudyRow

NOT_ASKED_FOR = {"pairs": 0}
"""What a study asks for by way of confirmation that was declared before there was one."""


def study_from_row(row: StudyRow, folder: Path | None = None) -> Study:
    """Return the study that a ledger holds.

    Args:
        row: as the ledger has it.
        folder: the study's own, now: data that are kept in it are read there, wherever it was when they were written.
            None leaves their path as it was noted.

    Raises:
        RunError: its declaration cannot be used: damaged, of another Lanewise, or it names a trainable that
            cannot be imported here.
    """
    where = f"study {row.name!r} of ledger {row.ledger} cannot be used"
    try:
        study = valid_study({"confirm": NOT_ASKED_FOR, **row.declaration})
    except UsageError as error:
        raise RunError([f"{where}: {line}" for line in error.errors]) from None
    except Exception as error:  # a space is built by many hands; damaged data lead them to whatever they raise
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"{where}: its declaration is damaged ({cause})") from None
    if folder is None or study.data.path is None:
        return study
    kept = found_in(folder, DATA, study.data.path)
    return study if kept is None else study.model_copy(update={"data": dataclasses.replace(study.data, path=str(kept))})
