"""After a search: the best configuration of each choice of the balanced parameter, on the same fresh splits.

Each fit is a row of the ledger; those of a split are written together, once every choice had its fit on it. A resume
trains what is missing, and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from search.declaration.study import Study
from search.executors.control import Control
from search.ledger import FitRole, FitRow, Ledger, LedgerWriter
from search.ledger.events import RefitsMissing
from search.ledger.outcome import StopReason, TrialState
from search.ledger.paths import Paths
from search.ledger.printed_commands import extend_command, resume_command
from search.report.comparison import Finalist, best_of_each
from search.report.leaderboard import leaderboard
from spaces import hash_params
from trainables.derive import derive
from trainables.errors import is_of_a_signal, named_with_last_line
from trainables.protocols import Trainable
from trainables.registry import find_trainable
from trainables.stage import stage

if TYPE_CHECKING:
    from trainables.data import Splits
    from trainables.refit import Refit

T = TypeVar("T")
Say: TypeAlias = "Callable[[str], None]"

LOOK_EVERY_S = 0.1
"""How often a fit in hand is asked whether a stop was."""


def refit_best(
    study: Study, ledger: Ledger, study_id: int, splits: Splits, control: Control, paths: Paths, say: Say
) -> None:
    """Train the best of each choice on ``study.refits`` splits of train and validation; the test part stays closed.

    The split, the seed of the fit and the core it has are the same for all. A signal or the end of the time budget,
    which is that of the search, ends it after the epoch in hand, or without that where it takes longer than
    ``Control.grace_s``; what was not trained is said, here and in the ledger.
    """
    epochs = ledger.epochs_frame(study_id)
    board = leaderboard(ledger.trials_frame(study_id), epochs, study.objective)
    finalists = best_of_each(study, board, epochs)
    done = ledger.fits(study_id, FitRole.REFIT)
    missing = [split for split in range(study.refits) if _missing(finalists, done, split)]
    if missing and control.stopping is None:
        say(f"training the best of each {study.balanced} on {study.refits} splits ...")
    with stage(f"training the best of each {study.balanced}, split by split", total=len(missing)) as training:
        while missing:
            fits = _fits_on(study, splits, missing[0], _missing(finalists, done, missing[0]), control)
            if fits is None:
                break
            ledger.add_fits(study_id, fits)
            missing.pop(0)
            training.advance()
    if missing:
        _say_what_is_missing(study, LedgerWriter(ledger, study_id), len(missing), control, paths, say)


def _say_what_is_missing(
    study: Study, writer: LedgerWriter, missing: int, control: Control, paths: Paths, say: Say
) -> None:
    """Say, here and in the ledger, how many splits were not trained, why, and what trains them."""
    assert study.balanced is not None and control.stopping is not None
    event = RefitsMissing(parameter=study.balanced, missing=missing, refits=study.refits, reason=control.stopping)
    writer.event(event)
    writer.flush()
    over = control.stopping is StopReason.BUDGET
    command = extend_command(paths, "--time-budget 10m") if over else resume_command(paths)
    say(f"{event.sentence}; go on with: {command}")


def refit_splits(splits: Splits, *, seed: int) -> Splits:
    """Return the training and validation part of a re-split.

    What belongs together, is later than something else, has a file of its own or a weight is known where the data are
    read: there such a re-split is cut, as the pairs of a confirmation are, whose scored part then validates.
    """
    from trainables.data.datasets import load_pair
    from trainables.data.splits import resplit

    if splits.spec is not None and (splits.streamed or splits.spec.binds_rows or splits.train.weights is not None):
        pair = load_pair(splits.spec, seed=seed)
        return replace(pair.splits, val=pair.scored, extra_metrics=splits.extra_metrics)
    return resplit(splits, seed=seed % 2**32)


@dataclass(frozen=True)
class _Split:
    """One re-split of the training and validation part.

    Attributes:
        seed: the seed of the split and of every fit on it.
        data: its examples as the trainable prepared them.
    """

    number: int
    seed: int
    train_examples: int
    val_examples: int
    data: Any

    @classmethod
    def prepare(cls, study: Study, splits: Splits, trainable: Trainable, number: int) -> _Split:
        """Return the split of this number."""
        import torch

        seed = derive(study.seed, "refit", number)
        parts = refit_splits(splits, seed=seed)
        return cls(number, seed, len(parts.train), len(parts.val), trainable.prepare(parts, torch.device("cpu")))


def _fits_on(
    study: Study, splits: Splits, number: int, finalists: Sequence[Finalist], control: Control
) -> list[FitRow] | None:
    """Return a fit of each finalist on one split; None where a stop was asked for before all were done."""
    trainable = find_trainable(study.trainable)
    split: _Split | None = None
    fits = []
    for finalist in finalists:
        if control.stopping is not None:
            return None
        if split is None:
            split = _Split.prepare(study, splits, trainable, number)
        fit = _within_grace(partial(_fit, study, trainable, split, finalist, control), control)
        if fit is None:
            return None
        fits.append(fit)
    return fits


def _fit(study: Study, trainable: Trainable, split: _Split, finalist: Finalist, control: Control) -> FitRow | None:
    """Return one fit, done or failed; None where it was given up."""
    from trainables.refit import refit

    started_at = time.time()
    done: Refit | None = None
    message: str | None = None
    try:
        config = trainable.configure(study.params_of(finalist.params), max_epochs=study.budget.max_epochs)
        done = refit(
            trainable,
            config,
            split.data,
            seed=split.seed,
            epochs=finalist.epoch,
            stopping=lambda: control.stopping is not None,
        )
        if done is None:
            return None
    except BaseException as error:  # one model that fails is a row of the table, not the end of it
        if is_of_a_signal(error):
            raise
        message = named_with_last_line(error)
    return FitRow(
        role=FitRole.REFIT,
        trial=finalist.trial,
        config_hash=hash_params(finalist.params),
        params=finalist.params,
        seed=split.seed,
        split=split.number,
        epochs=finalist.epoch,
        state=TrialState.COMPLETE if message is None else TrialState.FAILED,
        reason=None if message is None else StopReason.ERROR,
        message=message,
        metrics={} if done is None else done.metrics,
        seconds=None if done is None else done.seconds,
        train_examples=split.train_examples,
        scored_examples=split.val_examples,
        started_at=started_at,
        ended_at=time.time(),
    )


def _within_grace(work: Callable[[], T], control: Control) -> T | None:
    """Return what ``work`` returns; None where it goes on for longer than a stop may wait.

    It runs in a thread, for an estimator's fit is one long call, during which no signal would be heard here. One
    that is left behind ends with the process.
    """
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(work()), name="refit", daemon=True)
    thread.start()
    while thread.is_alive() and control.stopping is None:
        thread.join(LOOK_EVERY_S)
    thread.join(control.grace_s)
    return done[0] if done else None


def _missing(finalists: Sequence[Finalist], fits: Iterable[FitRow], split: int) -> list[Finalist]:
    trained = {fit.trial for fit in fits if fit.split == split}
    return [finalist for finalist in finalists if finalist.trial not in trained]
