"""The choices of one parameter side by side: the best of each, on the same splits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from search.ledger.outcome import TrialState
from search.report.paired import half_width

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Objective, Study
    from search.ledger import FitRow

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One choice.

    Attributes:
        choice: the value of the parameter.
        trial: the best trial with it, whose configuration was trained anew.
        searched: the value of the objective that the search found for that trial.
        values: the objective on each split; empty where a fit failed.
        mean, spread: the mean of ``values`` and their standard deviation, None for one split.
        seconds, seconds_spread: the same two of the training time of a fit.
        difference: the mean less the best row's, in the objective's own units; None for the best row.
        low, high: the Student interval of the difference.
        larger: whether the difference is larger than the splits' spread explains.
        error: why a fit failed, if one did.
    """

    choice: Any
    trial: int
    searched: float
    values: tuple[float, ...]
    mean: float | None
    spread: float | None
    seconds: float | None
    seconds_spread: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    larger: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The table, its best row first.

    Attributes:
        parameter: the one whose choices these are.
        metric: the one that is compared.
        splits: how many every row was trained on.
        rows: those with a failed fit come last.
        verdict: what may be said of it, in words.
    """

    parameter: str
    metric: str
    splits: int
    rows: tuple[Row, ...]
    verdict: str


@dataclass(frozen=True)
class Finalist:
    """The best completed trial of one choice of the balanced parameter.

    Attributes:
        choice: the value of the parameter.
        trial: the number of the trial.
        epoch: the one at which it was best, and after which its refits are scored.
        value: the objective at that epoch.
        params: the active parameters.
    """

    choice: Any
    trial: int
    epoch: int
    value: float
    params: Mapping[str, Any]


def best_of_each(study: Study, board: pd.DataFrame, epochs: pd.DataFrame) -> list[Finalist]:
    """Return the best completed trial of each choice of the balanced parameter.

    Where a value was reached more than once, by trials or by epochs of one, the lower validation loss decides.
    """
    assert study.balanced is not None, "a study checks it"
    lowest = _lowest_losses(epochs, study.objective.metric)
    best: dict[Any, tuple[tuple[float, float, int], Finalist]] = {}
    for row in board.to_dict("records"):
        if row["state"] != TrialState.COMPLETE.value:
            continue
        choice, number, value = row["params"][study.balanced], int(row["number"]), float(row["value"])
        loss, epoch = lowest.get((number, value), (math.inf, int(row["epoch"])))
        key = (study.objective.direction.cost(value), loss, number)
        if choice not in best or key < best[choice][0]:
            best[choice] = key, Finalist(choice, number, epoch, value, dict(row["params"]))
    return [finalist for _, finalist in best.values()]


def _lowest_losses(epochs: pd.DataFrame, metric: str) -> dict[tuple[int, float], tuple[float, int]]:
    """Return, for each trial and value of ``metric``, the lowest validation loss it came with, and the epoch."""
    if not {"val_loss", metric} <= set(epochs):
        return {}
    lowest: dict[tuple[int, float], tuple[float, int]] = {}
    columns = (epochs[name].tolist() for name in ("number", "epoch", metric, "val_loss"))
    for number, epoch, value, loss in zip(*columns, strict=True):
        place = (int(number), float(value))
        lowest[place] = min(lowest.get(place, (math.inf, int(epoch))), (float(loss), int(epoch)))
    return lowest


def comparison(study: Study, board: pd.DataFrame, fits: Sequence[FitRow]) -> Comparison | None:
    """Return the table of the refits; None where there are none.

    Only splits on which every choice was trained count, so that all rows stand on the same ones.

    Args:
        study: says which parameter is compared, and by which objective.
        board: the frame of ``leaderboard``.
        fits: the refits in the order they were made: of each choice, the trial that was trained last counts.
    """
    if study.balanced is None or not fits:
        return None
    trial_of = {fit.params[study.balanced]: fit.trial for fit in fits if fit.trial is not None}
    done = {(fit.trial, fit.split): fit for fit in fits}
    whole = [s for s in sorted({fit.split for fit in fits}) if all((t, s) in done for t in trial_of.values())]
    if not whole:
        return None
    searched = dict(zip(board["number"], board["value"], strict=True))
    metric, objective = study.objective.metric, study.objective
    rows = [
        _row(choice, trial, float(searched[trial]), [done[trial, s] for s in whole], metric)
        for choice, trial in trial_of.items()
    ]
    ranked = _ranked(rows, objective)
    best = ranked[0]
    if best.mean is not None:
        share = fits[-1].scored_examples / fits[-1].train_examples
        ranked = [_beside(row, best, share) for row in ranked]
    return Comparison(study.balanced, metric, len(whole), tuple(ranked), _verdict(ranked, study, len(whole)))


def comparison_csv(found: Comparison) -> str:
    """Return the table as CSV, a column for each split."""
    import pandas as pd

    records = []
    for row in found.rows:
        record = asdict(row)
        values = record.pop("values")
        records.append(record | {f"split_{i}": v for i, v in enumerate(values)})
    return pd.DataFrame(records).to_csv(index=False)


def student_interval(differences: Sequence[float], *, share: float) -> tuple[float, float] | None:
    """Return the interval of the mean of paired differences over re-splits; None for fewer than two.

    Half of it is ``half_width``.

    Args:
        differences: n of them.
        share: validation examples / training examples.
    """
    if len(differences) < 2:
        return None
    centre, half = fmean(differences), half_width(differences, share=share, level=1 - CONFIDENCE)
    return centre - half, centre + half


def _row(choice: Any, trial: int, searched: float, fits: Sequence[FitRow], metric: str) -> Row:
    values = tuple(float(fit.metrics.get(metric, math.nan)) for fit in fits)
    errors = [fit.message for fit in fits if fit.message is not None]
    if errors or not all(math.isfinite(v) for v in values):
        error = errors[0] if errors else "a value that is not finite"
        return Row(choice, trial, searched, (), None, None, None, None, error=error)
    seconds = [float(fit.seconds) for fit in fits if fit.seconds is not None]
    return Row(
        choice,
        trial,
        searched,
        values=values,
        mean=fmean(values),
        spread=_spread(values),
        seconds=fmean(seconds),
        seconds_spread=_spread(seconds),
    )


def _beside(row: Row, best: Row, share: float) -> Row:
    """Return ``row`` with its difference from the best."""
    if row.mean is None or best.mean is None or row is best:
        return row
    paired = [a - b for a, b in zip(row.values, best.values, strict=True)]
    interval = student_interval(paired, share=share)
    low, high = interval or (None, None)
    larger = low is not None and high is not None and not low <= 0 <= high
    return replace(row, difference=row.mean - best.mean, low=low, high=high, larger=larger)


def _ranked(rows: Sequence[Row], objective: Objective) -> list[Row]:
    cost = objective.direction.cost
    return sorted(rows, key=lambda r: (r.mean is None, 0.0 if r.mean is None else cost(r.mean), r.trial))


def _verdict(rows: Sequence[Row], study: Study, splits: int) -> str:
    best, metric = rows[0], study.objective.metric
    if best.mean is None:
        return "no choice could be trained on every split"
    trained = (
        f"{splits} split{'s' if splits != 1 else ''}"
        if splits >= study.refits
        else f"{splits} of {study.refits} splits"
    )
    head = f"{best.choice} has the best mean {metric} over {trained}, {best.mean:.4g}"
    if splits < 2:
        return f"{head}; one split has no spread, and nothing more can be said"
    others = [row for row in rows[1:] if row.mean is not None]
    beyond = [f"{row.choice} ({row.difference:+.3g})" for row in others if row.larger]
    within = [f"{row.choice} ({row.difference:+.3g})" for row in others if not row.larger]
    parts = [f"behind it by more than the splits' spread: {_listed(beyond)}", f"within the spread: {_listed(within)}"]
    failed = [str(row.choice) for row in rows if row.mean is None]
    return "; ".join([head, *parts, *([f"failed: {_listed(failed)}"] if failed else [])])


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
