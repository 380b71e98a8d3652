"""The choices of one parameter side by side: the best of each, on the same splits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from search.ledger.outcome import TrialState

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Objective, Study

REFITS = "refits"
"""The name of the fact that holds every fit."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One choice.

    Attributes:
        choice: the value.
        trial: its best, which was trained anew.
        searched: the value of the objective that the search found for that trial.
        values: of the objective, a split each; none where a fit failed.
        mean, spread: of ``values``; the spread is their standard deviation, None for one split.
        seconds, seconds_spread: of a fit, likewise.
        difference: of the mean from the best row's, in the objective's own units; None for the best row.
        low, high: Student interval of the difference.
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
        parameter: whose choices these are.
        metric: that is compared.
        splits: how many every row was trained on.
        rows: those with a failed fit come last.
        verdict: what may be said of it, in words.
    """

    parameter: str
    metric: str
    splits: int
    rows: tuple[Row, ...]
    verdict: str


def best_of_each(study: Study, board: pd.DataFrame, epochs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the best completed trial of each choice of the balanced parameter, as plain data.

    Where a value was reached more than once, by trials or by epochs of one, the lower validation loss decides.
    """
    assert study.balanced is not None, "a study checks it"
    lowest = _lowest_losses(epochs, study.objective.metric)
    sign = 1 if study.objective.mode == "min" else -1
    best: dict[Any, tuple[tuple[float, float, int], dict[str, Any]]] = {}
    for row in board.to_dict("records"):
        if row["state"] != TrialState.COMPLETE.value:
            continue
        choice, number, value = row["params"][study.balanced], int(row["number"]), float(row["value"])
        loss, epoch = lowest.get((number, value), (math.inf, int(row["epoch"])))
        key = (sign * value, loss, number)
        if choice not in best or key < best[choice][0]:
            named = {"choice": choice, "trial": number, "epoch": epoch, "value": value}
            best[choice] = key, {**named, "params": dict(row["params"])}
    return [entry for _, entry in best.values()]


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


def comparison(study: Study, facts: Mapping[str, Any]) -> Comparison | None:
    """Return the table of the fits in the ledger's ``facts``; None where there are none.

    Only splits on which every choice was trained count, so that all rows stand on the same ones.
    """
    kept = facts.get(REFITS)
    if study.balanced is None or not kept or not kept["chosen"]:
        return None
    fits = {(f["choice"], f["trial"], f["split"]): f for f in kept["fits"]}
    wanted = [(e["choice"], e["trial"]) for e in kept["chosen"]]
    splits = sorted({split for _, _, split in fits})
    whole = [s for s in splits if all((*w, s) in fits for w in wanted)]
    if not whole:
        return None
    rows = [_row(e, [fits[e["choice"], e["trial"], s] for s in whole]) for e in kept["chosen"]]
    ranked = _ranked(rows, study.objective)
    best = ranked[0]
    if best.mean is not None:
        share = kept["val"] / kept["train"]
        ranked = [_beside(row, best, share) for row in ranked]
    verdict = _verdict(ranked, study, len(whole))
    return Comparison(study.balanced, study.objective.metric, len(whole), tuple(ranked), verdict)


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

    The splits share most of their examples, so that their differences vary less than those of fresh data
    would: the variance is multiplied by 1/n + ``share`` in place of 1/n (Nadeau and Bengio, 2003).

    Args:
        differences: n of them.
        share: validation examples / training examples.
    """
    n = len(differences)
    if n < 2:
        return None
    from scipy.special import stdtrit

    centre = fmean(differences)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * stdev(differences) * math.sqrt(1 / n + share)
    return centre - half, centre + half


def _row(entry: Mapping[str, Any], fits: Sequence[Mapping[str, Any]]) -> Row:
    values = tuple(float(f.get("value", math.nan)) for f in fits)
    named = {"choice": entry["choice"], "trial": entry["trial"], "searched": entry["value"]}
    errors = [f["error"] for f in fits if "error" in f]
    if errors or not all(math.isfinite(v) for v in values):
        error = errors[0] if errors else "a value that is not finite"
        return Row(**named, values=(), mean=None, spread=None, seconds=None, seconds_spread=None, error=error)
    seconds = [float(f["seconds"]) for f in fits]
    return Row(
        **named,
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
    sign = 1 if objective.mode == "min" else -1
    return sorted(rows, key=lambda r: (r.mean is None, 0.0 if r.mean is None else sign * r.mean, r.trial))


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
