"""Which trial of a study is exported, and what of it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.declaration.study import Study
from search.drive.lookup import open_ledger
from search.drive.result import Result
from search.errors import UsageError
from search.ledger.paths import Paths
from search.ledger.printed_commands import export_command
from search.report.leaderboard import leaderboard
from trainables.checkpoint_store import CheckpointStore
from trainables.registry import is_train_function


@dataclass(frozen=True)
class Chosen:
    """A trial to be exported.

    Attributes:
        params: its active parameters.
        why: why this one, in words.
        epochs: how many a refit trains: those that were best on the pairs of the confirmation, on average, or in the
            search; None for a trial without a finite value.
        of_pairs: whether ``epochs`` is of the confirmation.
        asked: whether this trial was asked for by its number.
    """

    trial: int
    params: Mapping[str, Any]
    why: str
    epochs: int | None
    of_pairs: bool
    asked: bool


def choose(paths: Paths, study: Study, result: Result, trial: int | None) -> Chosen:
    """Return the trial that is asked for; else the one that the confirmation recommends, else the best.

    Raises:
        UsageError: there is none such.
    """
    if is_train_function(study.trainable):
        raise UsageError(
            f"{study.name}: the model of a training function is known to that function alone, and cannot be exported; "
            "trainables.checkpoint.load(FILE)['model'] has what it gave to trial.keep, where FILE is a best.pt"
        )
    found, asked = result.answer.confirmation, trial is not None
    if trial is not None:
        why = f"asked for by --trial {trial}"
    elif found is not None:
        trial, why = found.recommended, "recommended by the confirmation"
    elif result.answer.best is not None:
        trial, why = result.answer.best.trial, "the best of the search, which is not confirmed"
    else:
        raise UsageError(f"{study.name}: no trial reported a finite {study.objective.metric} to export")
    with open_ledger(paths) as ledger:
        study_id = ledger.study(paths.name).id
        rows = {row.number: row for row in ledger.trials(study_id)}
        board = leaderboard(ledger.trials_frame(study_id), ledger.epochs_frame(study_id), study.objective)
    if trial not in rows:
        raise UsageError(f"{study.name} has no trial {trial}; its trials are 0 to {max(rows, default=0)}")
    standing = None if found is None else found.standing_of(trial)
    confirmed = None if standing is None else standing.epochs
    best = dict(zip(board["number"], board["epoch"], strict=True)).get(trial)
    epochs = best if confirmed is None else max(1, round(confirmed))
    of_pairs = confirmed is not None
    return Chosen(trial, rows[trial].params, why, None if epochs is None else int(epochs), of_pairs, asked)


def kept_state(paths: Paths, study: Study, chosen: Chosen) -> dict[str, Any]:
    """Return the state of the chosen trial's best model.

    Raises:
        UsageError: it is not kept; the line says what to do.
        CheckpointError: it is damaged.
    """
    store = CheckpointStore(paths.checkpoints)
    found = store.best(chosen.trial)
    if found is None:
        kept = sorted(int(path.parent.name.removeprefix("trial_")) for path in store.folder.glob("trial_*/best.pt"))
        others = f"; kept are those of {', '.join(map(str, kept))} (--trial)" if kept else ""
        anew = f"; train it anew with: {export_command(paths, _options(chosen))}" if study.data.can_refit else ""
        raise UsageError(
            f"{study.name}: the model of trial {chosen.trial}, {chosen.why}, is not kept, as --keep-checkpoints was "
            f"{study.keep_checkpoints}{others}{anew}"
        )
    return found


def _options(chosen: Chosen) -> str:
    return f"--trial {chosen.trial} --refit" if chosen.asked else "--refit"
