"""Recorded studies deleted: all that are named, or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.drive.lock import driver_lock
from search.drive.lookup import refuse_unknown
from search.drive.study_folder import bytes_on_disk, erase, put_back, set_aside
from search.errors import RunError, UsageError, UserError
from search.ledger import Ledger, StudyRow
from search.ledger.paths import Paths
from trainables.stage import stage

if TYPE_CHECKING:
    from search.tracking.removed_runs import StudyRuns


@dataclass(frozen=True)
class Found:
    """A recorded study that nobody searches now.

    Attributes:
        paths: where it lies.
        row: as the ledger holds it; None where that cannot be read.
        trials: how many it has.
        size: bytes of its folder.
        unreadable: why its ledger cannot be read, in a line; None where it can.
    """

    paths: Paths
    row: StudyRow | None
    trials: int
    size: int
    unreadable: str | None = None


def hold_studies(places: Sequence[Paths], held: ExitStack, *, damaged_ok: bool = False) -> list[Found]:
    """Find studies, and keep everybody from searching them until ``held`` is closed.

    Args:
        places: where they lie.
        held: takes their locks.
        damaged_ok: whether those are found, too, whose ledger cannot be read.

    Raises:
        UsageError: there is no such study; a line for each, and for whatever else stands in the way.
        RunError: a process searches it, or it cannot be read.
    """
    found, errors, unknown = list[Found](), list[str](), False
    for paths in dict.fromkeys(places):
        try:
            found.append(_hold(paths, held, damaged_ok))
        except UserError as error:
            errors += error.errors
            unknown |= isinstance(error, UsageError)
    if errors:
        raise (UsageError if unknown else RunError)(errors)
    return found


def _hold(paths: Paths, held: ExitStack, damaged_ok: bool) -> Found:
    refuse_unknown(paths)
    if paths.folder.is_dir():
        held.enter_context(driver_lock(paths.lock, paths.name))
    size = bytes_on_disk(paths.folder)
    try:
        with Ledger(paths.ledger_url) as ledger:
            row = _row(ledger.studies(), paths)
            trials = 0 if row is None else len(ledger.trials(row.id))
            driver = None if row is None else ledger.driver_elsewhere(row.id)
    except RunError as error:
        if not damaged_ok or paths.database is not None:
            raise
        return Found(paths, None, 0, size, error.errors[0])
    if row is None:
        raise UsageError(f"no study {paths.name!r} in ledger {paths.ledger}")
    if driver is not None:
        raise RunError(f"study {paths.name!r} is being searched by {driver}; wait for it to end")
    return Found(paths, row, trials, size)


def _row(rows: Sequence[StudyRow], paths: Paths) -> StudyRow | None:
    """Return the study's own row: in the ledger of its folder the one that there is, whatever it is called.

    A move that was cut off by a power cut, say, may have named it anew and left the folder as it was.
    """
    if paths.database is None and len(rows) == 1:
        return rows[0]
    return next((row for row in rows if row.name == paths.name), None)


def delete_studies(found: Sequence[Found], runs: Sequence[StudyRuns] = ()) -> list[str]:
    """Delete studies that ``hold_studies`` found: all of them, or, where that is refused, none.

    Args:
        found: the studies.
        runs: those of them in MLflow, which are deleted, too.

    Returns:
        In a line each what could not be cleared away of what is deleted.

    Raises:
        RunError: a folder cannot be moved, a database or MLflow cannot be written; everything is as it was.
    """
    with ExitStack() as undo, stage("deleting", way_on="nothing was deleted"):
        for of_one in runs:
            undo.callback(of_one.restore)
            of_one.put_into_bin()
        aside = []
        for study in found:
            if study.paths.folder.is_dir():
                aside.append(set_aside(study.paths.folder))
                undo.callback(put_back, aside[-1], study.paths.folder)
        _delete_rows(found)
        undo.pop_all()
    left = [line for place in aside if (line := erase(place)) is not None]
    return left + [line for of_one in runs for line in of_one.erase()]


def _delete_rows(found: Sequence[Found]) -> None:
    """Delete what a shared database holds of the studies, in one transaction; a ledger of its own goes as a file."""
    by_database: dict[str, list[int]] = {}
    for study in found:
        if study.paths.database is not None and study.row is not None:
            by_database.setdefault(study.paths.ledger_url, []).append(study.row.id)
    for url, ids in by_database.items():  # there is one: --ledger names it
        with Ledger(url) as ledger:
            ledger.delete_studies(ids)
