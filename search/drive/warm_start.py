"""The best configurations of an earlier study, looked up for one that begins with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from search.declaration.study import Study
from search.declaration.warm_start import NO_STUDY, EarlierTrial, WarmStart, baseline_hashes
from search.drive.continuation import is_recorded
from search.drive.history import as_ledger_error
from search.drive.lookup import open_ledger, paths_of
from search.errors import UsageError
from search.ledger import Ledger
from search.ledger.confirmed import read_confirmed
from search.ledger.outcome import DIVERGED, TrialState
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.report.confirmation import confirmation
from search.report.leaderboard import leaderboard
from spaces import hash_params
from spaces.fit import fitted
from trainables.mistake import Mistake

if TYPE_CHECKING:
    import pandas as pd

PLACE = ("warm_start",)


def warm_started(study: Study, home: Path, *, resumes: bool = False) -> tuple[Study, list[Mistake]]:
    """Return a study with the configurations that it begins with, and why there are none of these.

    Args:
        study: the declaration; where it has the configurations already, or asks for none, it is returned as it is.
        home: folder of all studies.
        resumes: whether it goes on if it is recorded: then it keeps to those that it began with.

    Raises:
        RunError: the ledger of the earlier study cannot be read.
    """
    warm = study.warm_start
    if warm is None or warm.trials:
        return study, []
    if not warm.name:
        return study, [Mistake((*PLACE, "study"), NO_STUDY, warm.study)]
    if resumes and is_recorded(own := Paths(home, study.name, study.ledger)):
        return _as_recorded(study, warm, own), []
    paths = paths_of(warm.study, home, study.ledger)
    try:
        with open_ledger(paths) as ledger:
            if all(row.name != paths.name for row in ledger.studies()):
                raise UsageError(f"no study {paths.name!r} in ledger {paths.ledger}")
            earlier, ranked = _ranked(ledger, paths)
    except UsageError as error:
        return study, [_mistake(warm, line) for line in error.errors]
    if not ranked:
        return study, [_mistake(warm, "none of its trials has ended with a finite value")]
    searched = dict.fromkeys(name for trial in ranked for name in trial.params)
    if not any(name in study.space for name in searched):
        ours, theirs = ", ".join(study.space.names), ", ".join(searched)
        return study, [_mistake(warm, f"it searched {theirs}, and this study searches {ours}: nothing in common")]
    chosen = _distinct(study, earlier, ranked, warm.best)
    if not chosen:
        return study, [_mistake(warm, "here, all of its configurations are the one of the baseline")]
    shared = {name: value for name, value in earlier.settings.items() if name in study.space}
    found = warm.model_copy(update={"trials": chosen, "settings": shared, "ended": len(ranked)})
    return study.model_copy(update={"warm_start": found}), []


def _as_recorded(study: Study, warm: WarmStart, paths: Paths) -> Study:
    """Return a recorded study with what it began with: the earlier one may have gone on since, or be gone."""
    with open_ledger(paths) as ledger:
        before = study_from_row(ledger.study(study.name)).warm_start
    if before is None:
        return study
    looked_up = {"trials": before.trials, "settings": before.settings, "ended": before.ended}
    return study.model_copy(update={"warm_start": warm.model_copy(update=looked_up)})


def _mistake(warm: WarmStart, why: str) -> Mistake:
    return Mistake(PLACE, f"{warm.study}: {why}")


def _ranked(ledger: Ledger, paths: Paths) -> tuple[Study, list[EarlierTrial]]:
    """Return the earlier study and its trials that ended with a value: the recommended one, then the best first."""
    row = ledger.study(paths.name)
    study = study_from_row(row)
    board = leaderboard(ledger.trials_frame(row.id), ledger.epochs_frame(row.id), study.objective)
    with as_ledger_error(paths.ledger):
        found = confirmation(study, board, read_confirmed(ledger, row.id))
    return study, _recommended_first(board, None if found is None else found.recommended)


def _ended(state: str, reason: object) -> bool:
    return state in (TrialState.COMPLETE.value, TrialState.PRUNED.value) and reason != DIVERGED


def _recommended_first(board: pd.DataFrame, first: int | None) -> list[EarlierTrial]:
    trials = [
        EarlierTrial(trial=int(row["number"]), params=row["params"])
        for row in board.to_dict("records")
        if _ended(row["state"], row["stop_reason"])
    ]
    return sorted(trials, key=lambda trial: trial.trial != first)  # stable


def _distinct(study: Study, earlier: Study, ranked: list[EarlierTrial], best: int) -> tuple[EarlierTrial, ...]:
    """Return the first of them that are no two the same configuration in the study's space, nor the baseline's."""
    known, chosen = baseline_hashes(study.space), list[EarlierTrial]()
    for trial in ranked:
        if len(chosen) == best:
            break
        key = hash_params(
            fitted(study.space, trial.params, shared_there=earlier.settings, shared_here=study.settings)[0]
        )
        if key not in known:
            known.add(key)
            chosen.append(trial)
    return tuple(chosen)
