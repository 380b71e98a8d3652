"""What was recorded of a study, found by its name."""

from __future__ import annotations

from search.declaration.study import Study
from search.drive.engine import Result
from search.drive.history import agreeing
from search.errors import UsageError
from search.ledger import Ledger, StudyRow
from search.ledger.paths import LEDGER_FILE, Paths
from search.ledger.stored_study import study_from_row
from search.report.answer import answer
from search.report.examples import DATA
from search.report.kept import kept_on_disk
from spaces import nearest


def open_ledger(paths: Paths) -> Ledger:
    """Open the ledger of a recorded study.

    Raises:
        UsageError: no study of that name in the home; the nearest is suggested.
    """
    if paths.database is not None:
        return Ledger(paths.database)
    if not paths.ledger_file.is_file():
        raise UsageError(
            f"no study {paths.name!r} in {paths.home.absolute()}.{nearest(paths.name, recorded_names(paths))} "
            "`python -m search list` shows all"
        )
    return Ledger(paths.ledger_url)


def recorded_names(paths: Paths) -> list[str]:
    """Return the names of the studies in the home."""
    return [p.parent.name for p in paths.home.glob(f"*/{LEDGER_FILE}")] if paths.home.is_dir() else []


def recorded_result(paths: Paths) -> tuple[Study, Result]:
    """Return a recorded study, and what it found until now.

    Raises:
        UsageError: no study of that name in the home.
    """
    with open_ledger(paths) as facts:
        row = facts.study(paths.name)
        study = study_from_row(row)
        with agreeing(paths.ledger):
            found = answer(study, facts.trials_frame(row.id), facts.epochs_frame(row.id), row.facts)
        seconds, kept = _seconds(facts, row), kept_on_disk(paths.checkpoints, found.best)
        return study, Result(found, _ending(facts, row), None, seconds, seconds, 0, kept, row.facts.get(DATA, {}))


def _ending(ledger: Ledger, row: StudyRow) -> str:
    sessions = ledger.sessions(row.id)
    return str(sessions[-1]["ending"] or "running") if sessions else "not started"


def _seconds(ledger: Ledger, row: StudyRow) -> float:
    return ledger.seconds_used(row.id)
