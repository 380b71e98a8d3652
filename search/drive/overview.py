"""Where the recorded studies of a home or a database stand, for a list of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from search.drive.study_folder import bytes_on_disk
from search.errors import RunError
from search.ledger import Ledger, StudyRow
from search.ledger.outcome import SessionEnding, StopReason, shown_counts
from search.ledger.paths import Paths, study_folders
from trainables.direction import Direction

Ending: TypeAlias = SessionEnding | Literal["running", "not started"]
"""How the last session of a study ended; or that it has not, or that there was none."""

Order: TypeAlias = Literal["date", "name", "size", "value"]
"""What a list of studies is sorted by."""


@dataclass(frozen=True)
class Overview:
    """Where one recorded study stands.

    Attributes:
        counts: the number of trials by what a reader is told of them: ``running``, ``pruned``, ``diverged`` ...
        done: how many trials ended for good.
        planned: how many the budget has; None where the declaration does not say.
        metric: the objective's.
        direction: which of its values are better.
        best: its best value over all epochs; None where none was finite.
        ending: how its last session ended, ``died`` where the process is gone without a word.
        seen_at: when a process last recorded something of it, in seconds since 1970.
        size: bytes that its folder takes on disk.
    """

    row: StudyRow
    paths: Paths
    counts: dict[str, int]
    done: int
    planned: int | None
    metric: str
    direction: Direction
    best: float | None
    ending: Ending
    seen_at: float
    size: int

    @property
    def resumable(self) -> bool:
        """Whether a resume would find something to go on with that no process drives."""
        return self.ending not in ("running", SessionEnding.DONE)


def recorded_studies(
    home: Path, database: str | None = None, *, unreadable: Callable[[str], None]
) -> Iterator[Overview]:
    """Yield the studies of a database, else those of a home by the names of their folders.

    Args:
        home: folder of all studies.
        database: where they are, if not there.
        unreadable: is told why the ledger of a folder cannot be read, a line each; the others are yielded all the same.
    """
    if database is not None:
        with Ledger(database) as shared:
            for row in shared.studies():
                yield _overview(shared, row, paths := Paths(home, row.name, database), bytes_on_disk(paths.folder))
        return
    for folder in study_folders(home):
        paths, size = Paths(home, folder.name), bytes_on_disk(folder)  # before SQLite makes files beside an open ledger
        try:
            with Ledger(paths.ledger_url) as own:
                found = [_overview(own, row, paths, size) for row in own.studies()]
        except RunError as error:
            unreadable(str(error))
        else:
            yield from found


def sorted_studies(studies: Iterable[Overview], by: Order = "date") -> list[Overview]:
    """Return studies in an order whose end has what is looked for: it stands next to a terminal's prompt.

    Args:
        studies: in any order.
        by: ``date``: the one that was recorded to last comes last. ``size``: the largest. ``value``: by metric, of each
            the best. ``name``: as a dictionary has them.
    """
    ordered = sorted(studies, key=lambda study: study.row.name)
    if by == "date":
        ordered.sort(key=lambda study: study.seen_at)
    elif by == "size":
        ordered.sort(key=lambda study: study.size)
    elif by == "value":
        ordered.sort(key=_worst_first)
    return ordered


def _worst_first(study: Overview) -> tuple[str, float]:
    return study.metric, -math.inf if study.best is None else -study.direction.cost(study.best)


def last_ending(ledger: Ledger, row: StudyRow) -> Ending:
    """Return how the last session of a study ended; a process that is gone without a word died."""
    sessions = ledger.sessions(row.id)
    if not sessions:
        return "not started"
    last = sessions[-1]
    return last.ending or ("running" if last.is_running else SessionEnding.DIED)


def _overview(ledger: Ledger, row: StudyRow, paths: Paths, size: int) -> Overview:
    trials = ledger.trials(row.id)
    objective: dict[str, Any] = row.declaration.get("objective") or {}
    metric, direction = str(objective.get("metric", "")), Direction(objective.get("mode", "min"))
    values = [float(epoch.values[metric]) for epoch in ledger.epochs(row.id) if metric in epoch.values]
    finite = [value for value in values if math.isfinite(value)]
    diverged = sum(trial.reason is StopReason.DIVERGED for trial in trials)
    return Overview(
        row=row,
        paths=paths,
        counts=shown_counts(Counter(trial.state for trial in trials), diverged),
        done=sum(not trial.state.resumable for trial in trials),
        planned=(row.declaration.get("budget") or {}).get("trials"),
        metric=metric,
        direction=direction,
        best=direction.best(finite) if finite else None,
        ending=last_ending(ledger, row),
        seen_at=max((session.seen_at for session in ledger.sessions(row.id)), default=row.created_at),
        size=size,
    )
