"""The tables that the command line prints. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search.declaration.study import Study
from search.face.grid import Column, Grid
from search.report.answer import Answer, Entry
from search.report.comparison import CONFIDENCE, Comparison
from search.report.curve import Curve
from search.report.curve import Row as CurveRow
from search.report.warm_start_words import seated_rows
from spaces import BASELINE_TRIAL, Space

WIDE = 110
"""Columns of output that is no terminal."""

FRONT_SHOWN = 20
"""Rows of the Pareto front that are printed."""

PARAMETERS = Column("parameters", wraps=True, least=40)


def space_table(space: Space) -> Grid:
    """Return the parameters with range, baseline and condition; with their meaning where it fits."""
    named = [Column(name) for name in ("parameter", "range", "baseline", "only where")]
    grid = Grid([*named, Column("meaning", wraps=True, spare=True)])
    for row in space.table():
        grid.add(*row)
    return grid


def top_table(found: Answer) -> Grid:
    """Return the best trials, one row each, and the baseline below them."""
    shown = [*found.top, *([] if found.baseline is None else [found.baseline])]
    warm, smoothed = any(e.origin is not None for e in shown), any(e.smoothed is not None for e in shown)
    origin = [Column("from", wraps=True, least=12)] if warm else []
    numbers = _right("rank", "trial", f"best {found.metric}", *(["smoothed"] if smoothed else []), "epoch")
    grid = Grid([*numbers, Column("ended"), *origin, PARAMETERS])
    for rank, entry in enumerate(found.top, 1):
        grid.add("base" if entry.trial == BASELINE_TRIAL else str(rank), *_cells(entry, origin=warm, smoothed=smoothed))
    if found.baseline is not None and found.baseline not in found.top:
        grid.add("base", *_cells(found.baseline, origin=warm, smoothed=smoothed))
    return grid


def seated_table(study: Study) -> Grid:
    """Return the trials that have an earlier study's configurations, one row each."""
    grid = Grid([Column("trial", right=True), Column("from"), PARAMETERS])
    for number, origin, params in seated_rows(study):
        grid.add(str(number), origin, params)
    return grid


def choices_table(found: Answer) -> Grid:
    """Return what the choices of a few categorical parameters came to."""
    numbers = _right("trials", "complete", f"best {found.metric}", "median", "epochs a trial")
    grid = Grid([Column("parameter"), Column("choice"), *numbers])
    for name in found.shown:
        for c in found.choices[name]:
            first = name if c is found.choices[name][0] else ""
            counts = str(c.trials), str(c.completed)
            grid.add(
                first,
                _value(c.choice),
                *counts,
                _number(c.best),
                _number(c.median),
                f"{c.epochs:.1f}" if c.trials else "-",
            )
        grid.end_section()
    return grid


def curve_table(found: Curve) -> Grid:
    """Return the values of the parameter in order with what they are called, and the baseline below them."""
    two = found.objective != found.metric
    further = [f"best {found.objective}"] if two else []
    numbers = _right("trials", "pruned", f"best {found.metric}", "trial", "median", *further, "an epoch")
    grid = Grid([Column(found.parameter), *numbers])
    digits = max((len(str(row.value)) for row in found.rows), default=0)
    for row in found.rows:
        cells = _curve_cells(row, objective=two) if row.trials else ["0", "", "no trial"]
        grid.add(f"{row.value:>{digits}}" + (f"  {row.name}" if row.name else ""), *cells)
    if found.baseline is not None:
        grid.end_section()
        grid.add("baseline", *_curve_cells(found.baseline, objective=two))
    return grid


def curve_text(found: Curve) -> str:
    """Return what the table of a parameter's values is, in a line."""
    tried = sum(row.trials > 0 for row in found.rows)
    count = f"{tried} of {found.possible} values tried"
    return (
        f"{count}; a trial, pruned or not, counts with its {found.metric} at its best epoch (by {found.objective}); "
        "those of a row differ in their other parameters"
    )


def comparison_table(found: Comparison) -> Grid:
    """Return the choices on the same splits, the best first."""
    names = f"{found.metric}, {found.splits} splits", f"minus the best [{CONFIDENCE:.0%}]", "fit"
    grid = Grid([Column(found.parameter), *_right("trial", "searched", *names)])
    for row in found.rows:
        named = _value(row.choice), str(row.trial), f"{row.searched:.4g}"
        if row.error is not None:
            grid.add(*named, "failed")
            continue
        beside = "" if row.difference is None else f"{row.difference:+.3g}"
        if row.low is not None and row.high is not None:
            beside += f" [{row.low:+.2g}, {row.high:+.2g}]"
        grid.add(*named, spread_text(row.mean, row.spread), beside, time_text(row.seconds, row.seconds_spread))
    return grid


def failure_lines(found: Comparison) -> list[str]:
    """Return why the fits of choices failed, a line each."""
    failed = [row for row in found.rows if row.error is not None]
    return [f"failed     {found.parameter} {_value(row.choice)}: {row.error}" for row in failed]


def front_text(found: Answer) -> str:
    """Return what the table of the Pareto front is, in a line."""
    against = " and ".join(found.further)
    count = f"{len(found.front)} of {found.trials} trials"
    hidden = len(found.front) - FRONT_SHOWN
    rest = f" (the last {hidden} are in --json)" if hidden > 0 else ""
    return f"Pareto front of {found.metric} against {against}: {count} that no other beats in everything{rest}"


def front_table(found: Answer) -> Grid:
    """Return the Pareto front, one row a trial, best by the first objective first."""
    grid = Grid([*_right("trial", found.metric, *found.further, "epoch"), Column("ended"), PARAMETERS])
    for entry in found.front[:FRONT_SHOWN]:
        values = (_number(entry.values[name]) for name in (found.metric, *found.further))
        ended = entry.stop_reason or entry.state.lower()
        grid.add(str(entry.trial), *values, str(entry.epoch), ended, params_text(entry.params))
    return grid


def _right(*names: str) -> Iterable[Column]:
    """Return columns of numbers."""
    return [Column(name, right=True) for name in names]


def _cells(entry: Entry, *, origin: bool, smoothed: bool) -> tuple[str, ...]:
    ended = entry.stop_reason or entry.state.lower()
    told = [entry.origin or ""] if origin else []
    without_noise = ["-" if entry.smoothed is None else f"{entry.smoothed:.5g}"] if smoothed else []
    numbers = str(entry.trial), f"{entry.value:.5g}", *without_noise, str(entry.epoch)
    return *numbers, ended, *told, params_text(entry.params)


def _curve_cells(row: CurveRow, *, objective: bool) -> list[str]:
    which = "-" if row.trial is None else str(row.trial)
    reached = [_number(row.objective)] if objective else []
    return [
        *(str(row.trials), str(row.pruned), _number(row.best), which),
        *(_number(row.median), *reached, time_text(row.seconds, None)),
    ]


def spread_text(mean: float | None, spread: float | None) -> str:
    """Return ``0.972 ± 0.02``."""
    return _number(mean) if mean is None or spread is None else f"{mean:.3g} ± {spread:.2g}"


def time_text(mean_s: float | None, spread_s: float | None) -> str:
    """Return ``1.2 ± 0.1 s`` or ``12 ± 1.5 ms``."""
    if mean_s is None:
        return "-"
    factor, unit = (1.0, "s") if mean_s >= 1 else (1000.0, "ms")
    spread = "" if spread_s is None else f" ± {spread_s * factor:.2g}"
    return f"{mean_s * factor:.3g}{spread} {unit}"


def params_text(params: dict[str, Any]) -> str:
    """Return ``dropout=0.31 schedule=cosine``."""
    return " ".join(f"{k}={_value(v)}" for k, v in params.items())


def _number(value: float | None) -> str:
    """Return ``0.079566``, a count in full, ``102,410``, and ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.5g}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
