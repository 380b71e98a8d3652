"""Where the recorded studies of a home or a database stand, for a list of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from search.errors import RunError
from search.ledger import Ledger, StudyRow
from search.ledger.outcome import SessionEnding, StopReason, shown_counts
from search.ledger.paths import Paths, study_folders
from trainables.direction import Direction

Ending: TypeAlias = SessionEnding | Literal["running", "not started"]
"""How the last session of a study ended; or that it has not, or that there was none."""


@dataclass(frozen=True)
class Overview:
    """Where one recorded study stands.

    Attributes:
        counts: the number of trials by what a reader is told of them: ``running``, ``pruned``, ``diverged`` ...
        done: how many trials ended for good.
        planned: how many the budget has; None where the declaration does not say.
        metric: the objective's.
        best: its best value over all epochs; None where none was finite.
        ending: how its last session ended, ``died`` where the process is gone without a word.
    """

    row: StudyRow
    paths: Paths
    counts: dict[str, int]
    done: int
    planned: int | None
    metric: str
    best: float | None
    ending: Ending

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
                yield _overview(shared, row, Paths(home, row.name, database))
        return
    for folder in study_folders(home):
        paths = Paths(home, folder.name)
        try:
            with Ledger(paths.ledger_url) as own:
                found = [_overview(own, row, paths) for row in own.studies()]
        except RunError as error:
            unreadable(str(error))
        else:
            yield from found


def last_ending(ledger: Ledger, row: StudyRow) -> Ending:
    """Return how the last session of a study ended; a process that is gone without a word died."""
    sessions = ledger.sessions(row.id)
    if not sessions:
        return "not started"
    last = sessions[-1]
    return last.ending or ("running" if last.is_running else SessionEnding.DIED)


def _overview(ledger: Ledger, row: StudyRow, paths: Paths) -> Overview:
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
        best=direction.best(finite) if finite else None,
        ending=last_ending(ledger, row),
    )
