"""The best value over the trials, drawn with characters: for a glance, where a terminal has no figures.

Drawn here: rich has no charts, and plotext has just got another interface (6.0), takes 0.4 s to import, and draws its
axes with characters that not every encoding has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

WIDEST = 80
"""Columns of the terminal that a chart takes at most, so that it stays as it is where it is pasted."""

NARROWEST = 40
"""Columns of a terminal below which there is no chart."""

HEIGHT = 8

LEAST_TRIALS = 8
"""Fewer are read faster than looked at."""

MUCH = 8
"""Times the lowest value that the highest one is where the axis becomes logarithmic, as in the report's figures."""

ASCII = str.maketrans("─│┐└┘┌┤", "-|+++++")


def best_chart(steps: Sequence[tuple[int, float]], trials: int, console: Console) -> list[str]:
    """Return the lines of a chart of the best value so far over the trials; none where there is little to see.

    Args:
        steps: the trials that bettered all before them, each with its value, in the order of their numbers.
        trials: how many there are.
        console: where it is to be printed: its width, and whether its encoding has more than ASCII.
    """
    if trials < LEAST_TRIALS or len(steps) < 2 or console.width < NARROWEST:
        return []
    values = [value for _, value in steps]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > MUCH * low
    ends = f"{high:.4g}", f"{low:.4g}"
    margin = max(map(len, ends))
    width = min(console.width, WIDEST) - margin - len("  ") - len(" ┤")
    scale = math.log if logarithmic else float
    rows = [
        None if value is None else round((HEIGHT - 1) * (scale(high) - scale(value)) / (scale(high) - scale(low)))
        for value in _columns(steps, trials, width)
    ]
    lines = []
    for i, drawn in enumerate(_drawn(rows)):
        label = ends[0] if i == 0 else ends[1] if i == HEIGHT - 1 else ""
        lines.append(f"  {label:>{margin}} {'┤' if label else '│'}{drawn}")
    lines.append(f"  {'':{margin}} └{'─' * width}")
    last, words = str(trials - 1), "trial, logarithmic scale" if logarithmic else "trial"
    lines.append(f"  {'':{margin}}  0{words:^{width - len(last) - 1}}{last}")
    if console.options.ascii_only:
        lines = [line.translate(ASCII) for line in lines]
    return [line.rstrip() for line in lines]


def _columns(steps: Sequence[tuple[int, float]], trials: int, width: int) -> list[float | None]:
    """Return the best value so far for each column of the chart; None before the first one."""
    values: list[float | None] = []
    for column in range(width):
        at = column * (trials - 1) / (width - 1)
        values.append(next((value for trial, value in reversed(steps) if trial <= at), None))
    return values


def _drawn(rows: Sequence[int | None]) -> list[str]:
    """Return the lines of a step function.

    Args:
        rows: of each column, 0 at the top; None where nothing is drawn.
    """
    canvas = [[" "] * len(rows) for _ in range(HEIGHT)]
    before: int | None = None
    for column, row in enumerate(rows):
        if row is None:
            continue
        if before is None or before == row:
            canvas[row][column] = "─"
        else:
            falls = row > before
            for between in range(min(before, row) + 1, max(before, row)):
                canvas[between][column] = "│"
            canvas[before][column], canvas[row][column] = ("┐", "└") if falls else ("┘", "┌")
        before = row
    return ["".join(line) for line in canvas]
