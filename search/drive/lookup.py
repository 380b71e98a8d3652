"""Studies of a home folder, found by name: their ledgers, and what they found until now."""

from __future__ import annotations

from pathlib import Path

from search.declaration.study import Study
from search.drive.history import as_ledger_error
from search.drive.overview import last_ending
from search.drive.result import Result, checkpoint_notes, read_answer
from search.errors import UsageError
from search.ledger import Ledger
from search.ledger.paths import Paths, study_folders
from search.ledger.stored_study import study_from_row
from search.report.kept import kept_on_disk
from spaces import nearest


def paths_of(name: str, home: Path, database: str | None = None) -> Paths:
    """Return where a study lies that is called by its name, or by the path of its folder: ``HOME/NAME``.

    Args:
        name: as it was typed.
        home: of a study that is called by its name.
        database: the ledger of such a one, if not in its folder.
    """
    folder = Path(name)
    return Paths(home, name, database) if folder.name == name else Paths(folder.parent, folder.name)


def open_ledger(paths: Paths) -> Ledger:
    """Open the ledger of a recorded study.

    Raises:
        UsageError: no study of that name in the home; the nearest is suggested.
    """
    refuse_unknown(paths)
    return Ledger(paths.ledger_url)


def refuse_unknown(paths: Paths) -> None:
    """Look whether a study has a ledger in its folder, unless that is a database elsewhere.

    Raises:
        UsageError: it has none; the nearest name is suggested.
    """
    if paths.database is None and not paths.ledger_file.is_file():
        raise UsageError(no_study(paths))


def no_study(paths: Paths) -> str:
    """Return that there is no study of a name, with the nearest."""
    return (
        f"no study {paths.name!r} in {paths.home.absolute()}.{nearest(paths.name, study_names(paths))} "
        "`python -m search list` shows all"
    )


def study_names(paths: Paths) -> list[str]:
    """Return the names of the studies in the home."""
    return [folder.name for folder in study_folders(paths.home)]


def read_result(paths: Paths) -> tuple[Study, Result]:
    """Return a recorded study, and what it found until now.

    Raises:
        UsageError: no study of that name in the home.
    """
    with open_ledger(paths) as ledger:
        row = ledger.study(paths.name)
        study = study_from_row(row, paths.folder)
        with as_ledger_error(paths.ledger):
            found = read_answer(ledger, row, study)
        kept = kept_on_disk(paths.checkpoints, found, checkpoint_notes(ledger, row.id))
        seconds = ledger.seconds_used(row.id)
        return study, Result(found, last_ending(ledger, row), None, seconds, seconds, 0, kept, row.facts.data or {})
