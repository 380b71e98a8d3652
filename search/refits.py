"""After a search: the best configuration of each choice of the balanced parameter, on the same fresh splits.

Each fit is a fact of the ledger, written when every choice had its fit on a split. A resume trains what is
missing, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.control import Control
from search.ledger import Ledger
from search.report.comparison import REFITS, best_of_each
from search.report.leaderboard import leaderboard
from search.study import Study
from trainables.derive import derive
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits


def refit_best(
    study: Study, ledger: Ledger, study_id: int, splits: Splits, control: Control, say: Callable[[str], None]
) -> None:
    """Train the best of each choice on ``study.refits`` splits of train and validation; the test part stays closed.

    The split, the seed of the fit and the core it has are the same for all. A stop that is asked for ends it
    after the fit in hand; the time budget is the search's alone.
    """
    board = leaderboard(ledger.trials_frame(study_id), ledger.epochs_frame(study_id), study.objective)
    chosen = best_of_each(study, board, ledger.epochs_frame(study_id))
    facts = ledger.study(study.name).facts.get(REFITS, {})
    fits = [f for f in facts.get("fits", []) if any(_is_of(f, entry) for entry in chosen)]
    kept: dict[str, Any] = {"train": len(splits.train), "val": len(splits.val), "chosen": chosen, "fits": fits}
    missing = [split for split in range(study.refits) if _missing(chosen, fits, split)]
    if missing and chosen:
        say(f"training the best of each {study.balanced} on {study.refits} splits ...")
    for split in missing:
        new = _fits_on(study, splits, split, _missing(chosen, fits, split), control)
        if control.exit_code:
            break
        fits += new
        ledger.add_fact(study_id, REFITS, kept)
    if not missing:
        ledger.add_fact(study_id, REFITS, kept)


def _fits_on(
    study: Study, splits: Splits, split: int, entries: Sequence[Mapping[str, Any]], control: Control
) -> list[dict[str, Any]]:
    import torch

    from trainables.data.splits import resplit
    from trainables.refit import refit

    trainable = find_trainable(study.trainable)
    seed = derive(study.seed, "refit", split)
    data = trainable.prepare(resplit(splits, seed=seed % 2**32), torch.device("cpu"))
    fits = []
    for entry in entries:
        if control.exit_code:
            break
        fit: dict[str, Any] = {"choice": entry["choice"], "trial": entry["trial"], "split": split}
        try:
            config = trainable.configure(study.params_of(entry["params"]), max_epochs=study.budget.max_epochs)
            done = refit(trainable, config, data, seed=seed, epochs=entry["epoch"])
            fit |= {"value": float(done.metrics[study.objective.metric]), "seconds": done.seconds}
        except Exception as error:  # one model that fails is a row of the table, not the end of it
            fit["error"] = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"
        fits.append(fit)
    return fits


def _missing(
    chosen: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]], split: int
) -> list[Mapping[str, Any]]:
    return [e for e in chosen if not any(_is_of(f, e) and f["split"] == split for f in fits)]


def _is_of(fit: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return bool(fit["choice"] == entry["choice"] and fit["trial"] == entry["trial"])
