"""The values of a parameter as a picture: best and median over the single trials, the baseline, the time below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from search.report.curve import Curve, Row
from trainables.direction import Direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 5.6
NARROWEST, WIDEST = 7.0, 13.0
INCHES_A_VALUE = 1.05
MOST_TICKS = 20
DPI = 150
BESIDE, BETWEEN_EQUALS, MOST_EQUALS = 0.12, 0.04, 6
"""Shares of the distance between two values by which trials are drawn aside; further equal ones cover each other."""

# From Okabe and Ito's palette, whose colours the colour-blind tell apart; shape and dashes say the same once more.
TRIAL, BEST, MEDIAN, BASELINE, TIME = "#9a9a9a", "#0072b2", "#d55e00", "#000000", "#56b4e9"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TAKEN = ("leaderboard", "pareto", "comparison", "study")
"""The names of other artifacts."""


def artifact_stem(found: Curve) -> str:
    """Return what its files are called, without their endings: the parameter, where that can name a file."""
    free = FILE_NAME.fullmatch(found.parameter) and found.parameter not in TAKEN
    return found.parameter if free else "curve"


def curve_figure(found: Curve) -> Figure:
    """Return two panels over the values: the metric, and below it the seconds of an epoch.

    Drawn without pyplot: no display, no state that others share.
    """
    from matplotlib.figure import Figure

    width = min(max(NARROWEST, INCHES_A_VALUE * len(found.rows)), WIDEST)
    figure = Figure(figsize=(width, HEIGHT), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    figure.suptitle(f"{found.metric} by {found.parameter}", fontsize="large")
    upper.set_title(
        f"a trial counts at its best epoch (by {found.objective}), pruned or not; one seed each", fontsize="small"
    )
    _draw_metric(upper, found)
    _draw_seconds(lower, found)
    _label_values(lower, found, width)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    for panel in (upper, lower):
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_metric(panel: Axes, found: Curve) -> None:
    having = [row for row in found.rows if row.values]
    points = _points(having, _gap(found.rows))
    low, high = _limits(found, having)
    panel.set_ylim(low, high)
    panel.set_ylabel(found.metric)
    inside = [(x, y) for x, y in points if low <= y <= high]
    beyond = [(x, high if y > high else low) for x, y in points if not low <= y <= high]
    panel.plot(*_columns(inside), "o", color=TRIAL, alpha=0.55, markersize=5, markeredgewidth=0, label="a trial")
    if beyond:
        above = Direction(found.mode).ascending  # only what is far worse is drawn at the edge
        marker = "^" if above else "v"
        label = f"{'above' if above else 'below'} the axis: {len(beyond)}"
        panel.plot(*_columns(beyond), marker, color=TRIAL, markersize=7, clip_on=False, label=label, linestyle="none")
    xs = [_at(row) for row in found.rows]
    panel.plot(xs, _line(found.rows, "median"), "s--", color=MEDIAN, markersize=6, linewidth=1.2, label="median")
    panel.plot(xs, _line(found.rows, "best"), "o-", color=BEST, markersize=7, linewidth=1.8, label="best")
    base = found.baseline
    if base is not None and base.best is not None:
        panel.axhline(base.best, color=BASELINE, linestyle=(0, (6, 3)), linewidth=1.2, label="baseline (trial 0)")
    for row in found.rows:
        if not row.trials:
            panel.annotate(
                "no trial",
                (_at(row), 0.04),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="center",
                va="bottom",
                color="#6b6b6b",
                fontsize="small",
            )


def _draw_seconds(panel: Axes, found: Curve) -> None:
    base = found.baseline.seconds if found.baseline is not None else None
    timed = [(_at(row), row.seconds) for row in found.rows if row.seconds is not None]
    most = max((s for s in (*(s for _, s in timed), base) if s is not None), default=1.0)
    factor, unit = (1.0, "s") if most >= 1 else (1000.0, "ms")
    panel.bar([x for x, _ in timed], [s * factor for _, s in timed], width=0.5 * _gap(found.rows), color=TIME)
    if base is not None:
        panel.axhline(base * factor, color=BASELINE, linestyle=(0, (6, 3)), linewidth=1.2)
    panel.set_ylabel(f"{unit} an epoch\n(median)")
    panel.set_ylim(0, 1.15 * most * factor)


def _label_values(panel: Axes, found: Curve, width: float) -> None:
    """Name the values below the lower panel, slanting where the names would touch."""
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel(found.parameter)
    values = [row.value for row in found.rows if row.value is not None]
    if not values:
        return
    pad = 0.6 * _gap(found.rows) if len(values) > 1 else 2.0
    panel.set_xlim(values[0] - pad, values[-1] + pad)
    if len(values) > MOST_TICKS:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    names = {value: tick_name(value, found.stages) for value in values}
    panel.set_xticks(values, [f"{value}\n{name}" if name else str(value) for value, name in names.items()])
    room = 11 * width * 0.85 * _gap(found.rows) / (values[-1] - values[0] + 2 * pad)  # about 11 letters an inch
    if max(map(len, names.values())) > room:
        panel.set_xticks(values, [f"{value}  {name}" for value, name in names.items()], rotation=30, ha="right")


def tick_name(value: int, stages: Sequence[str]) -> str:
    """Return what the first ``value`` of the stages are, in few letters: the last of them."""
    if not stages or not 0 <= value <= len(stages):
        return ""
    if value in (0, len(stages)):
        return "everything" if value else "nothing"
    return stages[0] if value == 1 else f"to {stages[value - 1]}"


def _limits(found: Curve, having: Sequence[Row]) -> tuple[float, float]:
    """Return the ends of the axis: all that is compared is inside, and trials unless they are far worse.

    One trial that learned nothing would press everything that matters into a line.
    """
    base = [found.baseline.best] if found.baseline is not None and found.baseline.best is not None else []
    shown = [v for row in having for v in (row.best, row.median) if v is not None] + base
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    span = (high - low) or 0.1 * abs(high) or 1.0
    points = [value for row in having for value in row.values]
    low, high = max(low - span, min([low, *points])), min(high + span, max([high, *points]))
    return low - 0.08 * span, high + 0.08 * span


def _line(rows: Sequence[Row], which: str) -> list[float]:
    """Return a point a row, NaN where there is none, so that a line is broken there."""
    return [float("nan") if (value := getattr(row, which)) is None else value for row in rows]


def _points(rows: Sequence[Row], gap: float) -> list[tuple[float, float]]:
    """Return where the single trials are drawn: a little left of best and median, equal ones beside each other."""
    points = []
    for row in rows:
        for i, value in enumerate(row.values):
            equal = row.values[:i].count(value)
            points.append((_at(row) - gap * (BESIDE + BETWEEN_EQUALS * min(equal, MOST_EQUALS)), value))
    return points


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _at(row: Row) -> float:
    return float(row.value or 0)


def _gap(rows: Sequence[Row]) -> float:
    values = [_at(row) for row in rows]
    return float(min((b - a for a, b in pairwise(values)), default=1))
