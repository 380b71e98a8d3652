"""After a search: the best configuration of each choice of the balanced parameter, on the same fresh splits.

Each fit is a fact of the ledger, written when every choice had its fit on a split. A resume trains what is
missing, and no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from search.declaration.study import Study
from search.executors.control import Control
from search.ledger import Ledger, LedgerWriter
from search.ledger.outcome import StopReason
from search.ledger.paths import Paths
from search.ledger.printed_commands import extend_command, resume_command
from search.report.comparison import REFITS, best_of_each
from search.report.leaderboard import leaderboard
from trainables.derive import derive
from trainables.protocols import Trainable
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits

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
    board = leaderboard(ledger.trials_frame(study_id), ledger.epochs_frame(study_id), study.objective)
    chosen = best_of_each(study, board, ledger.epochs_frame(study_id))
    facts = ledger.study(study.name).facts.get(REFITS, {})
    fits = [f for f in facts.get("fits", []) if any(_is_of(f, entry) for entry in chosen)]
    kept: dict[str, Any] = {"train": len(splits.train), "val": len(splits.val), "chosen": chosen, "fits": fits}
    missing = [split for split in range(study.refits) if _missing(chosen, fits, split)]
    if missing and chosen and control.stopping is None:
        say(f"training the best of each {study.balanced} on {study.refits} splits ...")
    done = 0
    for split in missing:
        new = _fits_on(study, splits, split, _missing(chosen, fits, split), control)
        if new is None:
            break
        fits += new
        done += 1
        ledger.add_fact(study_id, REFITS, kept)
    if not missing:
        ledger.add_fact(study_id, REFITS, kept)
    if len(missing) > done:
        _say_what_is_missing(study, LedgerWriter(ledger, study_id), missing[done:], control, paths, say)


def _say_what_is_missing(
    study: Study, writer: LedgerWriter, missing: Sequence[int], control: Control, paths: Paths, say: Say
) -> None:
    """Say, here and in the ledger, which splits were not trained, why, and what trains them."""
    over = control.stopping is StopReason.BUDGET
    why = "the time budget is used up" if over else "the search was stopped"
    line = f"the best of each {study.balanced} was not trained on {len(missing)} of {study.refits} splits: {why}"
    writer.event("refits_missing", line, level="warning")
    writer.flush()
    command = f"{extend_command(paths)} --time-budget 10m" if over else resume_command(paths)
    say(f"{line}; go on with: {command}")


def _fits_on(
    study: Study, splits: Splits, split: int, entries: Sequence[Mapping[str, Any]], control: Control
) -> list[dict[str, Any]] | None:
    """Return a fit for each entry on one split; None where a stop was asked for before all were done."""
    import torch

    from trainables.data.splits import resplit

    trainable = find_trainable(study.trainable)
    seed = derive(study.seed, "refit", split)
    data = None
    fits = []
    for entry in entries:
        if control.stopping is not None:
            return None
        if data is None:
            data = trainable.prepare(resplit(splits, seed=seed % 2**32), torch.device("cpu"))
        fit = _within_grace(partial(_fit, study, trainable, data, seed, entry, control), control)
        if fit is None:
            return None
        fits.append({"choice": entry["choice"], "trial": entry["trial"], "split": split} | fit)
    return fits


def _fit(
    study: Study, trainable: Trainable, data: Any, seed: int, entry: Mapping[str, Any], control: Control
) -> dict[str, Any] | None:
    """Return the value and the seconds of one fit, or why it failed; None where it was given up."""
    from trainables.refit import refit

    try:
        config = trainable.configure(study.params_of(entry["params"]), max_epochs=study.budget.max_epochs)
        done = refit(
            trainable, config, data, seed=seed, epochs=entry["epoch"], stopping=lambda: control.stopping is not None
        )
        return None if done is None else {"value": float(done.metrics[study.objective.metric]), "seconds": done.seconds}
    except (Exception, SystemExit) as error:  # one model that fails is a row of the table, not the end of it
        return {"error": f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"}


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


def _missing(
    chosen: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]], split: int
) -> list[Mapping[str, Any]]:
    return [e for e in chosen if not any(_is_of(f, e) and f["split"] == split for f in fits)]


def _is_of(fit: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return bool(fit["choice"] == entry["choice"] and fit["trial"] == entry["trial"])
