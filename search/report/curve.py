"""The values of one whole-number parameter side by side: what the trials with each came to, beside the baseline.

The trials of a value differ in their other parameters and have one seed each, so nothing is estimated here: the table
says what was seen, and the verdict says where that does not tell two values apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from optuna.distributions import IntDistribution

from search.ledger.outcome import TrialState
from trainables.direction import Direction
from trainables.metrics import METRICS
from trainables.task import Task

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Objective, Study
    from search.ledger import StudyFacts
    from spaces import Parameter

STAGES = "stages"
"""What a trainable calls what the values stand for, where they count the first of these: a list of words, the one next
to the input first. It is among the facts that ``make_ready`` returns."""

ACCURACY = "val_accuracy"

MOST_LISTED = 30
"""A range with more values has no row for those without a trial."""

MOST_WORDS = 3
"""So many stages are named one by one; where there are more, the first and the last are."""


@dataclass(frozen=True)
class Row:
    """The trials with one value, or the baseline alone.

    Attributes:
        value: the parameter's value; None for the baseline, whose parameters may lie outside of the space.
        name: what the value stands for, where that is known.
        trials: how many have this value, however they ended.
        pruned: how many of these were stopped by the scheduler, or diverged.
        values: the metric of each trial at its best epoch, those that are finite, by the trials' numbers.
        best, median: the best and the median of ``values``; None where there are none.
        trial: the one that reached ``best``.
        objective: the best objective that any of the trials reached.
        epochs: how many these trials trained together.
        seconds: the median time of an epoch of these trials, as they recorded it.
    """

    value: int | None
    name: str | None
    trials: int
    pruned: int
    values: tuple[float, ...]
    best: float | None
    trial: int | None
    median: float | None
    objective: float | None
    epochs: int
    seconds: float | None


@dataclass(frozen=True)
class Curve:
    """The table, by the values of the parameter.

    Attributes:
        parameter: the one whose values these are.
        metric, mode: what is compared, and which way it is better.
        objective: the metric by which the best epoch of a trial is found.
        possible: how many values the space has, and any that were tried outside of it.
        rows: a row a value, also where no trial had it, unless the space has very many.
        baseline: trial 0, which counts for no value; None where there is none.
        stages: the words that the values count, where they are known.
        verdict: what may be said of it, in words.
    """

    parameter: str
    metric: str
    mode: str
    objective: str
    possible: int
    rows: tuple[Row, ...]
    baseline: Row | None
    stages: tuple[str, ...]
    verdict: str


def curve(
    study: Study, trials: pd.DataFrame, epochs: pd.DataFrame, board: pd.DataFrame, facts: StudyFacts
) -> Curve | None:
    """Return the values of ``study.curve`` side by side; None where it names none or nothing finite came.

    The metric is the accuracy on the validation part where classes are learned, else the objective; a trial counts
    with what it was at the epoch at which its objective was best.

    Args:
        study: its space and its objective count.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        board: the frame of ``leaderboard``.
        facts: those of the study.
    """
    if study.curve is None or board.empty:
        return None
    name, objective = study.curve, study.objective
    metric, direction = _compared(objective, epochs, facts)
    directions = direction, objective.direction
    searched = _read(name, metric, trials, epochs, board)
    first = searched.pop(0, None)  # trial 0 may lie outside of the space: it is no trial of its value
    values = [t.value for t in searched.values() if t.value is not None]
    stages = tuple(str(stage) for stage in facts.prepared.get(STAGES) or ())
    possible, listed = _listed(study.space[name], values)
    found = Curve(
        parameter=name,
        metric=metric,
        mode=direction.value,
        objective=objective.metric,
        possible=possible,
        rows=tuple(
            _row([t for t in searched.values() if t.value == v], v, stage_name(v, stages), directions) for v in listed
        ),
        baseline=None if first is None else _row([first], None, None, directions),
        stages=stages,
        verdict="",
    )
    return replace(found, verdict=_verdict(found, directions, _example(metric, facts)))


def curve_csv(found: Curve) -> str:
    """Return the table as CSV, the baseline last, under that name."""
    import pandas as pd

    rows = [*found.rows, *([found.baseline] if found.baseline is not None else [])]
    records = [
        {
            found.parameter: "baseline" if r.value is None else r.value,
            "name": r.name,
            "trials": r.trials,
            "pruned": r.pruned,
            f"best_{found.metric}": r.best,
            "best_trial": r.trial,
            f"median_{found.metric}": r.median,
            f"best_{found.objective}": r.objective,
            "epochs": r.epochs,
            "median_epoch_seconds": r.seconds,
        }
        for r in rows
    ]
    frame = pd.DataFrame(records)
    return frame.astype({"best_trial": "Int64"}).to_csv(index=False)


def stage_name(value: int, stages: Sequence[str]) -> str | None:
    """Return what the first ``value`` of the stages are called; None where they are not known, or not so many."""
    if not stages or not 0 <= value <= len(stages):
        return None
    if value == 0:
        return "nothing"
    if value == len(stages):
        return "everything (features only)"
    first = stages[:value]
    return ", ".join(first) if value <= MOST_WORDS else f"{first[0]} .. {first[-1]}"


@dataclass(frozen=True)
class _Trial:
    """What the table needs of one trial; a value is None where it was not finite."""

    number: int
    value: int | None
    pruned: bool
    metric: float | None
    objective: float | None
    seconds: tuple[float, ...]


def _read(name: str, metric: str, trials: pd.DataFrame, epochs: pd.DataFrame, board: pd.DataFrame) -> dict[int, _Trial]:
    """Return the trials of the frames by number; ``name`` is the parameter's."""
    ranked = zip(board["number"], board["value"], board["metrics"], strict=True)
    reached: dict[int, tuple[float, dict[str, float]]] = {int(n): (float(value), m) for n, value, m in ranked}
    seconds: dict[int, list[float]] = {}
    for number, s in zip(epochs["number"], epochs["seconds"], strict=True):
        seconds.setdefault(int(number), []).append(float(s))
    found = {}
    for number, params, state in zip(trials["number"], trials["params"], trials["state"], strict=True):
        objective, metrics = reached[int(number)] if int(number) in reached else (None, {})
        compared = float(metrics[metric]) if metric in metrics else objective
        found[int(number)] = _Trial(
            number=int(number),
            value=int(params[name]) if name in params else None,
            pruned=state == TrialState.PRUNED.value,
            metric=compared if compared is not None and math.isfinite(compared) else None,
            objective=objective,
            seconds=tuple(seconds.get(int(number), ())),
        )
    return found


def _row(having: Sequence[_Trial], value: int | None, name: str | None, directions: tuple[Direction, Direction]) -> Row:
    """Return the row of these trials; ``directions`` are those of the metric and of the objective."""
    of_metric, of_objective = directions
    reached = {t.number: t.metric for t in having if t.metric is not None}
    trial = of_metric.best(reached, key=lambda number: reached[number]) if reached else None
    objectives = [t.objective for t in having if t.objective is not None]
    seconds = [s for t in having for s in t.seconds]
    return Row(
        value=value,
        name=name,
        trials=len(having),
        pruned=sum(t.pruned for t in having),
        values=tuple(reached.values()),
        best=None if trial is None else reached[trial],
        trial=trial,
        median=median(reached.values()) if reached else None,
        objective=of_objective.best(objectives) if objectives else None,
        epochs=len(seconds),
        seconds=median(seconds) if seconds else None,
    )


def _compared(objective: Objective, epochs: pd.DataFrame, facts: StudyFacts) -> tuple[str, Direction]:
    """Return the metric that is compared, and which way it is better."""
    classes = facts.data is None or facts.data["task"] == Task.CLASSIFICATION.value
    if classes and ACCURACY in epochs:
        return ACCURACY, Direction(METRICS[ACCURACY].mode)
    return objective.metric, objective.direction


def _listed(parameter: Parameter, tried: Sequence[int]) -> tuple[int, list[int]]:
    """Return how many values there are, and which of them the table has; all in order."""
    d = parameter.distribution
    declared: Any = range(d.low, d.high + 1, d.step) if isinstance(d, IntDistribution) else getattr(d, "choices", ())
    outside = {value for value in tried if value not in declared}
    possible = len(declared) + len(outside)
    return possible, sorted({*declared, *outside} if possible <= MOST_LISTED else {*tried})


def _verdict(found: Curve, directions: tuple[Direction, Direction], example: float | None) -> str:
    """Return which value is best, what it gained over the baseline, and whether that is settled.

    Args:
        found: without a verdict yet.
        directions: the metric's, and the objective's: lower losses, say, decide between equal accuracies.
        example: what one example of the validation part is worth in the metric, if that can be said.
    """
    of_metric, of_objective = directions

    def key(row: Row) -> tuple[float, float]:
        return of_metric.cost(row.best or 0.0), of_objective.cost(row.objective or 0.0)

    reached = [row for row in found.rows if row.best is not None]
    if not reached:
        return f"no trial but the baseline reported a finite {found.metric}"
    best, *others = sorted(reached, key=key)
    head = f"best at {found.parameter} {best.value}: {found.metric} {best.best:.4g}"
    return f"{head}{_beside_baseline(found, best, example)}; {_settled(best, others, example)}"


def _beside_baseline(found: Curve, best: Row, example: float | None) -> str:
    base = found.baseline
    if base is None or base.best is None or best.best is None:
        return f"; the baseline (trial 0) reported no finite {found.metric}"
    gain = best.best - base.best
    text = f" against {base.best:.4g} of the baseline (trial 0), {gain:+.3g}"
    if gain and Direction(found.mode).better(base.best, best.best):
        text += ": the baseline is better"
    return f"{text} (no more than one validation example)" if _within(gain, example) else text


def _settled(best: Row, others: Sequence[Row], example: float | None) -> str:
    """Say whether the best value can be told from the others: not by one seed each, and what is close to it."""
    assert best.best is not None and best.median is not None
    if not others:
        return "no other value reported anything, and this is one seed"
    in_order = sorted(others, key=lambda row: row.value or 0)
    gaps = {str(row.value): best.best - row.best for row in in_order if row.best is not None}
    near = [value for value, gap in gaps.items() if _within(gap, example)]
    parts = [f"{_and(near)} no more than one validation example away"] if near else []
    further = [value for value in gaps if value not in near]
    if len(best.values) < 2:
        spread = f"the one trial at {best.value} has no spread to hold the others against"
        return f"one seed each, so it is not settled: {', '.join([*parts, spread])}"
    spread_of_best = abs(best.best - best.median)
    alike = [value for value in further if _within(gaps[value], spread_of_best)]
    if alike:
        spread = f"the trials at {best.value} are to each other (best to median: {spread_of_best:.3g})"
        parts.append(f"{_and(alike)} closer than {spread}")
    if not parts:
        return "one seed each, not yet confirmed"
    return f"one seed each, so it is not settled: {', '.join(parts)}"


def _within(gap: float, width: float | None) -> bool:
    return width is not None and abs(gap) <= width * (1 + 1e-9) + 1e-12  # counts of examples, divided


def _example(metric: str, facts: StudyFacts) -> float | None:
    """Return what one validation example is worth; None for what is no share of them."""
    count = None if facts.data is None else facts.data["validation"]
    return 1 / count if metric == ACCURACY and count else None


def _and(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
