"""A study's declaration, read back from its row."""

from __future__ import annotations

from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.errors import RunError, UsageError
from search.ledger.rows import StudyRow

NOT_ASKED_FOR = {"pairs": 0}
"""What a study asks for by way of confirmation that was declared before there was one."""


def study_from_row(row: StudyRow) -> Study:
    """Return the study that a ledger holds.

    Raises:
        RunError: its declaration cannot be used: damaged, of another Lanewise, or it names a trainable that
            cannot be imported here.
    """
    where = f"study {row.name!r} of ledger {row.ledger} cannot be used"
    try:
        return valid_study({"confirm": NOT_ASKED_FOR, **row.declaration})
    except UsageError as error:
        raise RunError([f"{where}: {line}" for line in error.errors]) from None
    except Exception as error:  # a space is built by many hands; damaged data lead them to whatever they raise
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"{where}: its declaration is damaged ({cause})") from None
