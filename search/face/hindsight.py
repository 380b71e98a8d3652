"""What is printed of a search in hindsight: what pruning saved, whether it was right, and whether more would help."""

from __future__ import annotations

from collections.abc import Sequence

from search.declaration.study import Study
from search.face.grid import Column, Grid
from search.report.answer import Answer
from search.report.expected_best import ExpectedBest
from search.report.pruning import LEAST_TRIALS, Pruning, RungCorrelation


def cost_table(found: Pruning) -> Grid:
    """Return what the trials of each outcome trained, and what they did not."""
    numbers = ("trials", "epochs", "device-seconds", "epochs left out", "their device-seconds")
    grid = Grid([Column("outcome"), *(Column(name, right=True) for name in numbers)])
    for row in found.outcomes:
        grid.add(
            row.outcome,
            str(row.trials),
            str(row.epochs),
            _seconds(row.seconds),
            str(row.epochs_left),
            _seconds(row.seconds_left),
        )
    return grid


def hindsight_lines(found: Answer, study: Study) -> list[str]:
    """Return what is said below the table, each a sentence with its label."""
    lines = [] if found.pruning is None else rung_lines(found.pruning.rungs, study, found.counts.get("pruned", 0))
    if found.expected is not None:
        lines.append(f"more       {expected_text(found.expected, study)}")
    return lines


def rung_lines(rungs: Sequence[RungCorrelation], study: Study, pruned: int) -> list[str]:
    """Return how the ranks at the rungs agree with those at the end, in a line; none where there is no rung."""
    if not rungs:
        return []
    known = [rung for rung in rungs if rung.correlation is not None]
    if not known:
        most = max(rung.trials for rung in rungs)
        return [f"rungs      rank correlation with the end: it takes {LEAST_TRIALS} trials that got there, not {most}"]
    each = ", ".join(f"epoch {r.epoch} {r.correlation:.2f} [{r.low:.2f}, {r.high:.2f}] (n={r.trials})" for r in known)
    missing = f"; without the {pruned} that were pruned, which makes it look lower" if pruned else ""
    return [f"rungs      rank correlation with the end: {each}{missing}"]


def expected_text(found: ExpectedBest, study: Study) -> str:
    """Return whether more trials would help, in a sentence with what it assumes."""
    first, *further = (
        f"after {o.times}x the trials {study.objective.metric} {o.best:.4g} is expected, "
        f"better by {o.gain:.2g} [{o.low:.2g}, {o.high:.2g}]"
        for o in found.outlook
    )
    before, last = found.doublings
    draws = "" if found.exchangeable else f", and independent trials, which those of {study.sampler} are not"
    return (
        f"{'; '.join([first, *further])}; this assumes that doublings go on as the last two, which brought "
        f"{before:.2g} and {last:.2g}{draws}"
    )


def _seconds(seconds: float) -> str:
    """Return ``0.83``, ``12.5`` or ``1,240``."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"
