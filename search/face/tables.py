"""The tables that the command line prints. Nothing is computed here."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from search.report.answer import Answer, Entry
from search.report.comparison import CONFIDENCE, Comparison
from search.report.curve import Curve
from search.report.curve import Row as CurveRow
from spaces import BASELINE_TRIAL, Space

WIDE = 110
"""Columns of a terminal from which on tables are shown in full, and of output that is no terminal."""

FRONT_SHOWN = 20
"""Rows of the Pareto front that are printed."""


def space_table(space: Space, *, width: int) -> Table:
    """Return the parameters with range, baseline and condition; with their meaning where it fits."""
    table = Table(box=SIMPLE_HEAD)
    for column in ("parameter", "range", "baseline", "only where"):
        table.add_column(column, no_wrap=True)
    if width >= WIDE:
        table.add_column("meaning")
    for row in space.table():
        table.add_row(*row[: len(table.columns)])
    return table


def top_table(found: Answer) -> Table:
    """Return the best trials, one row each, and the baseline below them."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("rank", "trial", f"best {found.metric}", "epoch"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("parameters")
    for rank, entry in enumerate(found.top, 1):
        table.add_row("base" if entry.trial == BASELINE_TRIAL else str(rank), *_cells(entry))
    if found.baseline is not None and found.baseline not in found.top:
        table.add_row("base", *_cells(found.baseline))
    return table


def choices_table(found: Answer) -> Table:
    """Return what the choices of a few categorical parameters came to."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("parameter", "choice"):
        table.add_column(column, no_wrap=True)
    for column in ("trials", "complete", f"best {found.metric}", "median", "epochs a trial"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in found.shown:
        for c in found.choices[name]:
            first = name if c is found.choices[name][0] else ""
            counts = str(c.trials), str(c.completed)
            table.add_row(first, _value(c.choice), *counts, _number(c.best), _number(c.median), f"{c.epochs:.1f}")
        table.add_section()
    return table


def curve_table(found: Curve, *, width: int) -> Table:
    """Return the values of the parameter in order, and the baseline below them; what they are called where it fits."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    wide, two = width >= WIDE, found.objective != found.metric
    table.add_column(found.parameter, no_wrap=True, vertical="bottom")
    further = [f"best\n{found.objective}"] if two else []
    for column in ("trials", "pruned", f"best\n{found.metric}", *["trial"] * wide, "median", *further, "an\nepoch"):
        table.add_column(column, justify="right", no_wrap=True, vertical="bottom")
    digits = max((len(str(row.value)) for row in found.rows), default=0)
    for row in found.rows:
        name = f"  {row.name}" if row.name and wide else ""
        cells = _curve_cells(row, trial=wide, objective=two) if row.trials else ["0", "", "no trial"]
        table.add_row(escape(f"{row.value:>{digits}}{name}"), *cells)
    if found.baseline is not None:
        table.add_section()
        table.add_row("baseline", *_curve_cells(found.baseline, trial=wide, objective=two))
    return table


def curve_text(found: Curve) -> str:
    """Return what the table of a parameter's values is, in a line."""
    tried = sum(row.trials > 0 for row in found.rows)
    count = f"{tried} of {found.possible} values tried"
    return (
        f"{count}; a trial, pruned or not, counts with its {found.metric} at its best epoch (by {found.objective}); "
        "those of a row differ in their other parameters"
    )


def comparison_table(found: Comparison) -> Table:
    """Return the choices on the same splits, the best first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    columns = (
        "trial",
        "searched",
        f"{found.metric}, {found.splits} splits",
        f"minus the best [{CONFIDENCE:.0%}]",
        "fit",
    )
    table.add_column(found.parameter, no_wrap=True)
    for column in columns:
        table.add_column(escape(column), justify="right", no_wrap=True)
    for row in found.rows:
        named = _value(row.choice), str(row.trial), f"{row.searched:.4g}"
        if row.error is not None:
            table.add_row(*named, escape(f"failed: {row.error}"))
            continue
        beside = "" if row.difference is None else f"{row.difference:+.3g}"
        if row.low is not None and row.high is not None:
            beside += f" [{row.low:+.2g}, {row.high:+.2g}]"
        cells = spread_text(row.mean, row.spread), escape(beside), time_text(row.seconds, row.seconds_spread)
        table.add_row(*named, *cells)
    return table


def front_text(found: Answer) -> str:
    """Return what the table of the Pareto front is, in a line."""
    against = " and ".join(found.further)
    count = f"{len(found.front)} of {found.trials} trials"
    hidden = len(found.front) - FRONT_SHOWN
    rest = f" (the last {hidden} are in --json)" if hidden > 0 else ""
    return f"Pareto front of {found.metric} against {against}: {count} that no other beats in everything{rest}"


def front_table(found: Answer) -> Table:
    """Return the Pareto front, one row a trial, best by the first objective first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("trial", found.metric, *found.further, "epoch"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("parameters")
    for entry in found.front[:FRONT_SHOWN]:
        values = (_number(entry.values[name]) for name in (found.metric, *found.further))
        ended = entry.stop_reason or entry.state.lower()
        table.add_row(str(entry.trial), *values, str(entry.epoch), ended, params_text(entry.params))
    return table


def _cells(entry: Entry) -> tuple[str, ...]:
    ended = entry.stop_reason or entry.state.lower()
    return str(entry.trial), f"{entry.value:.5g}", str(entry.epoch), ended, params_text(entry.params)


def _curve_cells(row: CurveRow, *, trial: bool, objective: bool) -> list[str]:
    which = ["-" if row.trial is None else str(row.trial)] if trial else []
    reached = [_number(row.objective)] if objective else []
    return [
        *(str(row.trials), str(row.pruned), _number(row.best), *which),
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
