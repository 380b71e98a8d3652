"""A recorded study as one of Optuna's: what it is told of the study as a whole, and its trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import optuna
from optuna.exceptions import ExperimentalWarning

from search.drive.history import as_ledger_error
from search.drive.lookup import open_ledger
from search.drive.overview import last_ending
from search.drive.result import read_answer
from search.export.optuna_trials import OWN, Converted, convert
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.report.sentences import verdict
from trainables.direction import Direction
from trainables.stage import each

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.ledger import StudyRow
    from search.report.answer import Answer

StudyOfOptuna: TypeAlias = optuna.Study


@dataclass(frozen=True)
class ReadStudy:
    """A recorded study, read for Optuna.

    Attributes:
        study: the declaration; Optuna's study has its name.
        converted: the trials.
        facts: what Optuna is told of the study as a whole, its user attributes.
        best: the number of the best trial as we rank them; None without one.
    """

    study: Study
    converted: Converted
    facts: Mapping[str, Any]
    best: int | None

    @property
    def states(self) -> dict[str, int]:
        """How many trials Optuna has in each state."""
        names = [trial.state.name for trial in self.converted.trials]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def read_for_optuna(paths: Paths) -> ReadStudy:
    """Return what Optuna is told of a recorded study, searched to its end or not.

    Raises:
        UsageError: no study of that name in the home.
    """
    with open_ledger(paths) as ledger:
        row = ledger.study(paths.name)
        study = study_from_row(row)
        with as_ledger_error(paths.ledger):
            found = read_answer(ledger, row, study)
            running = last_ending(ledger, row) == "running"
            converted = convert(study, ledger.trials(row.id), ledger.epochs(row.id), running=running)
    return ReadStudy(study, converted, _facts(row, study, found), None if found.best is None else found.best.trial)


def as_optuna_study(found: ReadStudy, storage: optuna.storages.BaseStorage | None = None) -> StudyOfOptuna:
    """Return a study as one of Optuna's: in a storage, whole or not at all, else in memory.

    Raises:
        DuplicatedStudyError: the storage has one of its name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, objectives = found.study.name, found.study.objectives
    directions = [_direction(o.direction) for o in objectives]
    made = optuna.create_study(storage=storage, study_name=name, directions=directions)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            made.set_metric_names([o.metric for o in objectives])
        for attribute, value in found.facts.items():
            made.set_user_attr(attribute, value)
        for trial in each(found.converted.trials, "writing trials"):
            made.add_trial(trial)
    except BaseException:  # Ctrl-C too: a study that is not whole would be taken for one
        if storage is not None:
            with suppress(Exception):
                optuna.delete_study(study_name=name, storage=storage)
        raise
    return made


def _facts(row: StudyRow, study: Study, found: Answer) -> dict[str, Any]:
    """Return what Optuna is told of the study as a whole."""
    confirmed = found.confirmation
    facts = {
        "study": study.name,
        "kind": study.kind,
        "question": study.question,
        "verdict": found.problem or (None if found.best is None else verdict(found)),
        "best_trial": None if found.best is None else found.best.trial,
        "confirmation": None if confirmed is None else confirmed.sentence,
        "recommended_trial": None if confirmed is None else confirmed.recommended,
        "dataset": study.data.name,
        "data_fingerprint": row.fingerprint,
        "sampler": study.sampler,
        "scheduler": study.scheduler.name,
        "max_epochs": study.budget.max_epochs,
        "seed": study.seed,
        "versions": row.facts.versions,
    }
    return {f"{OWN}{name}": value for name, value in facts.items() if value is not None}


def _direction(direction: Direction) -> optuna.study.StudyDirection:
    minimize, maximize = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE
    return minimize if direction.ascending else maximize
